"""What a page weighs, and what keeps it light: scripts only where they are used, sizes of pictures, a small search index."""

import json
import re

import pytest

from radiodiff_jax.reporting import kept_pages, reference_pages, site_weight
from tests.site.conftest import REPOSITORY
from tests.site.test_browser import READY_MS, Watched, browser, pytestmark  # noqa: F401

PICTURE = re.compile(r"<img\b[^>]*>")
SCRIPTS = {"zoom-diagrams.js": 'class="mermaid"', "katex.min.js": 'class="arithmatex"', "sort-tables.js": 'class="sortable"'}
HOME_BYTES, INDEX_BYTES, REFERENCE_BYTES = 400_000, 300_000, 150_000


def test_scripts_are_on_pages_that_use_them(full_site):
    counted = dict.fromkeys(SCRIPTS, 0)
    for page in set(full_site.folder.rglob("*.html")) - {full_site.folder / "404.html"}:
        text = page.read_text()
        for script, mark in SCRIPTS.items():
            assert (script in text) == (mark in text), (page, script)
            counted[script] += script in text
    assert all(counted.values()), counted


def test_every_picture_has_its_size(full_site):
    shown = [(page, image) for page in full_site.folder.rglob("*.html") for image in PICTURE.findall(page.read_text())]
    without = [(page, image) for page, image in shown if "width=" not in image or "height=" not in image]
    assert len(shown) > 50 and not without, without[:3]


def test_the_index_of_the_search_is_small_and_knows_the_reference(plain_site):
    index = plain_site.folder / "search" / "search_index.json"
    assert index.stat().st_size <= INDEX_BYTES
    entries = {one["location"]: one for one in json.loads(index.read_text())["docs"]}
    units = entries["reference/ground-floor.html#radiodiff_jax.units"]
    assert "gain_to_db" in units["text"]
    for place in entries:
        assert (plain_site.folder / place.split("#")[0]).is_file(), place
    assert not list(plain_site.folder.rglob("*.map"))


def test_no_page_of_the_reference_is_heavy_and_none_misses_a_module(plain_site):
    pages = {path: path.read_text() for path in (plain_site.folder / "reference").glob("*.html")}
    assert {path.name: len(text) for path, text in pages.items() if len(text.encode()) > REFERENCE_BYTES} == {}
    anchors = [name for text in pages.values() for name in re.findall(r'<h2 id="(radiodiff_jax\.[\w.]+)"', text)]
    assert len(anchors) == len(set(anchors))
    for floor in ("reporting", "inference"):  # whose packages have pages of their own
        paths = [path for path in (REPOSITORY / "radiodiff_jax" / floor).rglob("*.py") if path.name != "__init__.py"]
        missing = {".".join(path.relative_to(REPOSITORY).with_suffix("").parts) for path in paths} - set(anchors)
        assert len(paths) > 20 and not missing, missing


def test_home_is_light_and_the_search_loads_when_it_is_asked(browser, address):  # noqa: F811
    watched = Watched(browser, "light")
    sizes = {}
    watched.page.on("response", lambda answer: sizes.update({answer.url: len(answer.body())}))
    page = watched.open(f"{address}/index.html")
    page.wait_for_load_state("networkidle")
    assert sum(sizes.values()) <= HOME_BYTES, sorted(sizes.items(), key=lambda one: -one[1])[:6]
    assert not any(url.endswith("search_index.json") for url in sizes)
    assert page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") > 0
    page.click(".md-search__input")
    page.keyboard.type("hinge")
    page.wait_for_selector(".md-search-result__item", timeout=READY_MS)
    assert watched.complaints == []
    watched.page.close()


SOURCE = '''"""A module. It says more."""

LIMIT: int = 3
"""How many."""
_HIDDEN = 1
"""Nobody's business."""


class Thing(Base):
    """A thing."""

    @property
    def size(self) -> int:
        """Its size."""

    def _secret(self): ...


def undocumented(): ...


def long(first: dict[str, int], second: tuple[int, ...] = (1, 2), *, third: str = "a, b", fourth: float = 0.5) -> list[int]:
    """Many arguments."""
'''


@pytest.fixture
def package(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text('"""A package."""\n')
    (tmp_path / "package" / "module.py").write_text(SOURCE)
    (tmp_path / "package" / "_private.py").write_text(SOURCE)
    return tmp_path


def test_a_directive_becomes_docstrings_of_public_names(package):
    text = reference_pages.write_out("# Title\n\n::: package\n\nThe end.\n", package)
    headings = re.findall(r"^#+ .*$", text, re.MULTILINE)
    assert headings == [
        "# Title", "## `package` { #package }", "## `package.module` { #package.module }",
        "### `LIMIT` { #package.module.LIMIT }", "### `Thing` { #package.module.Thing }",
        "#### `size` { #package.module.Thing.size }", "### `long` { #package.module.long }",
    ]  # fmt: skip
    assert "LIMIT: int" in text and "class Thing(Base)" in text and "@property\nsize(self) -&gt; int" in text
    assert '    third: str=\'a, b\',\n' in text and "    first: dict[str, int],\n" in text
    assert text.rstrip().endswith("The end.")
    assert "package.module" not in reference_pages.write_out("::: package\n    without: module\n", package)
    with pytest.raises(FileNotFoundError, match=r"names package\.gone"):
        reference_pages.write_out("::: package\n    without: module, gone\n", package)
    with pytest.raises(FileNotFoundError, match=r"names package\.missing"):
        reference_pages.write_out("::: package.missing\n", package)


def test_pages_are_made_again_only_after_a_change(tmp_path):
    source, made = tmp_path / "card.yaml", []
    source.write_text("a")

    def make():
        made.append(1)
        (tmp_path / "index.md").write_text("x")

    def again():
        return kept_pages.make_unless_kept(tmp_path, kept_pages.sources_below(tmp_path), make)

    assert [again(), again()] == [True, False]
    (tmp_path / "index.md").unlink()
    assert [again(), again()] == [True, False]
    source.write_text("ab")
    assert [again(), again()] == [True, False] and len(made) == 3


def test_styles_keep_what_is_used():
    style = "/* x */.md-banner{color:red}.md-tag,.md-nav{color:blue}[data-md-color-primary=red]{a:b}@media print{.md-post{c:d}}"
    assert site_weight.slim_style(style) == ".md-tag,.md-nav{color:blue}@media print{}"
