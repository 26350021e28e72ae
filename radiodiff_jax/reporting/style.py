"""One style for every figure: colours that all kinds of colour vision tell apart, a light and a dark variant.

The pages show `NAME.light.*` or `NAME.dark.*` after the reader's switch (see `markdown.figure`). Curves are drawn once,
as SVG with a transparent ground; the dark variant is the same drawing in other colours. Pictures of maps are PNG and
are drawn twice. `FigureCache` skips figures whose data has not changed.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_text, write_whole
from radiodiff_jax.reading import AnyObject, read_json
from radiodiff_jax.reporting.palette import (  # noqa: F401
    BLUE,
    DARK,
    GREEN,
    GRID,
    INK,
    MUTED,
    OCHRE,
    PURPLE,
    SERIES,
    SKY,
    VERMILION,
)

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))  # a second mark beside colour

_COMMON = {
    "text.parse_math": False,  # a name with `$` is no formula
    "font.family": "sans-serif", "font.size": 10, "axes.titlesize": 10.5, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.linewidth": 0.6, "axes.axisbelow": True,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "legend.frameon": False,
    "svg.fonttype": "none", "svg.hashsalt": "radiodiff_jax", "lines.linewidth": 1.5,
    "axes.prop_cycle": matplotlib.cycler(color=SERIES),
}  # fmt: skip


def settings(dark: bool = False) -> dict:
    """matplotlib settings of the light (or dark) variant, for `plt.rc_context`."""
    ink, muted, grid = ((DARK[c] if dark else c) for c in (INK, MUTED, GRID))
    cycle = matplotlib.cycler(color=[DARK[c] if dark else c for c in SERIES])
    return _COMMON | {
        "text.color": ink, "axes.labelcolor": ink, "axes.titlecolor": ink, "xtick.color": muted, "ytick.color": muted,
        "axes.edgecolor": muted, "grid.color": grid, "axes.prop_cycle": cycle,
    }  # fmt: skip


def save_svg_pair(stem: Path, draw: Callable[[], Figure]) -> list[Path]:
    """Write `stem`.light.svg and `stem`.dark.svg of the figure that `draw()` makes; draw with the colours named here."""
    light = stem.with_name(f"{stem.name}.light.svg")
    with plt.rc_context(settings()):
        figure = draw()
        try:
            write_whole(light, lambda temporary: figure.savefig(temporary, format="svg", metadata={"Date": None}))
        finally:
            plt.close(figure)
    text = cut_digits(light.read_text())
    write_whole(light, lambda temporary: temporary.write_text(text))
    dark = stem.with_name(f"{stem.name}.dark.svg")
    text = re.sub("|".join(DARK), lambda found: DARK[found[0]], text)
    write_whole(dark, lambda temporary: temporary.write_text(text))
    return [light, dark]


def cut_digits(svg: str) -> str:
    """Curves in hundredths of a point: two thirds of the size, and nobody sees a difference."""
    return re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)


PNG = {"format": "png", "dpi": 110}
WEBP = {"format": "webp", "dpi": 120, "pil_kwargs": {"quality": 88, "method": 6}}  # a third of the size


def save_pixel_pair(stem: Path, draw: Callable[[], Figure], form: dict[str, Any] = PNG) -> list[Path]:
    """Write `stem`.light.png and `stem`.dark.png, or with `WEBP` .webp; `draw()` is called once in each variant's settings."""
    written = []
    for variant in ("light", "dark"):
        with plt.rc_context(settings(variant == "dark")):
            figure = draw()
            try:
                path = stem.with_name(f"{stem.name}.{variant}.{form['format']}")
                write_whole(path, lambda temporary, f=figure: f.savefig(temporary, **form))
            finally:
                plt.close(figure)
        written.append(path)
    return written


class FigureCache:
    """The figures of a folder, each with a digest of its data, drawn again only if that has changed.

    A page's text takes no time; its figures take seconds.
    """

    FILE = ".figures.json"  # hidden, so that MkDocs leaves it out

    def __init__(self, folder: Path, code: Iterable[Path]):
        """`code` are the source files of the drawing: a change in them makes every figure anew."""
        self.folder = folder
        self._code = digest(*(path.read_bytes() for path in code))
        try:
            self._known = read_json(folder / self.FILE, AnyObject, "remove it")
        except UserError:
            self._known = {}

    def write(self, name: str, data: str, save: Callable[[Path], list[Path]]) -> None:
        """Call `save(folder / name)`, which returns the files it wrote, unless those of the same `data` are there."""
        kept = self._known.get(name)
        current = digest(self._code.encode(), data.encode())
        if isinstance(kept, list) and kept[:1] == [current] and all((self.folder / one).is_file() for one in kept[1:]):
            return
        written = save(self.folder / name)
        self._known[name] = [current, *(path.name for path in written)]
        write_text(self.folder / self.FILE, json.dumps(self._known))


def digest(*parts: bytes) -> str:
    """SHA-256 of some bytes."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()
