"""runs/compare.md: any number of runs side by side."""

from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from radiodiff_jax.reporting.markdown import counted, figure, page, plain, table, write_page
from radiodiff_jax.reporting.runs.card import CURVES, Card
from radiodiff_jax.reporting.runs.curves import PLAIN, STEPS_LABEL, draw_curve, grid, set_scale, set_title, tidy
from radiodiff_jax.reporting.runs.overview import best_value, hours, run_link, sortable, state_words, wide
from radiodiff_jax.reporting.runs.settings import ABSENT, shown
from radiodiff_jax.reporting.runs.thinning import Thin
from radiodiff_jax.reporting.runs.words import KINDS, axis_label, code, count, number
from radiodiff_jax.reporting.style import BLUE, DASHES, GREEN, INK, MUTED, SERIES, VERMILION, save_svg_pair

DRAWN = len(SERIES) * len(DASHES)  # runs that colour and dashes tell apart
KIND_MARKS = {"vae": ("s", VERMILION), "ldm": ("o", BLUE)}
FEW = 12  # points of a curve that are marked; more, of many runs, would hide the lines
NAMED = 12  # points with their name beside them; more would lie on each other
HEAD = ["run", "state", "steps", "time (h)", "best RMSE (gain)", "best NMSE", "best SSIM", "last loss",
        "speed (examples/s)", "parameters"]  # fmt: skip
EVALUATION_HEAD = ["run", "evaluation", "split", "maps", "diffusion steps", "RMSE (gain)", "SSIM", "ms a map"]


def write_comparison(cards: list[Card], folder: Path) -> bool:
    """Write the page and its figures; true if the page changed. Fewer than two runs: nothing to compare, no page."""
    path = folder / "compare.md"
    if len(cards) < 2:
        path.unlink(missing_ok=True)
        return False
    newest = sorted(cards, key=lambda card: -card["written"])
    groups: dict[str, list[Card]] = defaultdict(list)
    for card in newest:
        groups[card["kind"]].append(card)
    parts = [
        f"{counted(len(cards), 'run')} from {counted(len(groups), 'kind')} of training. Runs of one kind share their "
        "figures; losses of different kinds are not comparable.",
        quality_section(newest, folder),
        evaluation_section(newest),
    ]
    for kind in sorted(groups, key=[*KINDS].index):
        parts += kind_section(kind, groups[kind], folder)
    parts.append(equal_ends(newest))
    return write_page(path, wide(page("Runs side by side", *parts, description="Comparison of all reported runs")))


def kind_section(kind: str, cards: list[Card], folder: Path) -> list[str]:
    """Table, curves and differing settings of the runs of one kind."""
    title = f"{KINDS.get(kind, kind).capitalize()}: {counted(len(cards), 'run')}"
    parts = [f"## {title}", sortable(table(HEAD, [compare_row(card) for card in cards], 2))]
    drawn = [card for card in cards if card["curves"]][:DRAWN]
    if len(drawn) > 1:
        name = f"compare-{kind}"
        save_svg_pair(folder / "figures" / name, lambda: draw_kind(drawn))
        left_out = f" Only the {DRAWN} newest runs are drawn." if len(cards) > DRAWN else ""
        parts.append(figure(f"figures/{name}", f"Loss and validation RMSE of {counted(len(drawn), 'run')} over steps and over time",
                            f"Medians of the logged values, over steps and over training time.{left_out}"))  # fmt: skip
    known = [card for card in cards if card["settings"]]
    differing = differing_settings(known)
    if differing:
        parts += ["### Differing settings", sortable(settings_table(known, differing))]
    elif len(known) > 1:
        parts.append("All settings that are known are equal.")
    return parts


def compare_row(card: Card) -> list[str]:
    """The cells of a run."""
    return [run_link(card), state_words(card), count(card["step"]), hours(card),
            *(number(best_value(card, name)) for name in ("rmse", "nmse", "ssim")), number(card["last_loss"]),
            number(card["examples_per_s"], 3), count(card["parameters"]) if card["parameters"] else "-"]  # fmt: skip


def draw_kind(cards: list[Card]) -> Figure:
    """Loss and validation RMSE, each over steps and over time, a line a run."""
    names = [name for name in CURVES if any(name in card["curves"] for card in cards)]
    columns = 4
    figure, axes = grid(2 * len(names), 2, height=1.9, legend_rows=1 - (-len(cards) // columns), shared=False)
    slowest = max((card["seconds"] or 0 for card in cards), default=0)
    unit, size = ("h", 3600) if slowest > 2 * 3600 else ("min", 60)
    handles = {}
    for row, name in enumerate(names):
        over_steps, over_time = axes[2 * row : 2 * row + 2]
        drawn = []
        for position, card in enumerate(cards):
            colour, dashes = SERIES[position % len(SERIES)], DASHES[position // len(SERIES) % len(DASHES)]
            handles[card["slug"]] = Line2D([], [], color=colour, linestyle=dashes, label=card["name"])
            if name not in card["curves"]:
                continue
            held = {key: np.array(values, dtype=float) for key, values in card["curves"][name].items()}
            curve = Thin(held["steps"], held["seconds"], *[held["values"]] * 3, False)
            drawn.append(curve)
            draw_curve(over_steps, curve, colour, dashes=dashes, few=FEW)
            if np.isfinite(curve.seconds).any():
                draw_curve(over_time, curve, colour, curve.seconds / size, dashes, few=FEW)
        for one in (over_steps, over_time):
            set_scale(one, drawn)
            set_title(one, axis_label(name))
        tidy(over_steps)
        over_steps.set_xlabel(STEPS_LABEL)
        over_time.set_xlabel(f"training time ({unit})")
    figure.legend(handles=list(handles.values()), loc="lower center", ncol=columns, fontsize=8, handlelength=2.6)
    return figure


def differing_settings(cards: list[Card]) -> dict[str, list[Any]]:
    """{setting: its value in each run} of those that are not equal in all runs."""
    names = dict.fromkeys(name for card in cards for name in card["settings"])
    found = {name: [card["settings"].get(name, ABSENT) for card in cards] for name in names}
    return {name: values for name, values in found.items() if any(value != values[0] for value in values[1:])}


def settings_table(cards: list[Card], differing: dict[str, list[Any]]) -> str:
    """A row a run, or, if there are more settings than runs, a row a setting."""
    if len(differing) > len(cards):
        head = ["setting", *(plain(card["name"]) for card in cards)]
        return table(head, [[code(name), *map(shown, values)] for name, values in differing.items()])
    columns = zip(*differing.values(), strict=True)
    rows = [[run_link(card), *map(shown, values)] for card, values in zip(cards, columns, strict=True)]
    return table(["run", *map(code, differing)], rows)


class Point(NamedTuple):
    """A run or an evaluation in a scatter plot."""

    label: str
    kind: str
    cost: float
    error: float


def quality_section(cards: list[Card], folder: Path) -> str:
    """Quality against cost: validation RMSE over training time, and evaluated RMSE over time a map."""
    trained = [
        Point(card["name"], card["kind"], card["seconds"] / 3600, error)
        for card in cards
        if card["seconds"] and (error := best_value(card, "rmse")) is not None
    ]
    evaluated = [
        Point(f"{card['name']}, {one['stem']}", card["kind"], one["ms_per_map"], one["rmse"])
        for card in cards
        for one in card["evaluations"]
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
                  "Lower and further left is better. Squares: autoencoders; circles: diffusion models.")  # fmt: skip
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


def evaluation_section(cards: list[Card]) -> str:
    """Every evaluation of every run on a line."""
    rows = [
        [run_link(card), f"[{plain(one['stem'])}]({card['slug']}/{one['page']})",
         plain(one["split"]), count(one["radio_maps"]), count(one["steps"]) if one["steps"] else "-", number(one["rmse"]),
         number(one["ssim"]), number(one["ms_per_map"], 3)]
        for card in cards
        for one in card["evaluations"]
    ]  # fmt: skip
    return f"## Evaluations\n\n{sortable(table(EVALUATION_HEAD, rows, 3))}" if rows else ""


def equal_ends(cards: list[Card]) -> str:
    """Which finished runs ended with the same bits."""
    same: dict[str, list[Card]] = defaultdict(list)
    for card in cards:
        if card["digest"]:
            same[card["digest"]].append(card)
    lines = [f"- {', '.join(map(run_link, some))}" for some in same.values() if len(some) > 1]
    return (
        "\n".join(["## Equal ends", "", "These runs ended with the same bits in every parameter:", "", *lines])
        if lines
        else ""
    )
