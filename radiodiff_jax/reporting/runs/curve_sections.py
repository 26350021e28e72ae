"""Sections of a run page that are curves, each with its figure (a pair of SVG files)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from radiodiff_jax.reporting.markdown import count, counted, decibels, duration, figure, number, percent
from radiodiff_jax.reporting.runs.analysis import (
    SKIPPED,
    axis_label,
    best,
    counting,
    is_loss,
    marked_steps,
    meaning,
    phases,
)
from radiodiff_jax.reporting.runs.curves import (
    BUCKETS,
    PLAIN,
    draw_curve,
    draw_marks,
    grid,
    legend,
    marks,
    panels,
    reference_line,
    set_scale,
    thin,
    tidy,
)
from radiodiff_jax.reporting.runs.interactive import block
from radiodiff_jax.reporting.runs.run import RUN_FOLDER, Run, Series, is_number
from radiodiff_jax.reporting.style import DASHES, GREEN, SERIES, VERMILION, save_svg_pair

TOO_SHORT = "There are fewer than two logged values, so there is no curve to draw yet."
NARROW = 5.0  # times from the lowest to the highest, below which no logarithmic axis is needed for normalised losses
FIRST = 5  # values whose median size a loss is divided by
LINEAR_BELOW = 0.1  # of an axis that is logarithmic to both sides of 0


def losses_section(run: Run, folder: Path) -> str:
    """Every loss on its own axis, and all in one picture."""
    path, link = stem(folder, "losses")
    shown = draw_losses(path, run)
    if not shown:
        return TOO_SHORT if run.series else ""
    picture = figure(link, f"Curves of {_labels(shown)} over the training steps", f"Each loss on its own axis.{_thinned(run)}")
    parts = [curves_of(run, shown, "Losses", "loss", picture)]
    path, link = stem(folder, "losses-normalised")
    together = draw_normalised(path, run)
    if together:
        each = " of its phase" if len(phases(run)) > 1 else ""
        parts.append(figure(link, f"{_labels(together)}, each relative to its start",
                            f"All losses in one picture (medians), each divided by the median of its first {FIRST} "
                            f"values{each}; one that began below 0 by its size, so that it begins at -1."))  # fmt: skip
    for event, why in zip(SKIPPED, ("a loss or gradient was not finite", "the loss jumped"), strict=True):
        skipped = len(marked_steps(run, event))
        if skipped:
            parts.append(f"{counted(skipped, 'step was', 'steps were')} skipped, because {why}.")
    return "\n\n".join(parts)


def curves_of(run: Run, names: list[str], title: str, unit: str, picture: str) -> str:
    """Metrics as curves that can be asked, with their picture for readers without scripts."""
    series = {axis_label(name): counting(run, name) for name in names}
    return block(f"{title} of {run.name}", unit, series, picture, marks(run), apart=title == "Validation")


def draw_losses(stem: Path, run: Run) -> list[str]:
    """Every loss on an axis of its own."""
    series = drawable(run, loss_names(run))
    if series:
        panels(stem, run, series, {name: axis_label(name) for name in series})
    return list(series)


def draw_normalised(stem: Path, run: Run) -> list[str]:
    """All losses in one picture, each divided by the size of its first values in the same phase; returns their names."""
    series = drawable(run, loss_names(run))
    if len(series) < 2:
        return []
    curves = {name: thin(relative_to_start(one)) for name, one in series.items()}
    positive = all(curve.low.min() > 0 for curve in curves.values())
    found = marks(run)

    def draw() -> Figure:
        figure, (axes,) = grid(1, 1, height=2.8, legend_rows=2)
        handles = []
        for position, (name, curve) in enumerate(curves.items()):
            colour, dashes = SERIES[position % len(SERIES)], DASHES[position % len(DASHES)]
            draw_curve(axes, curve, colour, dashes=dashes, band=False)
            handles.append(Line2D([], [], color=colour, linestyle=dashes, label=meaning(name).label))
        if positive:
            set_scale(axes, list(curves.values()), ratio=NARROW)
        else:
            axes.set_yscale("symlog", linthresh=LINEAR_BELOW)
            axes.yaxis.set_major_formatter(PLAIN)
        axes.set_ylabel("loss relative to its start")
        draw_marks(axes, found)
        tidy(axes, run.last_step)
        legend(figure, handles, found, columns=4)
        return figure

    save_svg_pair(stem, draw)
    return list(curves)


def relative_to_start(series: Series) -> Series:
    """Values divided by the median size of the first ones of their phase: no phase is measured by another's losses."""
    values = series.values.copy()
    for phase in dict.fromkeys(series.phases):
        mine = series.phases == phase
        start = float(np.median(np.abs(values[mine][:FIRST])))
        values[mine] /= start if start > 0 else max(float(np.abs(values[mine]).max()), 1e-12)
    return replace(series, values=values)


def loss_names(run: Run) -> list[str]:
    """The training losses, the total first."""
    losses = [name for name in run.series if is_loss(name)]
    return sorted(losses, key=lambda name: name != "loss")


def _thinned(run: Run) -> str:
    rows = max((len(series) for series in run.series.values()), default=0)
    if rows <= BUCKETS:
        return ""
    return (f" {count(rows)} logged values are drawn as {BUCKETS} buckets: the line is the median, the band goes from the "
            "lowest to the highest value, so that no spike is lost.")  # fmt: skip


def validation_section(run: Run, folder: Path) -> str:
    """Figures of merit on the fixed validation maps."""
    path, link = stem(folder, "validation")
    if not any(name.startswith("validation/") for name in run.series):
        return "No validation has been logged." if run.origin == RUN_FOLDER else ""
    shown = draw_validation(path, run)
    if not shown:
        return "There is one validation so far; its figures are in the table below."
    top = best(run, "validation/rmse")
    text = f"Best RMSE: {decibels(top.value)} ({number(top.value)}) at step {count(top.step)}." if top else ""
    picture = figure(link, f"Curves of {_labels(shown)} over the training steps",
                     "On a fixed set of validation maps, raw protocol, all pixels; the best value is ringed.")  # fmt: skip
    return f"{text}\n\n" * bool(text) + curves_of(run, shown, "Validation", "figure of merit", picture)


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


def optimizer_section(run: Run, folder: Path) -> str:
    """Learning rate, gradient norm, adversarial weight."""
    path, link = stem(folder, "optimizer")
    shown = draw_optimizer(path, run)
    if not shown:
        return TOO_SHORT if run.series and run.origin == RUN_FOLDER else ""
    return figure(link, f"Curves of {_labels(shown)} over the training steps",
                  "What the optimizer is given: values are means over the steps since the last logged one.")  # fmt: skip


def draw_optimizer(stem: Path, run: Run) -> list[str]:
    """Learning rate, gradient norm with the clipping limit, the adversarial weight and the discriminator's answers."""
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


def speed_section(run: Run, folder: Path) -> str:
    """Examples a second and time over steps."""
    path, link = stem(folder, "speed")
    if not draw_speed(path, run):
        return TOO_SHORT if run.series and run.origin == RUN_FOLDER else ""
    speed = run.metric("examples_per_s")
    text = ""
    if len(speed) > 1:
        low, middle, high = np.percentile(speed.values, [5, 50, 95])
        text = f"{number(middle, 3)} examples/s (median); 9 of 10 values are between {number(low, 3)} and {number(high, 3)}."
    text += _flop_sentences(run)
    caption = "Speed is measured without validation, saving and compilation; the time includes them."
    if run.origin != RUN_FOLDER:
        caption = "Training time as the stamps in the log add up; pauses of more than an hour do not count."
    return (f"{text}\n\n" if text else "") + figure(link, "Speed and training time over the training steps", caption)


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


def _flop_sentences(run: Run) -> str:
    """What an update costs, in sentences; nothing for runs that have not counted it."""
    compiled = [event for event in run.events if event["event"] == "compiled"]
    rate, share, memory = (run.metric(name).values for name in ("teraflops_per_s", "mfu", "device_memory_gb"))
    if not compiled or not len(rate):
        return ""
    last = compiled[-1]
    flops = last["flops"] if "flops" in last else last["operations"]  # as older runs call them
    text = (
        f" An update is {number(flops / 1e9, 3)} GFLOP of convolutions, matrix products and transforms, done "
        f"at {number(1000 * float(np.median(rate)), 3)} GFLOP/s (median)"
    )
    if len(share):
        text += f", {percent(float(np.median(share)))} of the limit in the device's data sheet"
    text += f". Compiling it took {duration(last['seconds'])}."
    return text + (f" At most {number(float(memory.max()), 3)} GB of a device were in use." if len(memory) else "")


def drawable(run: Run, names: list[str]) -> dict[str, Series]:
    """The metrics that have a curve: two values or more in the phase in which they count, not all 0."""
    found = {name: counting(run, name) for name in names}
    return {name: series for name, series in found.items() if len(series) > 1 and series.values.any()}


def stem(folder: Path, name: str) -> tuple[Path, str]:
    """(where a figure is written, how the page names it)."""
    return folder / "figures" / name, f"figures/{name}"


def _labels(names: list[str]) -> str:
    return ", ".join(meaning(name).label for name in names)
