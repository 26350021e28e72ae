"""Drawing of curves: thinned so that no spike is lost, on axes at fixed places, with marks of phases and resumes.

Fixed places, since a layout engine takes several times as long for the same.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from radiodiff_jax.reporting.runs.analysis import SKIPPED, marked_steps, phases
from radiodiff_jax.reporting.runs.run import Run, Series
from radiodiff_jax.reporting.style import BLUE, INK, MUTED, VERMILION, save_svg_pair

BUCKETS = 400  # two points each in the band: a curve of at most 800


class Thin(NamedTuple):
    """Arrays [buckets]; `low` and `high` are `middle` where nothing was thinned."""

    steps: np.ndarray
    seconds: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray
    is_thinned: bool


def thin(series: Series, buckets: int = BUCKETS) -> Thin:
    """Cut a series of finite values into at most `buckets` runs of equally many; the middle is the median."""
    count = len(series)
    if count <= buckets:
        return Thin(series.steps, series.seconds, series.values, series.values, series.values, False)
    edges = np.linspace(0, count, buckets + 1).astype(int)
    starts, sizes = edges[:-1], np.diff(edges)
    bucket = np.repeat(np.arange(buckets), sizes)
    ordered = series.values[np.lexsort((series.values, bucket))]
    middle = (ordered[starts + (sizes - 1) // 2] + ordered[starts + sizes // 2]) / 2

    def mean(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, starts) / sizes

    return Thin(mean(series.steps), mean(series.seconds), ordered[starts], middle, ordered[edges[1:] - 1], True)


WIDTH = 7.6  # inches
PANEL_HEIGHT = 1.65
LEFT, RIGHT, GAP_X, GAP_Y, BOTTOM, TOP = 0.72, 0.25, 0.8, 0.4, 0.82, 0.3  # inches
UNSHARED = 0.42  # inches more between rows of panels that are all numbered
FEW = 40  # points of a curve that are marked one by one
LOG_RATIO = 30.0  # between the largest value and the smallest middle one: from there on a logarithmic axis
MOST_MARKS = 60  # of one kind; more would be a grey wall
FEW_DECADES = 2.0
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
STEPS_LABEL = "step (updates)"
# kind of mark -> (colour, dashes, label)
MARKS = {
    "phase": (INK, "-", "new phase"),
    "resumed": (MUTED, (0, (5, 2)), "resume"),
    "skipped": (VERMILION, (0, (1, 1.5)), "skipped step"),
    "failed": (VERMILION, "-", "failure"),
}


def marks(run: Run) -> dict[str, list[int]]:
    """{kind of mark: steps}, only kinds that there are."""
    found = {
        "phase": [phase.first for phase in phases(run)[1:]],
        "resumed": marked_steps(run, "resumed"),
        "skipped": marked_steps(run, *SKIPPED),
        "failed": marked_steps(run, "failed"),
    }
    return {kind: _spread(steps) for kind, steps in found.items() if steps}


def _spread(steps: list[int]) -> list[int]:
    """At most so many, the first and the last among them."""
    unique = sorted(set(steps))
    if len(unique) <= MOST_MARKS:
        return unique
    return [unique[i] for i in np.linspace(0, len(unique) - 1, MOST_MARKS).astype(int)]


def grid(
    count: int, columns: int = 2, height: float = PANEL_HEIGHT, legend_rows: int = 1, shared: bool = True
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, `columns` side by side, with room for a legend below.

    `shared`: all panels have the same steps across, so that only the lowest ones are numbered.
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    bottom, between = BOTTOM + 0.2 * (legend_rows - 1), GAP_Y if shared else GAP_Y + UNSHARED
    width = (WIDTH - LEFT - RIGHT - (columns - 1) * GAP_X) / columns
    total = bottom + TOP + rows * height + (rows - 1) * between
    figure = Figure(figsize=(WIDTH, total))
    axes = []
    for number in range(count):
        row, column = divmod(number, columns)
        left, low = LEFT + column * (width + GAP_X), bottom + (rows - 1 - row) * (height + between)
        axes.append(figure.add_axes((left / WIDTH, low / total, width / WIDTH, height / total)))
        axes[-1].xaxis.set_label_coords(0.5, -0.32 / height)
        axes[-1].yaxis.set_label_coords(-0.55 / width, 0.5)
        if number + columns >= count:
            axes[-1].set_xlabel(STEPS_LABEL)
        elif shared:
            axes[-1].tick_params(labelbottom=False)
    return figure, axes


def draw_curve(axes: Axes, curve: Thin, colour: str, x: np.ndarray | None = None, dashes="-", label: str = "",
               band: bool = True, few: int = FEW) -> None:  # fmt: skip
    """The middle as a line over `x` (default: the steps), lowest to highest as a band; up to `few` points are marked."""
    x = curve.steps if x is None else x
    marked = {"marker": "o", "markersize": 3.5} if len(x) <= few else {}
    if band and curve.is_thinned:
        axes.fill_between(x, curve.low, curve.high, color=colour, alpha=0.25, linewidth=0)
    axes.plot(x, curve.middle, color=colour, linestyle=dashes, linewidth=1.3, label=label or None, **marked)


def set_scale(axes: Axes, curves: Sequence[Thin], ratio: float = LOG_RATIO) -> None:
    """Logarithmic where all the curves' values are positive and of very different size, linear without curves.

    Numbers are plain text, which is quick to lay out.
    """
    low = min((float(curve.low.min()) for curve in curves if len(curve.low)), default=0.0)
    middles = np.concatenate([curve.middle for curve in curves]) if curves else np.zeros(0)
    high = max((float(curve.high.max()) for curve in curves if len(curve.high)), default=0.0)
    if low > 0 and high > ratio * middles.min():
        set_log(axes)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(PLAIN)


def set_log(axes: Axes) -> None:
    """A logarithmic axis with a number at the powers of ten, and at 2 and 5 times them where there are few."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    few = np.log10(high / low) < FEW_DECADES
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PLAIN)


def set_title(axes: Axes, text: str) -> None:
    """Above the left corner; a fixed place, since finding one takes a third of the drawing time."""
    axes.set_title(text, fontsize=9.5, loc="left", y=1.02)


def draw_marks(axes: Axes, found: dict[str, list[int]]) -> None:
    """Vertical lines."""
    for kind, steps in found.items():
        colour, dashes, _ = MARKS[kind]
        for step in steps:
            axes.axvline(step, color=colour, linestyle=dashes, linewidth=1.0, zorder=1)


def legend(figure: Figure, handles: list[Line2D], found: dict[str, list[int]], columns: int = 5) -> None:
    """What the lines and the marks are, below the panels."""
    handles = handles + [
        Line2D([], [], color=MARKS[kind][0], linestyle=MARKS[kind][1], linewidth=1.0, label=MARKS[kind][2])
        for kind in found
    ]
    if handles:
        figure.legend(handles=handles, loc="lower center", ncol=columns, fontsize=8.5, handlelength=2.2)


def tidy(axes: Axes, last_step: float | None = None) -> None:
    """Steps as 0, 5k, 10k; from 0 to the last one if that is given."""
    if last_step:
        axes.set_xlim(-0.02 * last_step, 1.02 * last_step)
    else:
        axes.margins(x=0.02)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def panels(stem: Path, run: Run, series: dict[str, Series], labels: dict[str, str], colour: str = BLUE,
           columns: int = 2, decorate=None, linear: bool = False) -> Path:  # fmt: skip
    """Write the figure pair `stem`: one panel a series; `decorate(name, axes)` may add to a panel; `linear`: never log."""
    curves, found = {name: thin(one) for name, one in series.items()}, marks(run)
    any_thinned = any(curve.is_thinned for curve in curves.values())

    def draw() -> Figure:
        figure, axes = grid(len(curves), columns)
        for one, (name, curve) in zip(axes, curves.items(), strict=True):
            draw_curve(one, curve, colour)
            set_scale(one, [] if linear else [curve])
            draw_marks(one, found)
            set_title(one, labels[name])
            tidy(one, run.last_step)
            if decorate is not None:
                decorate(name, one)
        band = [Line2D([], [], color=colour, alpha=0.25, linewidth=6, label="lowest to highest")] if any_thinned else []
        line = [Line2D([], [], color=colour, label="median" if any_thinned else "value")]
        legend(figure, line + band, found)
        return figure

    save_svg_pair(stem, draw)
    return stem


def reference_line(axes: Axes, value: float, label: str) -> None:
    """A horizontal dashed line with its name."""
    axes.axhline(value, color=MUTED, linestyle=(0, (5, 2)), linewidth=1.0)
    axes.annotate(label, (0.99, value), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8,
                  color=MUTED)  # fmt: skip
