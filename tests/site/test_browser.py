"""What a reader sees, in headless Chromium: light, dark and at phone width. Screenshots go to ci-output/screenshots."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from radiodiff_jax.reporting.diagrams import browser as browser_at_hand
from tests.site.conftest import REPOSITORY

CHROMIUM = browser_at_hand()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

SCREENSHOTS = REPOSITORY / "ci-output" / "screenshots"
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
MODES = {
    "light": {"viewport": DESK, "color_scheme": "light"},
    "dark": {"viewport": DESK, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light"},
}
WITH_DIAGRAMS = (
    "guide/models.html", "architecture/index.html", "architecture/generator-tiny/index.html",
    "architecture/generator-pmnet/network.html",
    "runs/ldm/index.html",
)  # fmt: skip
WITH_FORMULAE = (
    "derivations/straight-paths.html", "derivations/elbo.html", "derivations/metrics.html", "guide/figures-of-merit.html",
)  # fmt: skip
OTHERS = (
    "index.html", "guide/published-figures.html", "runs/vae/index.html",
    "runs/compare.html", "runs/index.html", "runs/ldm/evaluation-test_steps1.html",
    "data/maps/index.html", "reference/objectives.html",
)  # fmt: skip
READY_MS = 20_000
# Material draws diagrams into closed shadow roots; open ones can be looked into and behave alike.
OPEN_SHADOWS = """
const attach = Element.prototype.attachShadow;
Element.prototype.attachShadow = function (options) { return attach.call(this, { ...options, mode: "open" }); };
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    words = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=words)
        yield browser
        browser.close()


class Watched:
    """A page with everything that it complained of and asked for."""

    def __init__(self, browser: Browser, mode: str):
        self.mode = mode
        self.page: Page = browser.new_page(**MODES[mode])
        self.page.add_init_script(OPEN_SHADOWS)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, url: str) -> Page:
        """Show a page and wait until its diagrams and formulae are drawn."""
        self.complaints.clear()
        self.requests.clear()
        self.page.goto(url)
        ready = "() => !document.querySelector('pre.mermaid') && !document.querySelector('.arithmatex:not(:has(.katex))')"
        self.page.wait_for_function(ready, timeout=READY_MS)
        return self.page


@pytest.fixture(scope="module", params=MODES)
def watched(browser, request) -> Iterator[Watched]:
    """One window a mode, so that the browser keeps the libraries from page to page."""
    watched = Watched(browser, request.param)
    yield watched
    watched.page.close()


@pytest.mark.parametrize("place", [*WITH_DIAGRAMS, *WITH_FORMULAE, *OTHERS])
def test_page_is_drawn_whole(watched, address, place):
    page = watched.open(f"{address}/{place}")
    scheme = page.evaluate("document.body.dataset.mdColorScheme")
    assert scheme == ("slate" if watched.mode == "dark" else "default")

    heights = page.evaluate("[...document.querySelectorAll('div.mermaid')].map(each => each.offsetHeight)")
    assert all(height > 20 for height in heights), heights
    assert heights or place not in WITH_DIAGRAMS
    assert page.locator(".katex").count() > 0 or place not in WITH_FORMULAE
    assert page.locator(".katex-error").count() == 0
    assert_no_raw_formulae(page)
    assert_headings_in_order(page)
    assert_pictures_are_described_and_there(page)
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1], f"the page scrolls sideways: {widths}"

    save_screenshot(page, watched.mode, place)
    assert watched.complaints == []
    assert {url for url in watched.requests if not url.startswith((address, "data:", "blob:"))} == set()


def assert_no_raw_formulae(page: Page) -> None:
    """No dollar signs or backslashed brackets are left in the text outside code."""
    text = page.evaluate("""() => {
        const copy = document.querySelector("article").cloneNode(true);
        copy.querySelectorAll("code, pre, .katex, script").forEach((each) => each.remove());
        return copy.textContent;
    }""")
    assert not [mark for mark in ("$$", "\\(", "\\[", "\\frac") if mark in text]


def assert_headings_in_order(page: Page) -> None:
    """One first-level heading, and no level is left out on the way down."""
    levels = page.evaluate("[...document.querySelectorAll('article :is(h1,h2,h3,h4,h5,h6)')].map(h => +h.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1, levels
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False)), levels


def assert_pictures_are_described_and_there(page: Page) -> None:
    """Every picture has a text for those who cannot see it, and every picture is found."""
    page.evaluate("document.querySelectorAll('article img').forEach(each => { each.loading = 'eager'; })")
    page.wait_for_function("[...document.querySelectorAll('article img')].every(each => each.complete)")
    faulty = page.evaluate(
        "[...document.querySelectorAll('article img')].filter(each => !each.alt || !each.naturalWidth).map(each => each.src)"
    )
    assert faulty == []


def save_screenshot(page: Page, mode: str, place: str) -> None:
    """Keep what the page looks like."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    name = Path(place).with_suffix("").as_posix().replace("/", "_")
    page.screenshot(path=SCREENSHOTS / f"{name}_{mode}.png", full_page=True)


@pytest.fixture(scope="module")
def desk(browser) -> Iterator[Watched]:
    watched = Watched(browser, "light")
    yield watched
    watched.page.close()


def test_pages_and_search_work_from_the_disk(desk, full_site):
    page = desk.open((full_site.folder / "index.html").as_uri())
    page.click(".md-search__input")
    page.keyboard.type("hinge")
    page.wait_for_selector(".md-search-result__item", timeout=READY_MS)
    assert desk.complaints == []
    assert {url for url in desk.requests if not url.startswith(("file:", "data:", "blob:"))} == set()


def test_diagrams_zoom_move_and_reset(desk, address):
    page = desk.open(f"{address}/guide/models.html")
    transform = "document.querySelector('div.mermaid').style.transform"
    page.click(".diagram__button[title='Zoom in']")
    assert "scale(1.25)" in page.evaluate(transform)
    page.dblclick(".diagram__stage", position={"x": 5, "y": 5})
    assert page.evaluate(transform) == ""
    page.focus(".diagram__stage")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(transform) == "translate(40px, 0px) scale(1)"
    page.keyboard.press("0")
    box = page.locator(".diagram__stage").bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 40, box["y"] + 30, steps=3)
    page.mouse.up()
    assert page.evaluate(transform) == "translate(30px, 20px) scale(1)"


def test_overview_leads_to_details(desk, address):
    page = desk.open(f"{address}/architecture/generator-tiny/index.html")
    before = page.url
    page.locator("div.mermaid a").first.click()
    page.wait_for_url(lambda url: url != before, timeout=READY_MS)
    assert page.url.startswith(f"{address}/architecture/")
    assert page.locator("article h1").count() == 1
    assert desk.complaints == []


def test_tables_are_sorted_by_their_heads(desk, address):
    page = desk.open(f"{address}/runs/index.html")
    cells = "[...document.querySelectorAll('.sortable tbody tr td:first-child')].map(each => each.textContent.trim())"
    head = page.locator(".sortable thead th").first
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert page.evaluate(cells) == ["ldm", "vae", "vae-fast"]
    head.locator("button").click()
    assert page.evaluate(cells) == ["vae-fast", "vae", "ldm"]
