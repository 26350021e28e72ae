"""Drawings of hand-written pages: each is on a page, in both variants; sheets of samples have the exact colours of their maps."""

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from radiodiff_jax.reporting.drawings import LINES, MAPS, draw_all
from radiodiff_jax.reporting.runs.sample_sheets import PANEL, TITLE, save_sheet
from tests.site.conftest import REPOSITORY

SITE = REPOSITORY / "site_src"


@pytest.mark.parametrize("name", [*LINES, *MAPS])
def test_every_drawing_is_kept_and_shown(name):
    ending = "svg" if name in LINES else "webp"
    shown = "".join(path.read_text() for path in SITE.rglob("*.md"))
    for shade in ("light", "dark"):
        assert (SITE / "assets" / f"{name}.{shade}.{ending}").stat().st_size < 150_000
        assert f"assets/{name}.{shade}.{ending}#only-{shade}" in shown


def test_every_guide_page_and_derivation_has_a_picture_or_a_diagram():
    pages = [page for folder in ("guide", "derivations") for page in (SITE / folder).glob("*.md")]
    bare = [page.name for page in pages if "![" not in page.read_text() and "```mermaid" not in page.read_text()]
    assert set(bare) <= {"speed.md"}


def test_drawings_of_lines_are_drawn_as_a_pair(tmp_path):
    light, dark = draw_all(tmp_path, ["hinge-losses"])
    assert light.name == "hinge-losses.light.svg" and light.read_text() != dark.read_text()


def test_a_sheet_keeps_every_colour_of_its_maps(tmp_path):
    truth = np.linspace(0, 1, PANEL * PANEL, dtype=np.float32).reshape(1, PANEL, PANEL)
    walls = np.zeros((1, PANEL, PANEL), bool)
    light, dark = save_sheet(tmp_path / "sample-1", truth, truth, walls)
    expected = (colormaps["viridis"](truth[0])[..., :3] * 255).round().astype(np.uint8)
    for path in (light, dark):
        shown = np.asarray(Image.open(path).convert("RGB"))[TITLE : TITLE + PANEL, :PANEL]
        assert np.array_equal(shown, expected)
    assert light.read_bytes() != dark.read_bytes()
