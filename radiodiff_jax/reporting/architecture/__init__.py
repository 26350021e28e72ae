"""Pages about the networks, made from the modules that training uses, so that they cannot go stale.

This file writes them, or rests where neither a preset nor the code changed. What JAX is needed for is imported only when
something has to be drawn.
"""

import hashlib
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from typing_extensions import TypedDict

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_json
from radiodiff_jax.reading import read_json
from radiodiff_jax.reporting.markdown import write_page

FOLDER, MARK = "architecture", ".digest"
PACKAGE = Path(__file__).parents[2]
PRESETS = PACKAGE.parent / "experiments" / "configs"
KINDS = ("generator", "vae")
FIRST = ("paper", "base", "small", "tiny")  # from large to small; any others follow by name
SOURCES = ("*.py", "models/*.py", "objectives/*.py", "spaces/*.py", "training/*.py", "data/symmetries.py",
           "reporting/markdown.py", "reporting/style.py", "reporting/architecture/*.py")  # fmt: skip


def __getattr__(name: str):
    """Import `run_architecture` when it is asked for: it loads JAX and the models."""
    if name != "run_architecture":
        raise AttributeError(f"{__name__} has no {name}")
    from radiodiff_jax.reporting.architecture.pages import run_architecture

    return run_architecture


def presets_in(folder: Path) -> tuple[tuple[str, str], ...]:
    """(kind, name) of every preset in a folder, generators first."""
    names = {kind: {path.stem for path in (folder / kind).glob("*.yaml")} for kind in KINDS}
    return tuple(
        (kind, name) for kind, known in names.items()
        for name in sorted(known, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    )  # fmt: skip


DEFAULT = presets_in(PRESETS)


def write_architecture_pages(
    site: Path, kinds_and_presets: Sequence[tuple[str, str]] = DEFAULT, presets: Path = PRESETS
) -> list[Path]:
    """Write `site`/architecture/ for some presets, such as ("vae", "paper"); returns the pages that changed.

    `presets` holds {kind}/{name}.yaml. Nothing is imported or traced where presets, code and pages are as they were at the
    last call. Pages of presets that are gone are removed. Raises UserError for an unknown preset.
    """
    folder = site / FOLDER
    digest = digest_of(kinds_and_presets, presets)
    if is_current(folder, digest):
        return []
    # Imported here: it loads JAX and the models.
    from radiodiff_jax.reporting.architecture.pages import all_pages

    pages = all_pages(kinds_and_presets, presets)
    changed = [folder / name for name, text in pages.items() if write_page(folder / name, text)]
    kept = {folder / name for name in pages}
    for page in folder.rglob("*.md"):
        if page not in kept:
            page.unlink()
    for place in folder.iterdir():
        if place.is_dir() and not any(place.iterdir()):
            shutil.rmtree(place)
    write_json(folder / MARK, {"digest": digest, "pages": sorted(pages)})
    return changed


def digest_of(kinds_and_presets: Sequence[tuple[str, str]], presets: Path) -> str:
    """SHA-256 over all that the pages depend on."""
    files = [path for pattern in SOURCES for path in sorted(PACKAGE.glob(pattern))] + sorted(presets.glob("*/*.yaml"))
    digest = hashlib.sha256(repr((list(kinds_and_presets), version("jax"), version("flax"))).encode())
    for path in files:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


class MarkRecord(TypedDict):
    """The schema of what is kept beside the pages."""

    digest: str
    pages: list[str]


def is_current(folder: Path, digest: str) -> bool:
    """Whether the folder holds all pages of this digest."""
    try:
        kept = read_json(folder / MARK, MarkRecord, "remove it")
    except UserError:
        return False
    return kept["digest"] == digest and all((folder / name).is_file() for name in kept["pages"])
