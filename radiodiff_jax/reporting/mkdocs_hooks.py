"""What MkDocs asks of us while it builds: pages made from the code, placeholders, and the navigation of folders.

`mkdocs.yml` names this file under `hooks`. It imports the models only when a build begins.
"""

import html
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from radiodiff_jax.reporting.architecture import write_architecture_pages
from radiodiff_jax.reporting.kept_pages import make_unless_kept, package_files, sources_below
from radiodiff_jax.reporting.markdown import note, page

PLACEHOLDERS = {
    "runs/index.md": page(
        "Runs",
        note("note", "No run has been reported yet", "Type `python -m experiments.report` where your `runs` folder is."),
    ),
    "data/index.md": page(
        "Data",
        note(
            "note",
            "No data set has been explored yet",
            "Type `python -m experiments.dataset explore --root DIR --site site_src`.",
        ),
    ),
    "ablations/index.md": page(
        "Comparisons",
        note(
            "note",
            "No comparison has been made yet",
            "Type `python -m experiments.ablate --plan objectives --data DIR --out DIR`.",
        ),
    ),
}
"""Path -> Markdown of pages that are linked from everywhere and made by commands that may not have been given yet."""


def fence_mermaid_custom(
    source: str, language: str, css_class: str, options: dict[str, Any], md: Any, **others: Any
) -> str:
    """A fence ```` ```mermaid ```` as HTML, escaped: else the browser takes `<br/>` inside a label away."""
    return f'<pre class="{css_class}"><code>{html.escape(source)}</code></pre>'


def on_pre_build(config: MkDocsConfig) -> None:
    """Write the pages of networks, shipped models, comparisons and the example run, and what the page "Try it" loads; nothing is
    written where nothing changed, so that a watching server rests."""
    from radiodiff_jax.reporting.try_it import write_try_it

    site, code = Path(config.docs_dir), package_files()
    write_architecture_pages(site)
    for name, make in (("models", _model_pages), ("ablations", _ablation_pages)):
        make_unless_kept(site / name, [*code, *sources_below(site / name)], partial(make, site))
    example = sources_below(site / "example_runs")
    if example:
        make_unless_kept(site / "runs", [*code, *example], partial(_example_run, site))
    write_try_it(site)


def _model_pages(site: Path) -> None:
    from radiodiff_jax.reporting.model_card import write_model_pages  # here, since it loads JAX

    write_model_pages(site)


def _ablation_pages(site: Path) -> None:
    from radiodiff_jax.reporting.ablation_pages import write_ablation_pages  # here, since it loads SciPy's statistics

    write_ablation_pages(site)


def _example_run(site: Path) -> None:
    from radiodiff_jax.reporting.example_run import write_example_pages  # here, since it draws curves and loads JAX

    write_example_pages(site)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add placeholder pages, and the pages of folders to the navigation."""
    for path, content in PLACEHOLDERS.items():
        if files.get_file_from_path(path) is None:
            files.append(File.generated(config, path, content=content))
    config.nav = [expanded(entry, files) for entry in config.nav or []]
    return files


def expanded(entry: Any, files: Files) -> Any:
    """`{title: "FOLDER/index.md"}` -> `{title: [all pages below FOLDER]}`; anything else as it is."""
    if not isinstance(entry, dict):
        return entry
    ((title, value),) = entry.items()
    if not isinstance(value, str) or not value.endswith("/index.md"):
        return entry
    folder = PurePosixPath(value).parent
    texts = {
        file.src_uri: file.content_string
        for file in files.documentation_pages()
        if folder in PurePosixPath(file.src_uri).parents
    }
    return {title: section(folder, texts)}


def section(folder: PurePosixPath, texts: dict[str, str]) -> list[Any]:
    """The navigation of one folder: its index first, then pages and folders in the order in which the index links them.

    `texts` maps the path of every page below the folder to its Markdown. What the index does not link comes last, by
    name.
    """
    index = str(folder / "index.md")
    linked = linked_pages(folder, texts.get(index, ""))
    children: dict[PurePosixPath, str] = {}
    for path in sorted(texts, key=lambda path: (linked.index(path) if path in linked else len(linked), path)):
        below = PurePosixPath(path).relative_to(folder)
        children.setdefault(folder / below.parts[0], path)
    entries: list[Any] = [index] if index in texts else []
    for child, first in children.items():
        below = {path: text for path, text in texts.items() if is_below(path, child)}
        if not below or len(below) == 1 and first == str(child / "index.md"):
            entries += [first] if first != index else []
        else:
            title = first_heading(texts.get(str(child / "index.md"), "")) or child.name
            entries.append({title: section(child, below)})
    return entries


def linked_pages(folder: PurePosixPath, text: str) -> list[str]:
    """The pages below a folder that its index links to, in order, as paths from the top."""
    found: Iterable[str] = re.findall(r"\]\(([^)#:\s]+\.md)[)#\s]", text)
    return list(dict.fromkeys(str(folder / target) for target in found))


def is_below(path: str, folder: PurePosixPath) -> bool:
    """Whether a path is inside a folder."""
    return folder in PurePosixPath(path).parents


def first_heading(text: str) -> str | None:
    """The text of the first-level heading of a page, without its Markdown, as HTML: themes print titles as they are."""
    found = re.search(r"^# +(.+?) *(?:\{.*\})?$", text, re.MULTILINE)
    if found is None:
        return None
    return re.sub(r"[`*]", "", html.unescape(found[1])).replace("<", "&lt;").replace(">", "&gt;")
