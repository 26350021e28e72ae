"""The page "Try it" in headless Chromium: what it draws is what `predict` answers, and it asks no other host for anything."""

import csv
import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from radiodiff_jax.inference.loading import load_model
from radiodiff_jax.units import STRONGEST_DB, WEAKEST_DB
from tests.site.conftest import served
from tests.site.test_browser import CHROMIUM, SCREENSHOTS, Watched

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
MAP_MS = 120_000  # two cores that others use as well
SIDE = 256
WITHIN_DB = 0.5
PIXELS = """name => {
    const canvas = document.querySelector(`#try-it [data-part=${name}]`);
    return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
}"""


@pytest.fixture(scope="module")
def place(plain_site) -> Iterator[str]:
    """The address of the page."""
    pytest.importorskip("onnx", reason="the site has no model without the package onnx")
    with served(plain_site.folder) as address:
        yield f"{address}/try/index.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def model():
    return load_model("dpm-regression")


@pytest.fixture(scope="module")
def desk(browser, place) -> Iterator[Watched]:
    """The page with the map of the city that it begins with."""
    watched = Watched(browser, "light")
    watched.page.goto(place)
    wait_for_map(watched.page)
    yield watched
    watched.page.close()


def wait_for_map(page: Page) -> str:
    """Wait for a map; how long it took, as the page says it."""
    page.wait_for_function("document.querySelector('#try-it [data-part=png]')?.disabled === false", timeout=MAP_MS)
    return page.locator("#try-it [data-part=status]").inner_text()


def press(page: Page, row: int, column: int) -> None:
    """Point at the middle of a pixel of the map."""
    page.evaluate("document.querySelector('#try-it [data-part=map]').scrollIntoView({block: 'center'})")
    box = page.locator("#try-it [data-part=map]").bounding_box()
    page.mouse.move(box["x"] + (column + 0.5) * box["width"] / SIDE, box["y"] + (row + 0.5) * box["height"] / SIDE)


def click(page: Page, row: int, column: int) -> None:
    """Click on a pixel of the map and wait for the answer."""
    press(page, row, column)
    page.mouse.down()
    page.mouse.up()
    print(wait_for_map(page))


def canvas(page: Page, name: str, height: int) -> np.ndarray:
    """The colours of a canvas, [height, 256, 3]."""
    return np.array(page.evaluate(PIXELS, name), int).reshape(height, SIDE, 4)[..., :3]


def shown_db(page: Page) -> np.ndarray:
    """What the colours of the map say in dB, by the scale beside it."""
    colours, scale = canvas(page, "map", SIDE), canvas(page, "scale", 1)[0]
    distance = ((colours[:, :, None] - scale) ** 2).sum(-1)
    return WEAKEST_DB + (STRONGEST_DB - WEAKEST_DB) * distance.argmin(-1) / (SIDE - 1)


def table_db(page: Page) -> np.ndarray:
    """The table that the page offers, NaN inside buildings."""
    with page.expect_download() as found:
        page.click("#try-it [data-part=csv]")
    rows = list(csv.reader(io.StringIO(found.value.path().read_text())))
    return np.array([[float(number) if number else np.nan for number in row] for row in rows])


def test_a_drawn_city_and_two_clicks_give_what_predict_answers(desk, model, place):
    page = desk.page
    page.click("#try-it [data-part=clear]")
    page.check("#try-it input[value=building]")
    drawn = np.zeros((SIDE, SIDE), bool)
    for top, left, bottom, right in [(40, 30, 90, 70), (120, 50, 200, 85), (60, 130, 110, 210), (150, 140, 230, 170)]:
        press(page, top, left)
        page.mouse.down()
        press(page, bottom, right)
        page.mouse.up()
        drawn[top : bottom + 1, left : right + 1] = True
    page.check("#try-it input[value=transmitter]")
    for transmitter in [(128, 110), (20, 20)]:
        click(page, *transmitter)
        expected = model.predict(drawn, transmitter).db
        table = table_db(page)
        np.testing.assert_array_equal(np.isnan(table), drawn)
        outdoors = ~drawn
        found = np.abs(table - expected)[outdoors]
        print(f"table: {found.max():.3f} dB at most, {np.sqrt(np.mean(found**2)):.4f} dB rms")
        assert found.max() < WITHIN_DB
        assert np.abs(shown_db(page) - expected)[outdoors].max() < WITHIN_DB
    host = place.split("/try/")[0]
    assert {url for url in desk.requests if not url.startswith((host, "data:", "blob:"))} == set()
    assert desk.complaints == []


def test_keys_alone_place_the_transmitter_and_read_the_map(desk):
    page = desk.page
    page.focus("#try-it [data-part=map]")
    page.keyboard.press("Shift+ArrowRight")
    read = page.locator("#try-it [data-part=read-out]")
    before = read.inner_text()
    page.keyboard.press("ArrowDown")
    after = read.inner_text()
    assert before != after and " dB, " in after
    row, column = (int(part.split()[1]) for part in after.split(", ")[:2])
    page.keyboard.press("Enter")
    wait_for_map(page)
    page.keyboard.press("ArrowRight")
    beside = read.inner_text()
    assert beside.startswith(f"row {row}, column {column + 1}, ") and beside.endswith(" 1 m from the transmitter")


def test_a_mask_is_uploaded_and_a_transmitter_in_a_building_is_refused(desk, tmp_path):
    page = desk.page
    mask = np.zeros((300, 200), np.uint8)
    mask[100:200, 50:150] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    page.set_input_files("#try-it [data-part=file]", tmp_path / "mask.png")
    page.wait_for_function("document.querySelector('#try-it [data-part=size]').textContent.includes('200 x 300')")
    wait_for_map(page)
    buildings = (canvas(page, "map", SIDE) == 138).all(-1)
    expected = np.zeros((SIDE, SIDE), bool)
    expected[78:178, 78:178] = True  # (256 - 300) / 2 = -22 rows and (256 - 200) / 2 = 28 columns
    np.testing.assert_array_equal(buildings, expected)
    click(page, 128, 128)
    assert page.locator("#try-it [data-part=status]").inner_text() == "There is a building. Click on open ground."
    page.set_input_files("#try-it [data-part=file]", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    page.wait_for_function("document.querySelector('#try-it [data-part=status]').textContent.startsWith('notes.txt is no picture')")


def test_the_picture_is_a_png_of_the_map(desk):
    with desk.page.expect_download() as found:
        desk.page.click("#try-it [data-part=png]")
    image = np.array(Image.open(found.value.path()).convert("RGB"))
    np.testing.assert_array_equal(image[17:784:3, 17:784:3][:8], canvas(desk.page, "map", SIDE)[:8])


@pytest.mark.parametrize("mode", ["light", "dark", "phone"])
def test_the_page_fits_every_screen(browser, place, mode):
    watched = Watched(browser, mode)
    page = watched.page
    page.goto(place)
    wait_for_map(page)
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1]
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"try_index_{mode}.png", full_page=True)
    assert watched.complaints == []
    page.close()


def test_from_the_disk_the_page_says_what_to_do(browser, plain_site):
    page = Watched(browser, "light").page
    page.goto((plain_site.folder / "try" / "index.html").as_uri())
    assert "open the site by an address that begins with http" in page.locator("#try-it [data-part=status]").inner_text()
    page.close()
