"""The page of a run that goes on follows it, without being made anew: what the server answers, and what a browser shows."""

import json
import time
from types import SimpleNamespace

import pytest

from radiodiff_jax.files import write_json
from radiodiff_jax.reporting import live_pages
from tests.reporting.run_folders import write_run
from tests.site.conftest import REPOSITORY
from tests.site.test_browser import Watched, browser, pytestmark  # noqa: F401


@pytest.fixture
def run(tmp_path):
    """A run that goes on, and what is kept beside its page in tmp_path/site/runs/vae."""
    run = write_run(tmp_path / "vae", "vae", 20, ending="", resumes=0)
    kept = {"digest": "", "code": "", "source": str(run), "summary": {}}
    write_json(tmp_path / "site" / "runs" / "vae" / ".digest", kept)
    return run


def ask(tmp_path, path, query=""):
    """(status, JSON) of the application over pages that answer nothing."""
    said = []
    app = live_pages.with_live_runs(lambda *_: [b'"a page"'], tmp_path / "site")
    body = b"".join(app({"PATH_INFO": path, "QUERY_STRING": query}, lambda status, _: said.append(status)))
    return (said or [""])[0], json.loads(body or b"null")


def log_step(run, step, loss):
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, "phase": "vae_gan", "time_s": 600.0, "loss": loss}) + "\n")


def test_the_server_answers_from_the_run_folder(run, tmp_path):
    status, found = ask(tmp_path, "/runs/vae/live.json")
    assert status == "200 OK" and found["going_on"] and found["step"] == 200 and "Running: after 200" in found["sentence"]
    assert [one["steps"][-1] for one in found["curves"]["Losses of vae"]][0] == 200
    assert ask(tmp_path, "/runs/vae/live.json", f"stamp={found['stamp']}") == ("200 OK", {})
    log_step(run, 210, 1.5)
    status, after = ask(tmp_path, "/mounted/runs/vae/live.json", f"stamp={found['stamp']}")
    assert status == "200 OK" and after["step"] == 210 and after["curves"]["Losses of vae"][0]["values"][-1] == 1.5
    assert ask(tmp_path, "/runs/gone/live.json")[0] == "404 Not Found"
    assert ask(tmp_path, "/runs/../vae/live.json") == ask(tmp_path, "/runs/vae/index.html") == ("", "a page")


def test_pages_ask_only_while_they_are_served():
    page, going_on = SimpleNamespace(url="runs/vae/index.html"), "<body><p data-live hidden></p></body>"
    live_pages.on_startup("build", False)
    assert live_pages.on_post_page(going_on, page, None) == going_on
    live_pages.on_startup("serve", False)
    assert '<script src="../../assets/javascripts/live.js">' in live_pages.on_post_page(going_on, page, None)
    assert live_pages.on_post_page("<body></body>", page, None) == "<body></body>"
    live_pages.on_startup("build", False)


def test_a_page_shows_a_logged_step_within_three_seconds(browser, address, run, tmp_path):  # noqa: F811
    watched = Watched(browser, "light")

    def serve(route):
        status, found = ask(tmp_path, "/runs/vae/live.json", route.request.url.partition("?")[2])
        route.fulfill(status=int(status[:3]), json=found)

    watched.page.route("**/live.json*", serve)
    page = watched.open(f"{address}/runs/vae/index.html")
    page.evaluate("document.querySelector('#summary + .admonition').insertAdjacentHTML('afterend', '<p data-live hidden></p>')")
    page.add_script_tag(path=REPOSITORY / "site_src/assets/javascripts/live.js")
    words = "document.querySelector('#summary + .admonition').textContent"
    page.wait_for_function(f"{words}.includes('Running: after 200')")
    begin = time.monotonic()
    log_step(run, 230, 1.5)
    page.wait_for_function(f"{words}.includes('Running: after 230')")
    took = time.monotonic() - begin
    assert took <= 3.0, took
    print(f"shown after {took:.2f} s")
    assert watched.complaints == []
    page.close()
