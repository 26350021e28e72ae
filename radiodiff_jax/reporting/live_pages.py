"""Pages that follow a training while `mkdocs serve` shows them: a hook of MkDocs, named in mkdocs.yml.

The page of a run that goes on asks for RUN/live.json every second, and this server answers from the run folder itself, so that
neither the page nor the site is made anew for a logged step. A built site has no such pages: nothing is asked for.
"""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.livereload import LiveReloadServer
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

from radiodiff_jax.errors import UserError

SCRIPT = "assets/javascripts/live.js"
ASKED = re.compile(r"/runs/([a-z0-9-]+)/live\.json$")
MARK = "data-live"  # of the line on a run's page that follows it
App = Callable[[dict[str, Any], Callable], Iterable[bytes]]
_serving = False


def on_startup(command: str, dirty: bool) -> None:
    """Remember whether pages are served."""
    global _serving
    _serving = command == "serve"


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Add the script that asks to pages of runs that go on."""
    if not _serving or MARK not in output:
        return output
    return output.replace("</body>", f'<script src="{get_relative_url(SCRIPT, page.url)}"></script></body>', 1)


def on_serve(server: LiveReloadServer, config: MkDocsConfig, builder: Any) -> None:
    """Answer what the pages ask for; the rest is MkDocs' business."""
    server.set_app(with_live_runs(server.get_app(), Path(config.docs_dir)))


def with_live_runs(pages: App, site: Path) -> App:
    """A WSGI application that answers .../runs/NAME/live.json?stamp=S, and leaves the rest to `pages`.

    Nothing is in the answer where nothing was written since the stamp; 404 where there is no such run, or its folder is gone.
    """

    def app(environ: dict[str, Any], start_response: Callable) -> Iterable[bytes]:
        asked = ASKED.search(environ["PATH_INFO"])
        if asked is None:
            return pages(environ, start_response)
        status, body = answer(site / "runs" / asked[1], parse_qs(environ.get("QUERY_STRING", "")).get("stamp", [""])[0])
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return app


def answer(page: Path, known: str) -> tuple[str, bytes]:
    """(HTTP status, body) for the run whose page is in a folder."""
    from radiodiff_jax.reporting.runs.live import live_state, stamp  # here, since it loads JAX
    from radiodiff_jax.reporting.runs.refresh import KEPT, read_kept

    kept = read_kept(page / KEPT) if (page / KEPT).is_file() else None
    try:
        if kept is None:
            return "404 Not Found", b"{}"
        folder = Path(kept["source"])
        if stamp(folder) == known:
            return "200 OK", b"{}"  # MkDocs tells of any other status in the terminal
        return "200 OK", json.dumps(live_state(folder), allow_nan=False).encode()
    except (OSError, UserError):
        return "404 Not Found", b"{}"
