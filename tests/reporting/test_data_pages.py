"""Pages about data sets: everything on them comes from the explore folder, and what is missing is told."""

import json
import re
import shutil

import numpy as np
import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.images import read_grey, write_grey
from radiodiff_jax.reporting.data_exploration import explore, pick_examples
from radiodiff_jax.reporting.data_pages import ranges, write_data_index, write_data_page
from tests.data.example_folder import write_example_folder


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    """Explore folders: one of two folders that share scenes but for one map, one of a faulty folder alone."""
    folder = tmp_path_factory.mktemp("data")
    real, simulated = (write_example_folder(folder / name, maps=4) for name in ("real", "simulated"))
    path = simulated / "gain/DPM/2_0.png"
    write_grey(path, np.where(read_grey(path) > 0, 100, 0).astype(np.uint8))
    explore(real, "DPM", folder / "explore" / "Both Sets", simulated)
    (real / "gain/DPM/3_1.png").unlink()
    (real / "gain/DPM/1_0.png").write_bytes(b"no picture")
    explore(real, "DPM", folder / "explore" / "faulty", most=6)
    shutil.rmtree(real)
    shutil.rmtree(simulated)
    return folder / "explore"


def pictures(text):
    return re.findall(r"!\[([^\]]+)\]\((figures/[^)#]+)#only-(light|dark)\)", text)


@pytest.mark.parametrize("name, slug, count", [("Both Sets", "both-sets", 8), ("faulty", "faulty", 6)])
def test_every_picture_is_there_in_both_variants_with_words(explored, tmp_path, name, slug, count):
    page = write_data_page(explored / name, tmp_path / "site")
    assert page == tmp_path / "site/data" / slug / "index.md"
    shown = pictures(page.read_text())
    assert len(shown) == 2 * count
    for words, path, variant in shown:
        assert (page.parent / path).is_file() and f".{variant}." in path and len(words) > 20


def test_two_sets_beside_each_other(explored, tmp_path):
    text = write_data_page(explored / "Both Sets", tmp_path).read_text()
    assert "# Data set Both Sets\n" in text and "| real | simulated |" in text
    assert "8 radio maps of scenes that both folders have" in text
    rows = [line.split(" | ") for line in text.splitlines() if re.match(r"\| (\d_\d|\*\*mean)", line)]
    assert len(rows) == 9 and rows[-1][0] == "| 2_0" and rows[1][1] == "0.0000"
    assert float(rows[0][1]) == pytest.approx(float(rows[-1][1]) / 8, abs=1e-4) and float(rows[-1][1]) > 0.1
    assert "Nothing is missing" in text and "**training**: " in text


def test_missing_and_damaged_files_and_sampling_are_told(explored, tmp_path):
    text = write_data_page(explored / "faulty", tmp_path).read_text()
    assert "2 errors" in text and "is missing, but needed by" in text and "cannot be read as an image" in text
    assert "6 of 7 radio maps were read, evenly spread (`--count 6`)" in text
    assert "1 radio map of those chosen could not be read" in text
    assert "Simulated beside real" not in text


def test_sets_without_a_common_scene(explored, tmp_path):
    numbers = json.loads((explored / "Both Sets/numbers.json").read_text())
    copy = shutil.copytree(explored / "Both Sets", tmp_path / "copy")
    (copy / "numbers.json").write_text(json.dumps(numbers | {"comparison": None}))
    (copy / "levels.light.svg").unlink()
    (copy / "distance.light.svg").unlink()
    text = write_data_page(copy, tmp_path / "site").read_text()
    assert "The two folders share no scene" in text
    assert "The figure distance is missing" in text and "The figure levels is missing" in text


def test_the_index_lists_what_was_explored(explored, tmp_path):
    assert "No data set has been explored yet" in write_data_index(tmp_path).read_text()
    for name in ("Both Sets", "faulty"):
        write_data_page(explored / name, tmp_path)
    text = write_data_index(tmp_path).read_text()
    assert "[Both Sets](both-sets/index.md) | 8 radio maps (DPM) of 4 city maps, 32 x 32 m |" in text
    assert "[faulty](faulty/index.md)" in text


def test_an_unchanged_page_is_not_written_again(explored, tmp_path):
    page = write_data_page(explored / "faulty", tmp_path)
    files = [path for path in page.parent.rglob("*") if path.is_file()]
    before = [path.stat().st_mtime_ns for path in files]
    write_data_page(explored / "faulty", tmp_path)
    assert [path.stat().st_mtime_ns for path in files] == before


@pytest.mark.parametrize(
    "content, says",
    [
        (None, "is missing; type"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"maps": 3}', "was written by another version"),
        ('{"version": 3, "name": "x", "sets": []}', "is damaged"),
    ],
)
def test_a_damaged_explore_folder_is_one_sentence(tmp_path, content, says):
    if content is not None:
        (tmp_path / "numbers.json").write_text(content)
    with pytest.raises(UserError, match=says) as caught:
        write_data_page(tmp_path, tmp_path / "site")
    assert "\n" not in str(caught.value) and not (tmp_path / "site").exists()


def test_ranges():
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2, 5, 7-8"
    assert ranges([]) == "none"


def test_scenes_to_show_are_each_shown_once():
    rows = [{"rmse": value} for value in (1, 2, 3)]
    assert [row["title"] for row in pick_examples(rows)] == ["nearest", "median", "farthest"]
    assert [row["rmse"] for row in pick_examples(rows[:1])] == [1]
