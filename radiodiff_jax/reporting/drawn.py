"""Figures that are drawn only if what they show has changed: a page's text is cheap, its figures take seconds."""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from radiodiff_jax.files import write_text

MARK = ".drawn.json"  # hidden, so that MkDocs leaves it out


class DrawnFigures:
    """The figures of a folder, each with a digest of what it was drawn from."""

    def __init__(self, folder: Path, code: Iterable[Path]):
        """`code` are the files that draw: a change in them draws everything anew."""
        self.folder = folder
        self._code = digest(*(path.read_bytes() for path in code))
        try:
            self._known = dict(json.loads((folder / MARK).read_text()))
        except (OSError, ValueError, TypeError):
            self._known = {}

    def draw(self, name: str, facts: str, save: Callable[[Path], list[Path]]) -> None:
        """Call `save(folder / name)`, which returns the files it wrote, unless they are there, drawn from `facts`."""
        mark = self._known.get(name)
        current = digest(self._code.encode(), facts.encode())
        if isinstance(mark, list) and mark[:1] == [current] and all((self.folder / one).is_file() for one in mark[1:]):
            return
        written = save(self.folder / name)
        self._known[name] = [current, *(path.name for path in written)]
        write_text(self.folder / MARK, json.dumps(self._known))


def digest(*parts: bytes) -> str:
    """SHA-256 of some bytes."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()
