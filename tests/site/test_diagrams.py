"""Diagrams that the build has drawn: in the page as SVG, drawn once, and left to the reader's browser where none is at hand."""

import html
from types import SimpleNamespace

import pytest

from radiodiff_jax.reporting import diagrams
from radiodiff_jax.reporting.mkdocs_hooks import fence_mermaid_custom
from tests.site.test_browser import CHROMIUM

SOURCE, OTHER = 'flowchart LR\n  a["one<br/>two"] --> b', "flowchart TD\n  c --> d"


@pytest.fixture
def site(tmp_path):
    (tmp_path / "assets/vendor/mermaid").mkdir(parents=True)
    (tmp_path / diagrams.MERMAID).write_text("")
    return tmp_path


def build(site, *sources, others=()):
    """The content of a page with some diagrams after the hook; `others` are pages beside it."""
    content = "".join(fence_mermaid_custom(source, "mermaid", "mermaid", {}, None) for source in sources)
    page = SimpleNamespace(content=content)
    files = SimpleNamespace(documentation_pages=lambda: [SimpleNamespace(page=one) for one in (page, *others)])
    diagrams.on_env(None, SimpleNamespace(docs_dir=str(site)), files)
    return page.content, diagrams.on_post_page(page.content, None, SimpleNamespace(docs_dir=str(site)))


def test_a_diagram_is_drawn_once(site, monkeypatch):
    asked = []

    def draw(group, *_):
        asked.append(set(group.values()))
        return {name: f"<svg>{len(asked)}</svg>" for name, source in group.items() if source != OTHER}

    monkeypatch.setattr(diagrams, "browser", lambda: "a browser")
    monkeypatch.setattr(diagrams, "draw", draw)
    content, shown = build(site, SOURCE, OTHER)
    assert asked == [{SOURCE, OTHER}] and '<pre class="mermaid"><code>' + html.escape(OTHER) in content
    assert html.escape(SOURCE) not in content and '<template shadowrootmode="open">' in shown and "<svg>1</svg>" in shown
    assert build(site, SOURCE)[1].count("<svg>1</svg>") == 1 and len(asked) == 1
    assert build(site, SOURCE + "\n  b --> c")[1].count("<svg>2</svg>") == 1 and len(asked) == 2
    build(site, SOURCE, others=[SimpleNamespace(content=None)])  # as with --dirty, where nothing may be taken for unused
    assert len(list((site / diagrams.FOLDER).iterdir())) == 2
    build(site, SOURCE)
    assert len(list((site / diagrams.FOLDER).iterdir())) == 1  # what no page has any more is gone


@pytest.mark.parametrize("program", [None, "false", "/nowhere/chromium"])
def test_without_a_browser_pages_stay_as_they_are(site, monkeypatch, program):
    monkeypatch.setattr(diagrams, "browser", lambda: program)
    content, shown = build(site, SOURCE)
    assert content == shown == fence_mermaid_custom(SOURCE, "mermaid", "mermaid", {}, None)


def test_colours_follow_the_page():
    assert diagrams.in_both_schemes('style="fill:#0072b222;stroke:#123456"') == (
        'style="fill:#0072b222;fill:light-dark(#0072b222,#58b0f022);stroke:#123456"'
    )


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_no_page_loads_mermaid_where_all_is_drawn(full_site):
    pages = {page: page.read_text() for page in full_site.folder.rglob("*.html")}
    drawn = [page for page, text in pages.items() if "shadowrootmode" in text]
    assert len(drawn) > 50
    assert not [page for page, text in pages.items() if "mermaid.min.js" in text or '<pre class="mermaid">' in text]
    text = pages[full_site.folder / "architecture/generator-tiny/index.html"]
    assert "<b>Scene</b><br>buildings, transmitter" in text and 'xlink:href="network.html"' in text
    assert max(len(pages[page]) for page in drawn) < 200_000, max(drawn, key=lambda page: len(pages[page]))
