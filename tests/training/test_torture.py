"""The short form of `python -m tests.torture`: kills, damage and a full disk end with the same bits."""

from tests.torture import torture, toy


def test_short_form(tmp_path):
    torture(toy(tmp_path / "cache", 80), tmp_path, kills=4)
