"""The site builds without a warning, with and without generated pages, and names no other host."""

import re

import pytest

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


def test_clone_without_runs_tells_how_to_report(plain_site):
    assert "python -m experiments.report" in (plain_site.folder / "runs/index.html").read_text()
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
