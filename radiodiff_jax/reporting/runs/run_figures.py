"""The figures of a run page; each function writes a pair of SVG files and returns whether there was anything to draw."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from radiodiff_jax.reporting.runs.analysis import Continuity, best, counting
from radiodiff_jax.reporting.runs.curves import (
    draw_curve,
    draw_marks,
    grid,
    legend,
    marks,
    panels,
    reference_line,
    set_scale,
    set_title,
    tidy,
)  # fmt: skip
from radiodiff_jax.reporting.runs.run import Run, Series, is_number
from radiodiff_jax.reporting.runs.thinning import thin
from radiodiff_jax.reporting.runs.words import axis_label, is_loss, meaning, number
from radiodiff_jax.reporting.style import BLUE, DASHES, GREEN, MUTED, SERIES, VERMILION, save_svg_pair

NARROW = 5.0  # times from the lowest to the highest, below which no logarithmic axis is needed for normalised losses
FIRST = 5  # values whose median a loss is divided by
AROUND = 25  # logged rows either side of a resume
RESUMES_DRAWN = 4


def drawable(run: Run, names: list[str]) -> dict[str, Series]:
    """The metrics that have a curve: two values or more in the phase in which they count, not all 0."""
    found = {name: counting(run, name) for name in names}
    return {name: series for name, series in found.items() if len(series) > 1 and series.values.any()}


def loss_names(run: Run) -> list[str]:
    """The training losses and what steers them, the total first."""
    losses = [name for name in run.series if is_loss(name)]
    return sorted(losses, key=lambda name: name != "loss")


def draw_losses(stem: Path, run: Run) -> list[str]:
    """Every loss on an axis of its own."""
    series = drawable(run, loss_names(run))
    if series:
        panels(stem, run, series, {name: axis_label(name) for name in series})
    return list(series)


def draw_normalised(stem: Path, run: Run) -> tuple[list[str], list[str]]:
    """All losses in one picture, each divided by the median of its first values: (drawn, left out: not all positive)."""
    series = drawable(run, loss_names(run))
    positive = {name: one for name, one in series.items() if one.values.min() > 0}
    left_out = [name for name in series if name not in positive]
    if len(positive) < 2:
        return [], left_out
    curves = {
        name: thin(replace(one, values=one.values / np.median(one.values[:FIRST]))) for name, one in positive.items()
    }
    found = marks(run)

    def draw() -> Figure:
        figure, (axes,) = grid(1, 1, height=2.8, legend_rows=2)
        handles = []
        for position, (name, curve) in enumerate(curves.items()):
            colour, dashes = SERIES[position % len(SERIES)], DASHES[position % len(DASHES)]
            draw_curve(axes, curve, colour, dashes=dashes, band=False)
            handles.append(Line2D([], [], color=colour, linestyle=dashes, label=meaning(name).label))
        set_scale(axes, list(curves.values()), ratio=NARROW)
        axes.set_ylabel("loss relative to its start")
        draw_marks(axes, found)
        tidy(axes, run.last_step)
        legend(figure, handles, found, columns=4)
        return figure

    save_svg_pair(stem, draw)
    return list(positive), left_out


def draw_validation(stem: Path, run: Run) -> list[str]:
    """The figures of merit on the validation maps, the best value of each ringed."""
    series = drawable(run, [name for name in run.series if name.startswith("validation/")])
    if not series:
        return []

    def ring(name: str, axes: Axes) -> None:
        top = best(run, name)
        if top:
            axes.plot([top.step], [top.value], "o", markersize=8, markerfacecolor="none", markeredgecolor=VERMILION,
                      markeredgewidth=1.6, clip_on=False)  # fmt: skip

    panels(stem, run, series, {name: axis_label(name) for name in series}, GREEN, columns=min(3, len(series)),
           decorate=ring)  # fmt: skip
    return list(series)


def draw_steering(stem: Path, run: Run) -> list[str]:
    """Learning rate, gradient norm with the clipping limit, and what steers the game of the two networks."""
    series = drawable(run, ["learning_rate", "grad_norm", "d_weight", "logits_real", "logits_fake"])
    if not series:
        return []
    optimizer = (run.settings or {}).get("optimizer")
    limit = optimizer.get("clip_norm") if isinstance(optimizer, dict) else None

    def clip(name: str, axes: Axes) -> None:
        # A limit far above all values would press the curve flat.
        if name == "grad_norm" and is_number(limit) and limit < 3 * series[name].values.max():
            reference_line(axes, limit, f"clipped at {number(limit)}")

    panels(stem, run, series, {name: axis_label(name) for name in series}, decorate=clip)
    return list(series)


def draw_speed(stem: Path, run: Run) -> bool:
    """Examples a second and training time over the steps."""
    series = drawable(run, ["examples_per_s", "input_wait_share"])
    rows = max(run.series.values(), key=len, default=None)
    if rows is not None:
        known = rows.where(np.isfinite(rows.seconds))
        if len(known) > 1:
            hours = known.seconds[-1] > 2 * 3600
            scaled = known.seconds / (3600 if hours else 60)
            series["time"] = Series(known.steps, known.seconds, scaled, known.phases)
    if not series:
        return False
    labels = {name: axis_label(name) for name in series if name != "time"}
    if "time" in series:
        labels["time"] = f"training time ({'h' if hours else 'min'})"

    panels(stem, run, series, labels, linear=True)
    return True


def draw_continuity(stem: Path, run: Run, resumes: list[Continuity], name: str = "loss") -> bool:
    """The logged values around the newest resumes."""
    if not resumes:
        return False
    series, shown = run.metric(name), resumes[-RESUMES_DRAWN:]

    def draw() -> Figure:
        figure, axes = grid(len(shown), columns=2, shared=False)
        for one, resume in zip(axes, shown, strict=True):
            place = int(np.searchsorted(series.steps, resume.step, side="right"))
            near = series.where(slice(max(place - AROUND, 0), place + AROUND))
            one.plot(near.steps, near.values, color=BLUE, marker="o", markersize=3, linewidth=1.0)
            one.plot([resume.before.step, resume.after.step], [resume.before.value, resume.after.value], color=VERMILION,
                     linewidth=2.0, marker="o", markersize=5)  # fmt: skip
            set_scale(one, [thin(near)])
            draw_marks(one, {"resumed": [resume.step]})
            set_title(one, f"{meaning(name).label} around step {resume.step:,}")
            tidy(one)
        either = Line2D([], [], color=VERMILION, linewidth=2.0, marker="o", markersize=5, label="either side")
        legend(figure, [Line2D([], [], color=BLUE, label="logged value"), either], {"resumed": [0]})
        return figure

    save_svg_pair(stem, draw)
    return True


def draw_error_histogram(stem: Path, errors_db: np.ndarray, step: int) -> None:
    """Histogram of output minus truth in dB, buildings left out, clipped at 40 dB."""
    limit = 40.0
    counts, edges = np.histogram(np.clip(errors_db, -limit, limit), bins=80, range=(-limit, limit))
    share = 100 * counts / max(counts.sum(), 1)

    def draw() -> Figure:
        figure, (axes,) = grid(1, 1, height=2.2)
        axes.stairs(share, edges, fill=True, color=BLUE, alpha=0.35)
        axes.stairs(share, edges, color=BLUE, linewidth=1.2)
        axes.axvline(0.0, color=MUTED, linewidth=1.0)
        axes.set_xlabel(f"output - truth (dB) at step {step:,}")
        axes.set_ylabel("pixels (%)")
        return figure

    save_svg_pair(stem, draw)
