"""Curves that can be asked: read-out, axes, smoothing and zoom in headless Chromium; the picture without scripts."""

import pytest

from tests.site.test_browser import Watched, browser, pytestmark  # noqa: F401

STAGE = ".curves__stage .u-over"
VALUES = "[...document.querySelector('.curves__stage').querySelectorAll('.u-value')].map(each => each.textContent)"


@pytest.fixture(scope="module")
def desk(browser):  # noqa: F811
    watched = Watched(browser, "light")
    yield watched
    watched.page.close()


def test_curves_answer_where_they_are_pointed_at(desk, address):
    page = desk.open(f"{address}/runs/vae/index.html")
    page.locator(STAGE).first.scroll_into_view_if_needed()
    box = page.locator(STAGE).first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function(f"{VALUES}.every(text => text && text !== '-' && text !== '--')")
    step, before = float(page.evaluate(f"{VALUES}[0]").replace(",", "")), page.evaluate(f"{VALUES}[1]")
    assert step > 0 and float(before) != 0
    assert page.locator(".curves__picture").first.is_hidden()
    bar = page.locator(".curves__bar").first
    bar.locator("input[type=range]").fill("0.98")
    page.mouse.move(box["x"] + box["width"] / 2 + 1, box["y"] + box["height"] / 2)
    page.wait_for_function(f"{VALUES}[1] !== '{before}'")  # smoothed
    bar.locator("select").select_option("minutes")
    assert "training time (min)" in page.locator(".curves__stage .u-legend").first.inner_text()
    log = bar.locator("input[type=checkbox]")
    was = log.is_checked()
    log.click()
    assert log.is_checked() != was
    assert desk.complaints == []


def test_figures_of_merit_are_shown_one_at_a_time(desk, address):
    page = desk.open(f"{address}/runs/vae/index.html")
    place = page.locator(".curves").nth(1)
    choices = place.locator("select").first.locator("option").all_inner_texts()
    assert any("RMSE" in one for one in choices) and any("SSIM" in one for one in choices)
    labels = place.locator(".u-legend .u-label")
    assert labels.nth(1).inner_text() == choices[0] and labels.count() == 2
    place.locator("select").first.select_option(label=choices[-1])
    assert labels.nth(1).inner_text() == choices[-1] and desk.complaints == []


def test_runs_side_by_side_share_an_axis_of_their_own_length(desk, address):
    page = desk.open(f"{address}/runs/compare.html")
    choices = page.locator(".curves__bar select").first.locator("option").all_inner_texts()
    assert choices == ["step (updates)", "training time (min)", "share of the run (%)"]
    page.locator(".curves__bar select").first.select_option("share")
    assert page.locator(".curves--drawn canvas").count() >= 2 and desk.complaints == []


def test_readers_without_scripts_see_the_picture(browser, address):  # noqa: F811
    page = browser.new_page(java_script_enabled=False)
    page.goto(f"{address}/runs/vae/index.html")
    assert page.locator(".curves__picture img").first.is_visible() and page.locator("canvas").count() == 0
    page.close()
