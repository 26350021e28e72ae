"""Figures of an evaluation: distributions over maps, error by distance and sight, maps, quality against time."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from radiodiff_jax.inference.error_profile import LARGEST_DB
from radiodiff_jax.reporting.evaluation_verdict import canonical
from radiodiff_jax.reporting.map_figures import MapPair, save_map_pairs
from radiodiff_jax.reporting.style import (
    BLUE,
    DASHES,
    GREEN,
    INK,
    MUTED,
    OCHRE,
    PURPLE,
    SKY,
    VERMILION,
    plt,
    save_svg_pair,
)

LINES = {
    "model": (BLUE, DASHES[0]), "autoencoder": (GREEN, DASHES[1]), "distance law": (VERMILION, DASHES[2]),
    "line-of-sight estimate": (PURPLE, DASHES[3]), "path estimate": (OCHRE, DASHES[1]),
    "dominant path model": (SKY, DASHES[1]), "ray estimate": (VERMILION, DASHES[3]),
}  # fmt: skip
ENOUGH_PIXELS = 30  # a bin of fewer is not drawn
PANELS = (
    ("{}/all/rmse", "RMSE (gain)", 1), ("{}/all/nmse", "NMSE", 1), ("{}/mae_db", "mean absolute error (dB)", 1),
    ("{}/all/ssim", "SSIM", 1), ("{}/all/psnr_db", "PSNR (dB)", 1), ("{}/share_within_3_db", "pixels within 3 dB (%)", 100),
)  # fmt: skip
ERRORS = ("RMSE (gain)", "NMSE", "mean absolute error (dB)")
"""Panels whose axis may be logarithmic."""
SIGHT_NAMES = {"in_sight": "in line of sight", "out_of_sight": "out of sight"}
SHOWN_DB = 30


def line_of(name: str) -> tuple[str, Any]:
    """Colour and dashes of a predictor."""
    return LINES.get(canonical(name), (SKY, DASHES[2]))


def save_distributions(results: dict[str, Any], protocol: str, stem: Path) -> list[Path]:
    """SVG pair: how each figure of a protocol spreads over the maps, a row a predictor."""
    names = [name for name, one in results.items() if one["maps"]]

    def make() -> Figure:
        figure, grid = plt.subplots(2, 3, figsize=(8.6, 4.2), sharey=True)
        for axes, (form, label, scale) in zip(grid.flat, PANELS, strict=True):
            columns = [results[name]["maps"].get(form.format(protocol), []) for name in names]
            values = [scale * np.array([v for v in column if v is not None], float) for column in columns]
            draw_boxes(axes, values, names, label in ERRORS)
            axes.set_xlabel(label)
        figure.tight_layout()
        return figure

    return save_svg_pair(stem, make)


def draw_boxes(axes: Axes, columns: Sequence[np.ndarray], names: Sequence[str], may_be_log: bool) -> None:
    """5 % to 95 % of the maps as a line, 25 % to 75 % as a bar, the median across it, both ends as dots."""
    for row, (values, name) in enumerate(zip(columns, names, strict=True)):
        if not values.size:
            continue
        colour, _ = line_of(name)
        ends, middle = np.quantile(values, [0.05, 0.95]), np.quantile(values, [0.25, 0.5, 0.75])
        axes.plot([values.min(), values.max()], [row, row], ".", color=colour, markersize=4)
        axes.plot(ends, [row, row], color=colour, linewidth=1.5)
        axes.plot(middle[[0, 2]], [row, row], color=colour, linewidth=8, solid_capstyle="butt")
        axes.plot([middle[1]] * 2, [row - 0.32, row + 0.32], color=INK, linewidth=2)
    known = np.concatenate([*columns, np.zeros(0)])
    if may_be_log and known.size and known.min() > 0 and known.max() > 8 * known.min():
        axes.set_xscale("log")
        few = known.max() < 20 * known.min()
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(False, axis="y")


def save_error_by_distance(results: dict[str, Any], stem: Path) -> list[Path]:
    """SVG pair: RMSE in dB by distance, in and out of sight, a line a predictor."""

    def draw(axes: Axes, sight: str) -> None:
        for name, one in results.items():
            part = one["errors"][sight]["by_distance"]
            metres, present = _bins(one["errors"], sight)
            colour, dashes = line_of(name)
            axes.plot(metres, np.array(part["rmse_db"], float)[present], color=colour, linestyle=dashes, marker=".",
                      label=name)  # fmt: skip
        axes.set_xlabel("distance from the transmitter (m)")

    return _sight_panels(stem, draw, "RMSE (dB)", from_zero=True)


def save_bias_by_distance(errors: dict[str, Any], own: str, stem: Path) -> list[Path]:
    """SVG pair: quantiles of the error of the run's own prediction by distance, in and out of sight."""
    colour, _ = line_of(own)

    def draw(axes: Axes, sight: str) -> None:
        part = errors[sight]["by_distance"]
        metres, present = _bins(errors, sight)
        low, middle, high = (np.array(part[key], float)[present] for key in ("10", "50", "90"))
        axes.axhline(0, color=INK, linewidth=1)
        axes.fill_between(metres, low, high, color=colour, alpha=0.25, linewidth=0, label="10 % to 90 % of pixels")
        axes.plot(metres, middle, color=colour, marker=".", label="median")
        axes.set_xlabel("distance from the transmitter (m)")

    return _sight_panels(stem, draw, f"error of the {own} (dB)")


def save_error_histogram(results: dict[str, Any], stem: Path) -> list[Path]:
    """SVG pair: share of pixels by signed error, in and out of sight, a line a predictor."""

    def draw(axes: Axes, sight: str) -> None:
        axes.axvspan(-3, 3, color=MUTED, alpha=0.15, linewidth=0)
        for name, one in results.items():
            counts = np.array(one["errors"][sight]["histogram"], float)
            edges = np.linspace(-LARGEST_DB, LARGEST_DB, len(counts) + 1)
            colour, dashes = line_of(name)
            axes.stairs(
                100 * counts / max(counts.sum(), 1), edges, color=colour, linestyle=dashes, linewidth=1.5, label=name
            )
        axes.set_xlim(-SHOWN_DB, SHOWN_DB)
        axes.set_yscale("log")
        axes.set_ylim(0.01, 100)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel("prediction - truth (dB)")

    width = next(iter(results.values()))["errors"]["histogram_db"]
    return _sight_panels(stem, draw, f"pixels (% per {width:g} dB)")


def _sight_panels(stem: Path, draw: Callable[[Axes, str], None], label: str, from_zero: bool = False) -> list[Path]:
    def make() -> Figure:
        figure, panels = plt.subplots(1, 2, figsize=(8.6, 3.5), sharey=True)
        for axes, (sight, title) in zip(panels, SIGHT_NAMES.items(), strict=True):
            draw(axes, sight)
            axes.set_title(title)
        if from_zero:  # once both have been drawn: it fixes the upper end too
            panels[0].set_ylim(bottom=0)
        panels[0].set_ylabel(label)
        handles, names = panels[0].get_legend_handles_labels()
        figure.tight_layout(rect=(0, 0.08, 1, 1))
        figure.legend(handles, names, loc="lower center", ncols=len(names))
        return figure

    return save_svg_pair(stem, make)


def _bins(errors: dict[str, Any], sight: str) -> tuple[np.ndarray, np.ndarray]:
    """Middles in metres and indices of the bins of distance that hold enough pixels."""
    present = np.flatnonzero(np.array(errors[sight]["by_distance"]["pixels"]) >= ENOUGH_PIXELS)
    return (present + 0.5) * errors["bin_metres"], present


def save_maps(arrays: dict[str, np.ndarray], rows: Sequence[int], titles: Sequence[str], stem: Path) -> list[Path]:
    """PNG pair: a row a map, simulated, prediction and error in dB.

    `rows` are places in the arrays, `titles` those of the third panels.
    """
    shown = [
        MapPair(
            arrays["truth"][row], arrays["output"][row], arrays["buildings"][row].astype(bool), tuple(arrays["position"][row]),
            (f"simulated: map {arrays['map'][row]}, transmitter {arrays['transmitter'][row]}", "prediction", title),
        )
        for row, title in zip(rows, titles, strict=True)
    ]  # fmt: skip
    return save_map_pairs(shown, "prediction - simulated (dB)", stem)


def save_steps(rows: Sequence[dict[str, float]], floor: float | None, stem: Path) -> list[Path]:
    """SVG pair: error against the time that a map takes, a point a number of sampling steps.

    `rows` are [{"steps", "ms_per_map", "rmse", "ssim"}] by rising steps; `floor` is the autoencoder's RMSE.
    """

    def make() -> Figure:
        figure, panels = plt.subplots(1, 2, figsize=(8.6, 3.4))
        time = [row["ms_per_map"] for row in rows]
        for axes, (key, label) in zip(panels, (("rmse", "RMSE raw (gain)"), ("ssim", "SSIM raw")), strict=True):
            values = [row[key] for row in rows]
            axes.plot(time, values, "-o", color=BLUE, markersize=5)
            for row, x, y in zip(rows, time, values, strict=True):
                axes.annotate(f"{row['steps']:g}", (x, y), xytext=(5, 6), textcoords="offset points", color=INK)
            axes.margins(x=0.12, y=0.2)
            axes.set_xlabel("time a map (ms)")
            axes.set_ylabel(label)
        handles = [Line2D([], [], color=BLUE, marker="o", markersize=5, label="model, by number of steps")]
        if floor is not None:
            panels[0].axhline(floor, color=GREEN, linestyle=DASHES[1])
            handles.append(Line2D([], [], color=GREEN, linestyle=DASHES[1], label="autoencoder (floor)"))
        figure.tight_layout(rect=(0, 0.08, 1, 1))
        figure.legend(handles=handles, loc="lower center", ncols=2)
        return figure

    return save_svg_pair(stem, make)
