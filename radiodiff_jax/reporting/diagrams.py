"""Diagrams as SVG in the page: a hook of MkDocs, named in mkdocs.yml before `site_weight`.

Mermaid is the source. Where a browser of the Chromium family is at hand it draws every flowchart once, headless, while the site
is built; what is drawn is kept below site_src/.diagrams by the digest of its source. A page whose diagrams are all drawn has no
Mermaid script; elsewhere the reader's browser draws them, as if this hook were not there. One SVG serves light and dark, since its
colours are those of the page that it stands in, behind a shadow root that keeps the page's other styles off.
"""

import hashlib
import html
import json
import logging
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

from radiodiff_jax.files import write_text
from radiodiff_jax.reporting.palette import DARK

log = logging.getLogger("mkdocs.hooks.diagrams")

FOLDER = ".diagrams"  # below the site's sources; hidden, so that MkDocs leaves it out
MERMAID = "assets/vendor/mermaid/mermaid.min.js"
PROGRAM = Path(__file__).with_suffix(".js")
SOURCE = re.compile(r'<pre class="mermaid"><code>(.*?)</code></pre>', re.DOTALL)
PLACE = re.compile(r'<div data-drawn="([0-9a-f]{40})"></div>')
DRAWABLE = re.compile(r"^(?:flowchart|graph)\b", re.MULTILINE)
BROWSERS = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)  # fmt: skip
AT_ONCE = 40  # diagrams a start of the browser
SECONDS_EACH = 15.0  # at most, beside a start of a minute
FONT = 'system-ui, -apple-system, "Segoe UI", "Noto Sans", "Liberation Sans", sans-serif'  # as extra.css
SETTINGS = {"fontFamily": FONT, "securityLevel": "strict"}
DIAGRAM_STYLE = (
    "svg{font:16px var(--md-text-font-family,sans-serif),sans-serif;overflow:visible}"
    ":is(rect,circle,ellipse,polygon,path):where(.node *){fill:var(--md-mermaid-node-bg-color);"
    "stroke:var(--md-mermaid-node-fg-color)}"
    ".cluster rect{fill:var(--md-default-fg-color--lightest);stroke:var(--md-default-fg-color--lighter)}"
    ".flowchart-link{fill:none;stroke:var(--md-mermaid-edge-color)}"
    ".edge-thickness-thick{stroke-width:3.5px}.edge-pattern-dotted{stroke-dasharray:2}"
    "marker{fill:var(--md-mermaid-edge-color);stroke:var(--md-mermaid-edge-color)}"
    "foreignObject{overflow:visible}"
    "div{display:table-cell;white-space:nowrap;line-height:1.5;text-align:center;color:var(--md-mermaid-label-fg-color)}"
    "div.wraps{display:table;white-space:break-spaces}"
    ".edgeLabel div{background:var(--md-mermaid-label-bg-color);color:var(--md-mermaid-edge-color)}"
    "a div{text-decoration:underline}p{margin:0}"
)


def on_env(env: Any, config: MkDocsConfig, files: Files) -> None:
    """Draw what is not drawn yet, and leave a mark on pages in the place of diagrams that are."""
    sources = Path(config.docs_dir)
    kept = sources / FOLDER
    written = [file.page for file in files.documentation_pages() if file.page is not None]
    pages = [page for page in written if SOURCE.search(page.content or "")]
    wanted = {digest(source, sources): source for page in pages for source in flowcharts(page.content)}
    draw_missing(wanted, kept, sources)
    there = {name for name in wanted if (kept / f"{name}.svg").is_file()}
    for page in pages:
        page.content = marked(page.content, there, sources)
    if all(page.content is not None for page in written):  # not of a build with --dirty, which leaves pages out
        for path in kept.glob("*.svg"):
            if path.stem not in wanted:
                path.unlink(missing_ok=True)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Put the diagrams into their places: after the plugins, which would read them through."""
    return PLACE.sub(lambda place: shown((Path(config.docs_dir) / FOLDER / f"{place[1]}.svg").read_text()), output)


def flowcharts(content: str) -> list[str]:
    """The flowcharts of a page, as Mermaid reads them."""
    found = (html.unescape(text) for text in SOURCE.findall(content))
    return [source for source in found if DRAWABLE.search(source)]


def marked(content: str, there: set[str], sources: Path) -> str:
    """A page with marks in the place of diagrams that are drawn."""

    def mark(found: re.Match) -> str:
        name = digest(html.unescape(found[1]), sources)
        return f'<div data-drawn="{name}"></div>' if name in there else found[0]

    return SOURCE.sub(mark, content)


def shown(svg: str) -> str:
    """The element of a diagram, which is what Mermaid would have put on the page."""
    return (f'<div class="mermaid"><template shadowrootmode="open"><style>{DIAGRAM_STYLE}</style>{in_both_schemes(svg)}'
            "</template></div>")  # fmt: skip


def in_both_schemes(svg: str) -> str:
    """Colours of our palette follow the page; browsers that do not know `light-dark` keep the light one."""
    pattern = rf"(fill|stroke):({'|'.join(DARK)})([0-9a-f]{{2}})?"
    return re.sub(pattern, lambda found: f"{found[0]};{found[1]}:light-dark({found[2]}{found[3] or ''},"
                                         f"{DARK[found[2]]}{found[3] or ''})", svg)  # fmt: skip


def digest(source: str, sources: Path) -> str:
    """Of a diagram and of all that draws it."""
    program = (sources / MERMAID).stat().st_size, PROGRAM.read_bytes(), SETTINGS
    return hashlib.sha1(f"{program}{source}".encode(), usedforsecurity=False).hexdigest()


# ---- the browser ----


def browser() -> str | None:
    """The program of a browser of the Chromium family, None where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def draw_missing(wanted: dict[str, str], kept: Path, sources: Path) -> None:
    """Draw the diagrams of which `kept` has none, a group at a time; what cannot be drawn is left to the reader's browser."""
    missing = {name: source for name, source in wanted.items() if not (kept / f"{name}.svg").is_file()}
    program = browser() if missing else None
    if program is None:
        return
    begin, done = time.monotonic(), 0
    for group in groups(missing):
        try:
            drawn = draw(group, program, sources / MERMAID)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            told = " ".join(str(error).split())[:200]
            log.info(f"{program} drew no diagrams ({told}); the reader's browser will")
            return
        for name, svg in drawn.items():
            write_text(kept / f"{name}.svg", svg)
        done += len(group)
        took = time.monotonic() - begin
        log.info(f"Diagrams drawn: {done} of {len(missing)}, {done / took:.1f}/s, "
                 f"{took / done * (len(missing) - done):.0f} s left")  # fmt: skip


def groups(sources: dict[str, str]) -> Iterator[dict[str, str]]:
    """At most `AT_ONCE` each."""
    names = list(sources)
    for start in range(0, len(names), AT_ONCE):
        yield {name: sources[name] for name in names[start : start + AT_ONCE]}


def draw(group: dict[str, str], program: str, mermaid: Path) -> dict[str, str]:
    """{name: SVG} of those sources that Mermaid understands.

    Raises OSError or SubprocessError where the browser does not start or end, ValueError where it answers something else.
    """
    asked = json.dumps({"settings": SETTINGS, "sources": group}).replace("<", "\\u003c")
    page = (
        f'<!doctype html><meta charset="utf-8"><body><script src="{mermaid.resolve().as_uri()}"></script>'
        f'<script id="asked" type="application/json">{asked}</script><script>{PROGRAM.read_text()}</script>'
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "diagrams.html"
        path.write_text(page)
        words = [
            "--headless", "--disable-gpu", "--disable-background-networking", "--no-first-run", f"--user-data-dir={folder}/profile",
            "--virtual-time-budget=100000000", "--dump-dom", path.as_uri(),
        ]  # fmt: skip
        words += ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # Chromium refuses root otherwise
        done = subprocess.run([program, *words], capture_output=True, check=True, timeout=60 + SECONDS_EACH * len(group))
    answer = re.search(r'<pre id="drawn">(.*?)</pre>', done.stdout.decode("utf-8", "replace"), re.DOTALL)
    if answer is None:
        raise ValueError("it ended before they were drawn")
    return json.loads(html.unescape(answer[1]))
