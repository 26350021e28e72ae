"""What keeps the site light and its building quick: a hook of MkDocs, named in mkdocs.yml beside `mkdocs_hooks`.

Scripts of diagrams and formulae are on pages that have some; pictures have their sizes, so that nothing jumps; the search knows
hand-written pages in full, and of generated ones their titles; source maps and stemmers of other languages are left out.
"""

import json
import re
import shutil
from functools import lru_cache
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url
from PIL import Image

from radiodiff_jax.reporting.reference_pages import write_out

VENDOR = "assets/vendor/"
DIAGRAMS, DRAWN = ("assets/javascripts/zoom-diagrams.js",), "<div data-drawn="  # Mermaid itself is added by its plugin, if it draws
FORMULAE = (VENDOR + "katex/katex.min.js", VENDOR + "katex/auto-render.min.js", "assets/javascripts/formulae.js")
SORTING = "assets/javascripts/sort-tables.js"
SEARCH = "assets/javascripts/search-when-asked.js"  # before Material's own script, which asks for the index
CURVES, CURVES_STYLE = (VENDOR + "uplot/uPlot.iife.min.js", "assets/javascripts/curves.js"), VENDOR + "uplot/uPlot.min.css"
FORMULA_STYLE = VENDOR + "katex/katex.min.css"
REFERENCE, GENERATED = "reference/", ("architecture/",)
IMAGE = re.compile(r'<img\b(?=[^>]*\bsrc="([^"]+)")(?![^>]*\bwidth=)[^>]*?(?=\s*/?>)')
LEFT_OUT = ("assets/javascripts/lunr",)
FROM_FILES = ("models/", "ablations/", "runs/", "data/")
RULE = re.compile(r"([^{}]+)\{[^{}]*\}")
UNUSED = re.compile(
    r"\.md-(?:annotation|author|banner|consent|feedback|pagination|post|profile|social|source|tag|version|iconsearch|status)\b|"
    r"data-md-color-(?:primary|accent)=(?!custom)"
)
TEXT, TEXT_OF_GENERATED = 600, 160  # characters that the search knows of a section, and of one that the code writes


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write the reference out, and take what the code writes out of the search's full text."""
    place = page.file.src_uri
    if place.startswith(REFERENCE) or place.startswith(GENERATED) and place.count("/") > 1:
        page.meta["search"] = {"exclude": True}
    return write_out(markdown, Path(config.config_file_path).parent) if place.startswith(REFERENCE) else markdown


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> None:
    """Name modules alone in the reference's table of contents, which stands twice on a page: names doubled its weight. They
    are named from the first, their package, on, so that they fit."""
    if page.file.src_uri.startswith(REFERENCE):
        for title in page.toc.items:
            package = title.children[0].id if title.children else ""
            for module in title.children:
                module.children = []
                module.title = module.title.replace(f"{package}.", "", 1).removeprefix("radiodiff_jax.")


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Add scripts where they are needed, and the sizes of pictures."""
    scripts, styles = [], []
    if '<pre class="mermaid">' in output or DRAWN in output:
        scripts += DIAGRAMS
    if 'class="arithmatex"' in output:
        scripts += FORMULAE
        styles.append(FORMULA_STYLE)
    if 'class="curves"' in output:
        scripts += CURVES
        styles.append(CURVES_STYLE)
    here = page.url
    for style in styles:
        output = output.replace("</head>", f'<link rel="stylesheet" href="{get_relative_url(style, here)}"></head>', 1)
    tags = "".join(f'<script src="{get_relative_url(script, here)}"></script>' for script in scripts)
    head, found, tail = output.rpartition("</body>")
    output = f"{head}{tags}{found}{tail}" if found else output
    sortable = "" if 'class="sortable"' in output else f'<script src="{get_relative_url(SORTING, here)}"></script>'
    output = output.replace(sortable, "") if sortable else output
    output = output.replace('role="dialog"', 'role="dialog" aria-label="Search"', 1)  # the theme's search has no name
    search = f'<script src="{get_relative_url(SEARCH, here)}"></script>'
    output = without_indents(output.replace("</head>", f"{search}</head>", 1))
    folder = (Path(config.docs_dir) / page.file.src_uri).parent
    return IMAGE.sub(lambda image: sized(image, folder), output)


def without_indents(output: str) -> str:
    """HTML without the indents and empty lines of its templates, except in `<pre>`."""
    parts = re.split(r"(<pre\b.*?</pre>)", output, flags=re.DOTALL)
    return "".join(part if place % 2 else re.sub(r"\n\s+", "\n", part) for place, part in enumerate(parts))


def sized(image: re.Match, folder: Path) -> str:
    """An image with its width and height, where its file is at hand."""
    if image[1].startswith(("http:", "https:", "data:")):
        return image[0]
    size = picture_size(folder / unquote(image[1].split("#")[0]))
    return image[0] if size is None else f'{image[0]} width="{size[0]}" height="{size[1]}"'


@lru_cache(maxsize=4096)
def picture_size(path: Path) -> tuple[int, int] | None:
    """(width, height) of a picture in pixels, of an SVG in points; None for what is none."""
    try:
        if path.suffix == ".svg":
            with path.open() as file:
                found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', file.read(2000))
            return (round(float(found[1]) * 4 / 3), round(float(found[2]) * 4 / 3)) if found else None
        with Image.open(path) as picture:
            return picture.size
    except (OSError, ValueError):
        return None


def on_post_build(config: MkDocsConfig) -> None:
    """Make the search's index small, and take out what no page asks for."""
    site, sources = Path(config.site_dir), Path(config.docs_dir)
    for path in LEFT_OUT:
        shutil.rmtree(site / path, ignore_errors=True)
    for path in site.rglob("*.map"):
        path.unlink()
    for path in (site / "assets" / "stylesheets").glob("*.css"):
        path.write_text(slim_style(path.read_text()))
    index = site / "search" / "search_index.json"
    if not index.is_file():
        return
    held = json.loads(index.read_text())
    held["docs"] = [slim(one) for one in held["docs"]] + reference_entries(sources, Path(config.config_file_path).parent)
    held["docs"] += generated_entries(sources)
    text = json.dumps(held, separators=(",", ":"), ensure_ascii=False)
    index.write_text(text)
    script = index.with_suffix(".js")
    if script.is_file():
        script.write_text(f"var __index = {text}")


def slim_style(style: str) -> str:
    """A style sheet without comments, and without rules for parts and colours of the theme that no page here has."""
    style = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    return RULE.sub(lambda rule: "" if all(map(UNUSED.search, rule[1].split(","))) else rule[0], style)


def slim(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of the search without formulae, markup and code, which nobody looks for by words."""
    text = re.sub(r"\\\(.*?\\\)|\\\[.*?\\\]", " ", entry["text"], flags=re.DOTALL)
    text = re.sub(r"<pre\b.*?</pre>", " ", text, flags=re.DOTALL)
    text = re.sub(r"\s+", " ", re.sub(r"</?[a-z][^>]*>", " ", text)).strip()
    return entry | {"text": cut(text, TEXT_OF_GENERATED if entry["location"].startswith(FROM_FILES) else TEXT)}


def cut(text: str, most: int) -> str:
    """The first words of a text, of at most so many characters."""
    return text if len(text) <= most else text[:most].rsplit(" ", 1)[0]


def reference_entries(sources: Path, root: Path) -> list[dict[str, Any]]:
    """An entry a module of the reference: its name, its first sentence and its public names."""
    found = []
    for path in sorted((sources / REFERENCE).glob("*.md")):
        page = f"{REFERENCE}{path.stem}.html"
        for section in re.split(r"^## ", write_out(path.read_text(), root), flags=re.MULTILINE)[1:]:
            named = re.match(r"`([\w.]+)` \{ #", section)
            if named is None:
                continue
            names = re.findall(r"^#{3,} `(\w+)`", section, re.MULTILINE)
            first = section.split("\n\n", 2)[1].split(". ")[0] if "\n\n" in section else ""
            told = re.sub(r"\s+", " ", first)[:TEXT_OF_GENERATED]
            text = f"{told}. {' '.join(names)}" if not told.startswith("#") else " ".join(names)
            found.append({"location": f"{page}#{named[1]}", "title": named[1], "text": text.replace("<", "&lt;")})
    return found


def generated_entries(sources: Path) -> list[dict[str, Any]]:
    """An entry a page of the code's diagrams: its title and description."""
    found = []
    for path in sorted(path for folder in GENERATED for path in (sources / folder).glob("*/**/*.md")):
        text = path.read_text()
        title = re.search(r"^# (.+)$", text, re.MULTILINE)
        told = re.search(r"^description: ['\"]?(.+?)['\"]?$", text, re.MULTILINE)
        place = path.relative_to(sources).with_suffix(".html").as_posix()
        words = unescape(told[1])[:TEXT_OF_GENERATED] if told else ""
        found.append({"location": place, "title": re.sub("[`*]", "", title[1] if title else path.stem), "text": words})
    return found
