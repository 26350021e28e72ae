"""The comparison of all runs, runs/compare.md, from the summaries that are kept beside run pages."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from radiodiff_jax.reporting.evaluation_verdict import has_steps
from radiodiff_jax.reporting.markdown import (
    capital,
    code,
    count,
    counted,
    figure,
    note,
    number,
    page,
    plain,
    slug,
    table,
    write_page,
)
from radiodiff_jax.reporting.runs.analysis import axis_label, phase_name
from radiodiff_jax.reporting.runs.curves import (
    PLAIN,
    STEPS_LABEL,
    Thin,
    draw_curve,
    grid,
    set_scale,
    set_title,
    tidy,
)
from radiodiff_jax.reporting.runs.interactive import curve, element
from radiodiff_jax.reporting.runs.overview import best_value, in_dB, minutes, run_link, sortable, state_text, wide
from radiodiff_jax.reporting.runs.page import CURVES, Summary
from radiodiff_jax.reporting.runs.run import KINDS
from radiodiff_jax.reporting.runs.settings import ABSENT, as_cell
from radiodiff_jax.reporting.style import BLUE, DASHES, GREEN, INK, MUTED, SERIES, VERMILION, save_svg_pair
from radiodiff_jax.units import DB_PER_GAIN

MOST_DRAWN = len(SERIES) * len(DASHES)  # runs that colour and dashes tell apart
KIND_MARKS = {"vae": ("s", VERMILION), "generator": ("o", BLUE), "ldm": ("o", BLUE)}
FEW = 12  # points of a curve that are marked; more, of many runs, would hide the lines
NAMED = 12  # points with their name beside them; more would lie on each other
COMPARISON_HEAD = ["run", "verdict", "state", "steps", "time (min)", "best RMSE (dB)", "best RMSE (gain)", "best NMSE", "best SSIM",
                   "last loss", "speed (examples/s)", "parameters"]  # fmt: skip
EVALUATION_HEAD = ["run", "evaluation", "split", "maps", "sampling steps", "RMSE (dB)", "RMSE (gain)", "SSIM", "ms a map"]


def write_comparison(runs: list[Summary], folder: Path) -> bool:
    """Write the page and its figures; true if the page changed. Fewer than two runs: nothing to compare, no page."""
    path = folder / "compare.md"
    if len(runs) < 2:
        path.unlink(missing_ok=True)
        return False
    newest = sorted(runs, key=lambda run: -run["written"])
    groups: dict[str, list[Summary]] = defaultdict(list)
    for run in newest:
        groups[run["kind"]].append(run)
    parts = [
        verdict_of_all(newest),
        f"{counted(len(runs), 'run')} from {counted(len(groups), 'kind')} of training. Runs of one kind share their "
        "figures; losses of different kinds are not comparable.",
        quality_section(newest, folder),
        evaluation_section(newest),
    ]
    for kind in sorted(groups, key=lambda kind: (kind not in KINDS, [*KINDS].index(kind) if kind in KINDS else 0, kind)):
        parts += kind_section(kind, groups[kind], folder)
    parts.append(equal_ends(newest))
    return write_page(path, wide(page("Runs side by side", *parts, description="Comparison of all reported runs")))


def verdict_of_all(runs: list[Summary]) -> str:
    """The box of what the runs' verdicts are: which are better than every formula, which worse, which nobody knows."""
    said = {"success": "Better than every formula without training", "danger": "Worse than a formula, or crashed",
            "warning": "Not certain", "note": "Not known"}  # fmt: skip
    groups: dict[str, list[Summary]] = defaultdict(list)
    for run in runs:
        groups[run.get("verdict_kind") or "note"].append(run)
    lines = [
        f"- {said[kind]}: " + "; ".join(f"{run_link(run)} ({plain(run.get('verdict') or '-')})" for run in groups[kind])
        for kind in said
        if groups[kind]
    ]
    better, worse = len(groups["success"]), len(groups["danger"])
    title = f"{better} of {counted(len(runs), 'run')} better than every formula without training"
    title += f", {worse} worse or crashed" if worse else ""
    return note("danger" if worse else "success" if better == len(runs) else "note", capital(title), "\n".join(lines))


def kind_section(kind: str, runs: list[Summary], folder: Path) -> list[str]:
    """Table, curves and differing settings of the runs of one kind."""
    title = f"{capital(KINDS.get(kind) or plain(kind))}: {counted(len(runs), 'run')}"
    rows = [comparison_row(run) for run in runs]
    if kind == "generator":
        objectives = [plain(phase_name(run["phase"], short=True)) for run in runs]
        rows = [[row[0], objective, *row[1:]] for row, objective in zip(rows, objectives, strict=True)]
        text = table([COMPARISON_HEAD[0], "objective", *COMPARISON_HEAD[1:]], rows, 4)
    else:
        text = table(COMPARISON_HEAD, rows, 3)
    parts = [f"## {title}", sortable(text)]
    drawn = [run for run in runs if run["curves"]][:MOST_DRAWN]
    if len(drawn) > 1:
        name = f"compare-{slug(kind, 'other')}"
        save_svg_pair(folder / "figures" / name, lambda: draw_kind(drawn))
        remarks = f" Only the {MOST_DRAWN} newest runs are drawn." if len(runs) > MOST_DRAWN else ""
        if len({run["phase"] for run in drawn}) > 1:
            what = "objectives" if kind == "generator" else "phases"
            remarks += f" Losses of different {what} are not comparable."
        picture = figure(f"figures/{name}", f"Loss and validation RMSE of {counted(len(drawn), 'run')} over steps and over "
                            "time", f"Medians of the logged values, over steps and over training time.{remarks}")  # fmt: skip
        parts.append(asked(drawn, picture))
    known = [run for run in runs if run["settings"]]
    differing = differing_settings(known)
    if differing:
        parts += ["### Differing settings", sortable(settings_table(known, differing))]
    elif len(known) > 1:
        parts.append("All settings that are known are equal.")
    return parts


def asked(runs: list[Summary], picture: str) -> str:
    """Each curve of the comparison, a line a run, over steps, time or the share of each run's own length."""
    parts = []
    for name in (name for name in CURVES if any(name in run["curves"] for run in runs)):
        curves = [kept_curve(run["name"], run["curves"][name]) for run in runs if name in run["curves"]]
        title = f"{axis_label(name)} of {counted(len(curves), 'run')}"
        parts.append(element(title, axis_label(name), curves, "" if parts else picture))
    return "\n\n".join(parts)


def kept_curve(label: str, kept: dict[str, list[float | None]]) -> dict[str, Any]:
    """A curve of a summary, JSON-ready for the page."""
    held = {key: np.array(values, dtype=float) for key, values in kept.items()}
    return curve(label, Thin(held["steps"], held["seconds"], *[held["values"]] * 3, False))


def comparison_row(run: Summary) -> list[str]:
    """The cells of a run."""
    return [run_link(run), plain(run.get("verdict") or "-"), state_text(run), count(run["step"]), minutes(run),
            in_dB(best_value(run, "rmse")), *(number(best_value(run, name)) for name in ("rmse", "nmse", "ssim")),
            number(run["last_loss"]), number(run["examples_per_s"], 3),
            count(run["parameters"]) if run["parameters"] else "-"]  # fmt: skip


def draw_kind(runs: list[Summary]) -> Figure:
    """Loss and validation RMSE, each over steps and over time, a line a run."""
    names = [name for name in CURVES if any(name in run["curves"] for run in runs)]
    columns = 4
    figure, axes = grid(2 * len(names), 2, height=1.9, legend_rows=1 - (-len(runs) // columns), shared=False)
    unit, size = time_unit(run["seconds"] for run in runs)
    handles = {}
    for row, name in enumerate(names):
        over_steps, over_time = axes[2 * row : 2 * row + 2]
        curves = []
        for position, run in enumerate(runs):
            colour, dashes = SERIES[position % len(SERIES)], DASHES[position // len(SERIES) % len(DASHES)]
            handles[run["slug"]] = Line2D([], [], color=colour, linestyle=dashes, label=run["name"])
            if name not in run["curves"]:
                continue
            held = {key: np.array(values, dtype=float) for key, values in run["curves"][name].items()}
            curve = Thin(held["steps"], held["seconds"], *[held["values"]] * 3, False)
            curves.append(curve)
            draw_curve(over_steps, curve, colour, dashes=dashes, few=FEW)
            if np.isfinite(curve.seconds).any():
                draw_curve(over_time, curve, colour, curve.seconds / size, dashes, few=FEW)
        for one in (over_steps, over_time):
            set_scale(one, curves)
            set_title(one, axis_label(name))
        tidy(over_steps)
        over_steps.set_xlabel(STEPS_LABEL)
        over_time.set_xlabel(f"training time ({unit})")
    figure.legend(handles=list(handles.values()), loc="lower center", ncol=columns, fontsize=8, handlelength=2.6)
    return figure


LONG_S = 2 * 3600.0  # trainings that take longer are shown in hours


def time_unit(seconds: Iterable[float | None]) -> tuple[str, float]:
    """(`min` or `h`, its seconds) for the longest of some times: no fractions of an hour."""
    return ("h", 3600.0) if max((one or 0 for one in seconds), default=0) > LONG_S else ("min", 60.0)


def differing_settings(runs: list[Summary]) -> dict[str, list[Any]]:
    """{setting: its value in each run} of those that are not equal in all runs."""
    names = dict.fromkeys(name for run in runs for name in run["settings"])
    found = {name: [run["settings"].get(name, ABSENT) for run in runs] for name in names}
    return {name: values for name, values in found.items() if any(value != values[0] for value in values[1:])}


def settings_table(runs: list[Summary], differing: dict[str, list[Any]]) -> str:
    """A row a run, or, if there are more settings than runs, a row a setting."""
    if len(differing) > len(runs):
        head = ["setting", *(plain(run["name"]) for run in runs)]
        return table(head, [[code(name), *map(as_cell, values)] for name, values in differing.items()])
    columns = zip(*differing.values(), strict=True)
    rows = [[run_link(run), *map(as_cell, values)] for run, values in zip(runs, columns, strict=True)]
    return table(["run", *map(code, differing)], rows)


class Point(NamedTuple):
    """A run or an evaluation in a scatter plot."""

    label: str
    kind: str
    cost: float
    error: float


def quality_section(runs: list[Summary], folder: Path) -> str:
    """Quality against cost: validation RMSE over training time, and evaluated RMSE over time a map."""
    unit, size = time_unit(run["seconds"] for run in runs)
    trained = [
        Point(run["name"], run["kind"], run["seconds"] / size, DB_PER_GAIN * error)
        for run in runs
        if run["seconds"] and (error := best_value(run, "rmse")) is not None
    ]
    evaluated = [
        Point(f"{run['name']}, {one['stem']}", run["kind"], one["ms_per_map"], DB_PER_GAIN * one["rmse"])
        for run in runs
        for one in run["evaluations"]
    ]
    panels = [
        (trained, f"training time ({unit})", "best validation RMSE (dB)"),
        (evaluated, "time a map (ms)", "evaluated RMSE (dB)"),
    ]
    panels = [one for one in panels if len(one[0]) > 1]
    if not panels:
        return ""
    save_svg_pair(folder / "figures" / "compare-quality", lambda: draw_quality(panels))
    text = figure("figures/compare-quality", "Scatter of error against training time and against time a map",
                  "Lower and further left is better. Squares: autoencoders; circles: generators.")  # fmt: skip
    return f"## Quality against cost\n\n{text}"


def draw_quality(panels: list[tuple[list[Point], str, str]]) -> Figure:
    """A scatter plot a panel."""
    figure, axes = grid(len(panels), 2, height=2.6, shared=False)
    for one, (points, across, up) in zip(axes, panels, strict=True):
        costs = [point.cost for point in points]
        middle = (min(costs) * max(costs)) ** 0.5 if min(costs) > 0 else 0.0
        for point in points:
            marker, colour = KIND_MARKS.get(point.kind, ("D", GREEN))
            one.plot([point.cost], [point.error], marker, color=colour, markersize=6, markeredgecolor=INK,
                     markeredgewidth=0.5)  # fmt: skip
            if len(points) <= NAMED:
                right = point.cost > middle
                one.annotate(point.label, (point.cost, point.error), xytext=(-5 if right else 5, 5), color=MUTED, fontsize=8,
                             textcoords="offset points", ha="right" if right else "left")  # fmt: skip
        if middle and max(costs) > 3 * min(costs):
            one.set_xscale("log")
            one.xaxis.set_minor_locator(NullLocator())
        one.xaxis.set_major_formatter(PLAIN)
        one.margins(0.18)
        one.yaxis.set_major_locator(MaxNLocator(5))
        one.yaxis.set_major_formatter(PLAIN)
        one.set_xlabel(across)
        set_title(one, up)
    return figure


def evaluation_section(runs: list[Summary]) -> str:
    """Every evaluation of every run on a line."""
    rows = [
        [run_link(run), f"[{plain(one['stem'])}]({run['slug']}/{one['page']})",
         plain(one["split"]), count(one["radio_maps"]), count(one["steps"]) if has_steps(one) else "-", in_dB(one["rmse"]),
         number(one["rmse"]),
         number(one["ssim"]), number(one["ms_per_map"], 3)]
        for run in runs
        for one in run["evaluations"]
    ]  # fmt: skip
    return f"## Evaluations\n\n{sortable(table(EVALUATION_HEAD, rows, 3))}" if rows else ""


def equal_ends(runs: list[Summary]) -> str:
    """Which finished runs ended with the same bits."""
    same: dict[str, list[Summary]] = defaultdict(list)
    for run in runs:
        if run["digest"]:
            same[run["digest"]].append(run)
    lines = [f"- {', '.join(map(run_link, some))}" for some in same.values() if len(some) > 1]
    if not lines:
        return ""
    return "\n".join(["## Equal ends", "", "These runs ended with the same bits in every parameter:", "", *lines])
