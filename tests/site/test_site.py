"""The site builds without a warning, with and without generated pages, and names no other host."""

import re

import pytest

from tests.site.conftest import REPOSITORY

PAGES = (
    "index.html", "getting-started.html", "troubleshooting.html", "how-reports-are-made.html", "guide/scale.html",
    "runs/index.html", "ablations/index.html", "data/index.html", "architecture/index.html", "derivations/index.html",
    "reference/models.html",
)  # fmt: skip
LOADED = re.compile(r"""<(?:script|img|iframe|source|video)\b[^>]*?\bsrc=["']?(?:https?:)?//|"""
                    r"""<link\b(?![^>]*rel=["']?canonical)[^>]*?\bhref=["']?(?:https?:)?//""")  # fmt: skip


@pytest.mark.parametrize("name", ["plain_site", "full_site"])
def test_builds_without_a_warning(name, request):
    site = request.getfixturevalue(name)
    assert "WARNING" not in site.log
    for page in PAGES:
        assert (site.folder / page).is_file(), page


def test_a_clone_shows_the_example_run_and_tells_how_to_report(plain_site, full_site):
    index = (plain_site.folder / "runs/index.html").read_text()
    assert "python -m experiments.report" in index and 'href="regression-64/index.html"' in index
    page = (plain_site.folder / "runs/regression-64/index.html").read_text()
    assert "An example that comes with the repository" in page and "dB better than the path estimate" in page
    assert "could not be drawn" not in page and "cannot be read" not in page
    assert (plain_site.folder / "runs/regression-64/evaluation-all_steps1.html").is_file()
    assert not (full_site.folder / "runs/regression-64").exists()  # other runs have been reported since
    assert "regression-64" not in (full_site.folder / "runs/index.html").read_text()


def test_the_example_run_is_light_and_names_no_place_of_its_maker():
    files = [path for path in (REPOSITORY / "site_src/example_runs").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 300_000
    for path in files:
        if path.suffix in (".json", ".jsonl", ".yaml", ".txt"):
            assert not re.search(r"(?<![\w.])/(?:\w+/)+", path.read_text()), path


def test_a_clone_tells_how_to_explore_data(plain_site):
    assert "experiments.dataset explore" in (plain_site.folder / "data/index.html").read_text()


def test_results_of_ablations_have_pages_without_run_folders(full_site):
    page = (full_site.folder / "ablations/micro/index.html").read_text()
    assert "9.1 % less error" in page and "figures/errors.dark.svg" in page
    assert (full_site.folder / "ablations/micro.json").is_file()
    assert "micro/index.html" in (full_site.folder / "ablations/index.html").read_text()


def test_generated_pages_are_in_the_navigation(full_site):
    index = (full_site.folder / "runs/index.html").read_text()
    for page in ("compare.html", "vae/index.html", "ldm/index.html"):
        assert (full_site.folder / "runs" / page).is_file()
        assert re.search(rf'<li class="md-nav__item[^>]*>\s*(?:<div[^>]*>\s*)?<a href="{re.escape(page)}"', index), page


def test_pages_load_nothing_from_another_host(full_site):
    for page in full_site.folder.rglob("*.html"):
        assert not LOADED.search(page.read_text()), page
    for sheet in full_site.folder.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//", sheet.read_text()), sheet


def test_search_index_knows_hand_written_and_generated_pages(full_site):
    index = (full_site.folder / "search/search_index.js").read_text()
    assert index.startswith("var __index = ")
    for place in ("troubleshooting.html", "runs/vae/index.html", "radiodiff_jax.objectives.vae_gan"):
        assert place in index, place
