"""Pages that a build writes from files and code, made again only where one of these has changed.

Making the pages of shipped models and of comparisons loads JAX and weights, which takes as long as the rest of a build.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from radiodiff_jax.files import write_text

MARK = ".made"  # hidden, so that MkDocs leaves it out
WRITTEN = (".md", ".svg", ".png", ".webp")


def make_unless_kept(folder: Path, inputs: Iterable[Path], make: Callable[[], None]) -> bool:
    """Call `make`, which writes pages and figures below `folder`, unless they are those of the same inputs; true if it did.

    Inputs are compared by name, size and time, and pages by name: what was deleted is made again.
    """
    found = hashlib.sha256(json.dumps([facts(path) for path in sorted(set(inputs))]).encode()).hexdigest()
    mark = folder / MARK
    if mark.is_file():
        kept = mark.read_text().split("\n")
        if kept[0] == found and kept[1:] == written(folder):
            return False
    make()
    if folder.is_dir():
        write_text(mark, "\n".join([found, *written(folder)]))
    return True


def facts(path: Path) -> tuple[str, int, int]:
    """(name, bytes, when it changed)."""
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns


def written(folder: Path) -> list[str]:
    """The pages and figures below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in WRITTEN)


def package_files() -> list[Path]:
    """The code and the weights of this package."""
    package = Path(__file__).parents[1]
    return [*package.rglob("*.py"), *package.rglob("*.safetensors")]


def sources_below(folder: Path) -> list[Path]:
    """The files below a folder that are not written by a build."""
    return [path for path in folder.rglob("*") if path.is_file() and path.suffix not in WRITTEN and not path.name.startswith(".")]
