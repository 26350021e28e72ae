"""What an adaptation to real maps gains, over the number of these maps: a summary, a table and a figure.

A result is what one fold and one number of maps gave: {"maps": see `inference.evaluation.evaluate`, of layouts that this
adaptation never saw, "seen": real maps that it saw, "updates": of the checkpoint that was judged}.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from radiodiff_jax.metrics import bootstrap_interval
from radiodiff_jax.reporting.style import BLUE, MUTED, VERMILION, plt, save_svg_pair
from radiodiff_jax.units import DB_PER_GAIN

FIGURES = {"raw/all/rmse": "RMSE raw", "thresholded/all/rmse": "RMSE thresholded"}
Result = dict[str, Any]


def summarise_curve(results: dict[int, Sequence[Result]]) -> list[dict[str, Any]]:
    """One row a number of maps, rising; `results[0]`, without adaptation, must be there, and each has all folds in order.

    A row is {"maps": number asked for, "seen": mean over folds, "updates": mean over folds, "figures": figure -> {"mean",
    "interval"}, "change": the same of its difference to the row of 0 maps, map by map, "per_map": columns}. Intervals are
    90 % by bootstrap over layouts, None for a single one. Errors are in gain.
    """
    before = _columns(results[0])
    rows = []
    for number in sorted(results):
        found = _columns(results[number])
        if (found["map"], found["transmitter"]) != (before["map"], before["transmitter"]):
            raise ValueError(f"the results for {number} maps are of other radio maps than those without adaptation")
        values = {name: np.array(found[name], float) for name in FIGURES}
        rows.append(
            {
                "maps": number,
                "seen": float(np.mean([one["seen"] for one in results[number]])),
                "updates": float(np.mean([one["updates"] for one in results[number]])),
                "figures": {name: _mean(values[name], found["map"]) for name in FIGURES},
                "change": {name: _mean(values[name] - np.array(before[name], float), found["map"]) for name in FIGURES},
                "per_map": {name: found[name] for name in ("map", "transmitter", *FIGURES)},
            }
        )
    return rows


def table(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """(head, cells) for a terminal."""
    head = ["real maps", "updates"]
    for label in FIGURES.values():
        head += [label, "90 % interval", "change"]
    return head, [_cells(row) for row in rows]


def verdict(rows: Sequence[dict[str, Any]]) -> str:
    """What the largest number of maps changed, in a sentence."""
    last = rows[-1]
    change, name = last["change"]["raw/all/rmse"], "raw RMSE"
    if last["maps"] == 0 or change["interval"] is None:
        return "There is nothing to compare, or a single layout, so nothing is known of the spread between cities."
    low, high = change["interval"]
    told = f"{DB_PER_GAIN * change['mean']:+.3f} dB, 90 % interval {DB_PER_GAIN * low:+.3f} to {DB_PER_GAIN * high:+.3f} dB"
    if low <= 0 <= high:
        return f"With {last['seen']:.0f} real maps there is no measurable difference on cities not adapted on: {name} {told}."
    word = "lower" if high < 0 else "higher"
    return f"With {last['seen']:.0f} real maps the {name} on cities not adapted on is {word}: {told}."


def save_curve(stem: Path, rows: Sequence[dict[str, Any]]) -> list[Path]:
    """STEM.light.svg and STEM.dark.svg: RMSE over the number of real maps, both protocols, with 90 % intervals."""

    def draw():
        figure, axes = plt.subplots(1, len(FIGURES), figsize=(8, 3.2), layout="constrained")
        for axis, (name, label), colour in zip(axes, FIGURES.items(), (BLUE, VERMILION), strict=True):
            seen = np.array([row["seen"] for row in rows])
            means = np.array([row["figures"][name]["mean"] for row in rows])
            ends = np.array([row["figures"][name]["interval"] or [row["figures"][name]["mean"]] * 2 for row in rows])
            axis.axhline(means[0], color=MUTED, linewidth=1, linestyle=(0, (5, 2)))
            axis.errorbar(seen, means, np.abs(ends.T - means), color=colour, marker="o", markersize=4, capsize=3)
            axis.set(xlabel="real maps seen", ylabel=f"{label} (gain)", title="cities not adapted on")
        return figure

    return save_svg_pair(stem, draw)


def _columns(results: Sequence[Result]) -> dict[str, list[Any]]:
    return {name: [value for one in results for value in one["maps"][name]] for name in ("map", "transmitter", *FIGURES)}


def _mean(values: np.ndarray, layouts: Sequence[int]) -> dict[str, Any]:
    low, high = bootstrap_interval(values[:, None], np.asarray(layouts))
    return {"mean": float(values.mean()), "interval": [float(low[0]), float(high[0])] if np.isfinite(low[0]) else None}


def _cells(row: dict[str, Any]) -> list[str]:
    cells = [f"{row['seen']:.4g}", f"{row['updates']:.4g}"]
    for name in FIGURES:
        one, mean = row["figures"][name], row["change"][name]["mean"]
        ends = "-" if one["interval"] is None else f"{one['interval'][0]:.4f} to {one['interval'][1]:.4f}"
        start = one["mean"] - mean
        cells += [f"{one['mean']:.4f}", ends, f"{100 * mean / start:+.1f} %" if start else "-"]
    return cells
