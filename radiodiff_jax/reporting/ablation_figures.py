"""Figures of an ablation: error by variant with its spread over seeds, error against time a map and training FLOPs."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from radiodiff_jax.reporting.ablation_summary import BETTER, REFERENCE, WORSE, Row
from radiodiff_jax.reporting.evaluation_figures import line_of
from radiodiff_jax.reporting.style import BLUE, GREEN, INK, MUTED, VERMILION, plt, save_svg_pair

LOOKS = {BETTER: (GREEN, "o"), WORSE: (VERMILION, "v"), REFERENCE: (INK, "D")}
OTHER = (BLUE, "s")  # within noise, or a single seed
WORDS = {BETTER: "better than the reference", WORSE: "worse", REFERENCE: "reference", "": "within noise, or one seed"}
BEYOND = 1.6
"""A line is drawn up to so many times the largest error of a variant; the legend names its value where it is beyond."""


def look(row: Row) -> tuple[str, str]:
    """Colour and mark of a variant."""
    return LOOKS.get(row.word, OTHER)


def lines_of(baselines: dict[str, float], floor: float | None) -> dict[str, float]:
    """Predictor -> RMSE of the lines in every figure: estimates without training, and the autoencoder's floor."""
    shown = {name: error for name, error in baselines.items() if name != "distance law"}
    return shown | ({} if floor is None else {"autoencoder": floor})


def draw_lines(draw: Callable, lines: dict[str, float], largest: float) -> list[Line2D]:
    """Draw the lines that are near enough; returns handles of all for the legend."""
    handles = []
    for name, error in lines.items():
        colour, dashes = line_of(name)
        inside = error <= BEYOND * largest
        if inside:
            draw(error, color=colour, linestyle=dashes, linewidth=1.3)
        label = (
            f"{name}{' (floor)' if name == 'autoencoder' else ''}{'' if inside else f', {error:.4f}: beyond the axis'}"
        )
        handles.append(Line2D([], [], color=colour, linestyle=dashes, label=label))
    return handles


def marks(rows: Sequence[Row]) -> list[Line2D]:
    """Handles of the marks that occur."""
    found = []
    for word, text in WORDS.items():
        colour, mark = LOOKS.get(word, OTHER)
        if any(look(row) == (colour, mark) for row in rows):
            found.append(Line2D([], [], color=colour, marker=mark, linestyle="none", label=text))
    return found


def save_errors(rows: Sequence[Row], baselines: dict[str, float], floor: float | None, stem: Path) -> list[Path]:
    """SVG pair: RMSE of every variant, the best on top: mean, standard deviation as a bar, each seed as a small dot."""

    def make() -> Figure:
        high = 0.3 * len(rows) + 1.7
        figure, axes = plt.subplots(figsize=(8.6, high))
        for place, row in enumerate(rows):
            colour, mark = look(row)
            axes.plot(list(row.errors.values()), [place] * len(row.errors), ".", color=MUTED, markersize=5)
            axes.errorbar(
                row.mean, place, xerr=row.deviation or 0.0, color=colour, marker=mark, markersize=6, capsize=3
            )
        largest = max(max(row.errors.values()) for row in rows)
        handles = draw_lines(axes.axvline, lines_of(baselines, floor), largest)
        axes.set_yticks(range(len(rows)), [f"{row.name}  {number}" for number, row in enumerate(rows, start=1)])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(False, axis="y")
        axes.margins(x=0.06)
        axes.set_xlabel("RMSE raw (gain), test split")
        finish(figure, [*marks(rows), *handles], high)
        return figure

    return save_svg_pair(stem, make)


def save_against(
    rows: Sequence[Row],
    values: Sequence[float],
    label: str,
    baselines: dict[str, float],
    floor: float | None,
    stem: Path,
) -> list[Path]:
    """SVG pair: RMSE against a cost on a logarithmic axis, a numbered mark a variant."""

    def make() -> Figure:
        figure, axes = plt.subplots(figsize=(8.6, 4.4))
        for number, (row, value) in enumerate(zip(rows, values, strict=True), start=1):
            colour, mark = look(row)
            axes.errorbar(
                value, row.mean, yerr=row.deviation or 0.0, color=colour, marker=mark, markersize=6, capsize=3
            )
            axes.annotate(
                str(number), (value, row.mean), xytext=(6, 4), textcoords="offset points", color=INK, fontsize=9
            )
        handles = draw_lines(axes.axhline, lines_of(baselines, floor), max(row.mean for row in rows))
        logarithmic(axes)
        axes.margins(x=0.1, y=0.12)
        axes.set_xlabel(label)
        axes.set_ylabel("RMSE raw (gain), test split")
        finish(figure, [*marks(rows), *handles], 4.4)
        return figure

    return save_svg_pair(stem, make)


def logarithmic(axes: Axes) -> None:
    """A logarithmic cost axis with plain numbers."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    few = high < 30 * low
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5) if few else (1,), numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def finish(figure: Figure, handles: list[Line2D], high: float) -> None:
    """Legend below."""
    lines = -(-len(handles) // 3)
    figure.tight_layout(rect=(0, (0.1 + 0.22 * lines) / high, 1, 1))
    figure.legend(handles=handles, loc="lower center", ncols=min(3, len(handles)))
