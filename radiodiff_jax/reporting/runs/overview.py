"""The pages over all runs, runs/index.md and runs/compare.md, from the summaries that are kept beside run pages."""

from collections import Counter, defaultdict
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
    moment,
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
from radiodiff_jax.reporting.runs.page import CURVES, Summary
from radiodiff_jax.reporting.runs.run import KINDS
from radiodiff_jax.reporting.runs.settings import ABSENT, as_cell
from radiodiff_jax.reporting.style import BLUE, DASHES, GREEN, INK, MUTED, SERIES, VERMILION, save_svg_pair

INDEX_HEAD = ["run", "trains", "state", "verdict", "phase", "steps", "of", "best RMSE (gain)", "best SSIM", "last loss",
              "time (h)", "speed (examples/s)", "last line"]  # fmt: skip


def write_index(runs: list[Summary], folder: Path) -> bool:
    """Write the table of all runs, the newest first; true if it changed."""
    if not runs:
        return False
    newest = sorted(runs, key=lambda run: -run["written"])
    states = ", ".join(f"{number} {word}" for word, number in Counter(run["state"] for run in runs).items())
    parts = [
        f"{counted(len(runs), 'run')}: {states}. Every page is made from the files of its run; "
        "`python -m experiments.report` makes those anew whose files have changed.",
        "[All runs side by side](compare.md): curves, settings, quality against cost." if len(runs) > 1 else "",
        sortable(table(INDEX_HEAD, [index_row(run) for run in newest], 5)),
        "Verdict: what the newest evaluation found, against the best formula that needs no training. RMSE and SSIM are the "
        "best of the validations in the run: raw protocol, all pixels, mean over a fixed set of validation maps. Click a "
        "head to sort.",
    ]
    if any(run["gone"] for run in runs):
        parts.append("*Folder gone*: the run's folder is no longer where it was; its page stays until you delete it.")
    return write_page(folder / "index.md", wide(page("Runs", *parts, description="All runs that have been reported")))


def wide(text: str) -> str:
    """A page without a table of contents beside it, to leave room for wide tables."""
    return text.replace("---\n", "---\nhide: [toc]\n", 1)


def sortable(text: str) -> str:
    """A table that the reader can sort by a click on its head."""
    return f'<div class="sortable" markdown>\n\n{text}\n</div>'


def run_link(run: Summary) -> str:
    """The run's name, linking to its page."""
    return f"[{plain(run['name'])}]({run['slug']}/index.md)"


def state_text(run: Summary) -> str:
    """The state, and whether the folder is gone."""
    return run["state"] + (" (folder gone)" if run["gone"] else "")


def best_value(run: Summary, name: str) -> float | None:
    """The best validation figure of a run."""
    found: Any = run["best"][name]
    return found[0] if found else None


def hours(run: Summary) -> str:
    """Training time."""
    return "-" if run["seconds"] is None else f"{run['seconds'] / 3600:.3g}"


def index_row(run: Summary) -> list[str]:
    """The cells of a run."""
    return [
        run_link(run), KINDS.get(run["kind"], plain(run["kind"])), state_text(run), plain(run.get("verdict") or "-"),
        plain(phase_name(run["phase"], short=True)), count(run["step"]),
        count(run["planned"]) if run["planned"] else "-", number(best_value(run, "rmse")),
        number(best_value(run, "ssim")), number(run["last_loss"]), hours(run), number(run["examples_per_s"], 3),
        moment(run["written"]).removesuffix(" UTC") if run["written"] else "-",
    ]  # fmt: skip


MOST_DRAWN = len(SERIES) * len(DASHES)  # runs that colour and dashes tell apart
KIND_MARKS = {"vae": ("s", VERMILION), "generator": ("o", BLUE), "ldm": ("o", BLUE)}
FEW = 12  # points of a curve that are marked; more, of many runs, would hide the lines
NAMED = 12  # points with their name beside them; more would lie on each other
COMPARISON_HEAD = ["run", "state", "steps", "time (h)", "best RMSE (gain)", "best NMSE", "best SSIM", "last loss",
                   "speed (examples/s)", "parameters"]  # fmt: skip
EVALUATION_HEAD = ["run", "evaluation", "split", "maps", "sampling steps", "RMSE (gain)", "SSIM", "ms a map"]


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
        f"{counted(len(runs), 'run')} from {counted(len(groups), 'kind')} of training. Runs of one kind share their "
        "figures; losses of different kinds are not comparable.",
        quality_section(newest, folder),
        evaluation_section(newest),
    ]
    for kind in sorted(groups, key=lambda kind: (kind not in KINDS, [*KINDS].index(kind) if kind in KINDS else 0, kind)):
        parts += kind_section(kind, groups[kind], folder)
    parts.append(equal_ends(newest))
    return write_page(path, wide(page("Runs side by side", *parts, description="Comparison of all reported runs")))


def kind_section(kind: str, runs: list[Summary], folder: Path) -> list[str]:
    """Table, curves and differing settings of the runs of one kind."""
    title = f"{capital(KINDS.get(kind) or plain(kind))}: {counted(len(runs), 'run')}"
    rows = [comparison_row(run) for run in runs]
    if kind == "generator":
        objectives = [plain(phase_name(run["phase"], short=True)) for run in runs]
        rows = [[row[0], objective, *row[1:]] for row, objective in zip(rows, objectives, strict=True)]
        text = table([COMPARISON_HEAD[0], "objective", *COMPARISON_HEAD[1:]], rows, 3)
    else:
        text = table(COMPARISON_HEAD, rows, 2)
    parts = [f"## {title}", sortable(text)]
    drawn = [run for run in runs if run["curves"]][:MOST_DRAWN]
    if len(drawn) > 1:
        name = f"compare-{slug(kind, 'other')}"
        save_svg_pair(folder / "figures" / name, lambda: draw_kind(drawn))
        remarks = f" Only the {MOST_DRAWN} newest runs are drawn." if len(runs) > MOST_DRAWN else ""
        if kind == "generator" and len({run["phase"] for run in drawn}) > 1:
            remarks += " Losses of different objectives are not comparable."
        parts.append(figure(f"figures/{name}", f"Loss and validation RMSE of {counted(len(drawn), 'run')} over steps and over time",
                            f"Medians of the logged values, over steps and over training time.{remarks}"))  # fmt: skip
    known = [run for run in runs if run["settings"]]
    differing = differing_settings(known)
    if differing:
        parts += ["### Differing settings", sortable(settings_table(known, differing))]
    elif len(known) > 1:
        parts.append("All settings that are known are equal.")
    return parts


def comparison_row(run: Summary) -> list[str]:
    """The cells of a run."""
    return [run_link(run), state_text(run), count(run["step"]), hours(run),
            *(number(best_value(run, name)) for name in ("rmse", "nmse", "ssim")), number(run["last_loss"]),
            number(run["examples_per_s"], 3), count(run["parameters"]) if run["parameters"] else "-"]  # fmt: skip


def draw_kind(runs: list[Summary]) -> Figure:
    """Loss and validation RMSE, each over steps and over time, a line a run."""
    names = [name for name in CURVES if any(name in run["curves"] for run in runs)]
    columns = 4
    figure, axes = grid(2 * len(names), 2, height=1.9, legend_rows=1 - (-len(runs) // columns), shared=False)
    slowest = max((run["seconds"] or 0 for run in runs), default=0)
    unit, size = ("h", 3600) if slowest > 2 * 3600 else ("min", 60)
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
    trained = [
        Point(run["name"], run["kind"], run["seconds"] / 3600, error)
        for run in runs
        if run["seconds"] and (error := best_value(run, "rmse")) is not None
    ]
    evaluated = [
        Point(f"{run['name']}, {one['stem']}", run["kind"], one["ms_per_map"], one["rmse"])
        for run in runs
        for one in run["evaluations"]
    ]
    panels = [
        (trained, "training time (h)", "best validation RMSE (gain)"),
        (evaluated, "time a map (ms)", "evaluated RMSE (gain)"),
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
         plain(one["split"]), count(one["radio_maps"]), count(one["steps"]) if has_steps(one) else "-", number(one["rmse"]),
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
