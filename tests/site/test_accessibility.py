"""No serious finding of axe-core on any kind of page, light and dark (axe/: axe-core 4.14.1, MPL-2.0, unchanged, tests only)."""

from pathlib import Path

import pytest

from tests.site.test_browser import MODES, Watched, browser, pytestmark  # noqa: F401

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text()
PLACES = (
    "index.html", "guide/models.html", "guide/published-figures.html", "derivations/elbo.html", "models/dpm-regression/index.html",
    "runs/index.html", "runs/vae/index.html", "runs/compare.html", "reference/spaces.html",
)  # fmt: skip
SERIOUS = """async () => (await axe.run({ resultTypes: ["violations"] })).violations
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.length} times, such as ${nodes[0].html.slice(0, 160)}`)"""


@pytest.fixture(scope="module", params=("light", "dark"))
def watched(browser, request):  # noqa: F811
    assert request.param in MODES
    watched = Watched(browser, request.param)
    yield watched
    watched.page.close()


@pytest.mark.parametrize("place", PLACES)
def test_a_page_has_no_serious_finding(watched, address, place):
    page = watched.open(f"{address}/{place}")
    page.evaluate(AXE)
    assert page.evaluate(SERIOUS) == []
