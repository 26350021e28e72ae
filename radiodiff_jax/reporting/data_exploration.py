"""One or two RadioMapSeer folders looked at: an explore folder with numbers.json and figures, all that a page needs.

A *set* is what numbers.json keeps of a folder: {"label", "simulation", "facts", "curves"}.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter
from scipy.stats import ks_2samp

from radiodiff_jax.data.checks.check import check_folder
from radiodiff_jax.data.checks.city_statistics import LAYOUT_STATISTICS, layout_table, pooled
from radiodiff_jax.data.checks.compare import compare_shared
from radiodiff_jax.data.checks.survey import (
    GREY_LEVELS,
    MOST,
    Survey,
    survey_curves,
    survey_folder,
    survey_numbers,
    survey_splits,
)
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_json
from radiodiff_jax.propagation import line_of_sight_db
from radiodiff_jax.radiomapseer import RadioMapFolder, simulations_in
from radiodiff_jax.reporting.map_figures import save_differences, save_sample_maps
from radiodiff_jax.reporting.markdown import as_text
from radiodiff_jax.reporting.style import BLUE, DASHES, INK, MUTED, VERMILION, plt, save_svg_pair
from radiodiff_jax.units import NOISE_FLOOR, gain_to_db

NUMBERS = "numbers.json"
VERSION = 3
MOST_LAYOUTS = 200  # city maps whose layouts are measured: a few seconds
IMAGES_OPENED = 4000  # by the check: some seconds
FINDINGS_KEPT = 100


def explore(root: Path, simulation: str, out: Path, simulated: Path | None = None, most: int = MOST) -> dict[str, Any]:
    """Survey `root`, and `simulated` beside it; write figures and then numbers.json into `out`; returns the numbers.

    At most `most` radio maps of each folder are read. Raises UserError where a folder cannot be used.
    """
    folder = RadioMapFolder(root, simulation)
    other = None if simulated is None else open_simulated(simulated, simulation)
    surveys = [survey_folder(folder, most)] + ([survey_folder(other, most)] if other else [])
    labels = ("real", "simulated") if other else (as_text(root.resolve().name),)
    sets = [as_set(survey, label) for survey, label in zip(surveys, labels, strict=True)]
    save_sample_maps(folder, surveys[0].pairs, out / "samples")
    comparison = None
    if other:
        save_sample_maps(other, surveys[1].pairs, out / "samples-simulated")
        comparison = compare_shared(folder, other)
    if comparison:
        save_differences(folder, other, pick_examples(comparison["maps"]), out / "differences", labels)
    save_curves(sets, out)
    layouts = [layouts_of(survey) for survey in surveys]
    save_layouts(layouts, labels, out / "layouts")
    numbers = {
        "version": VERSION,
        "name": as_text(out.resolve().name),
        "explored": datetime.now(UTC).isoformat(timespec="seconds"),
        "most": most,
        "sets": sets,
        "layouts": layout_table(layouts),
        "splits": survey_splits(surveys[0]),
        "check": checked(folder),
        "comparison": comparison,
    }
    write_json(out / NUMBERS, numbers)
    return numbers


def open_simulated(root: Path, simulation: str) -> RadioMapFolder:
    """The folder's maps of the same simulation, or else of the first that it has."""
    there = simulations_in(root)
    if not there:
        raise UserError(f"{root} has no radio maps below gain/; `python -m experiments.dataset simulate` makes some")
    return RadioMapFolder(root, simulation if simulation in there else there[0])


def layouts_of(survey: Survey) -> dict[str, np.ndarray]:
    """Statistics of the layouts of the city maps that were read, at most `MOST_LAYOUTS` of them, evenly spread."""
    maps = sorted({number for number, _ in survey.pairs})
    places = np.linspace(0, len(maps) - 1, min(MOST_LAYOUTS, len(maps))).round().astype(int)
    return pooled(survey.folder.buildings(maps[place]) for place in places)


def as_set(survey: Survey, label: str) -> dict[str, Any]:
    """What is kept of one folder."""
    return {
        "label": label,
        "root": str(survey.folder.root),
        "simulation": survey.folder.simulation,
        "facts": survey_numbers(survey),
        "faults": survey.faults[:FINDINGS_KEPT],
        "curves": survey_curves(survey),
    }


def checked(folder: RadioMapFolder) -> dict[str, Any]:
    """What the check of the folder found; names of all files, images of some maps."""
    simulations = simulations_in(folder.root)
    images = 2 + (1 + len(simulations)) * -(-len(folder.pairs) // len(folder.maps))
    opened = min(len(folder.maps), max(1, IMAGES_OPENED // images))
    findings = check_folder(folder.root, most_maps=opened)
    return {
        "simulations": simulations,
        "maps_opened": opened,
        "errors": sum(finding.severity == "error" for finding in findings),
        "warnings": sum(finding.severity == "warning" for finding in findings),
        "findings": [finding.to_json() for finding in findings[:FINDINGS_KEPT]],
    }


def pick_examples(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The nearest, the middle and the farthest of rows in rising order of their error, each once, with a title."""
    places = {0: "nearest", len(rows) // 2: "median", len(rows) - 1: "farthest"}
    return [rows[place] | {"title": title} for place, title in sorted(places.items())]


COLOURS = (BLUE, VERMILION)
SHARE_BIN = 2.5  # per cent of a map
LEVELS_A_BIN = 4


def save_curves(sets: Sequence[dict[str, Any]], out: Path) -> list[Path]:
    """Write the figures of all curves into the folder `out`."""
    pictures = {
        "levels": (draw_levels, 1), "distance": (draw_distance, 1), "density": (draw_density, 1),
        "transmitters": (draw_transmitters, 2),
    }  # fmt: skip
    written = []
    for name, (draw, panels) in pictures.items():

        def make(draw=draw, panels=panels) -> Figure:
            figure, axes = plt.subplots(1, panels, figsize=(7.4, 3.4))
            draw(axes, sets)
            figure.tight_layout()
            return figure

        written += save_svg_pair(out / name, make)
    return written


def draw_levels(axes: Axes, sets: Sequence[dict[str, Any]]) -> None:
    """Histogram of the path gain outdoors where there is signal, in bins of 4 grey levels."""
    edges = gain_to_db(np.arange(0, GREY_LEVELS + 1, LEVELS_A_BIN) / 255)
    for number, one in enumerate(sets):
        counts = np.array(one["curves"]["grey_counts"])
        share = 100 * counts / max(counts.sum(), 1)
        share[0] = 0  # said in the text instead: no signal is no path gain
        bins = share.reshape(-1, LEVELS_A_BIN).sum(axis=1)
        _stairs(axes, bins, edges, number, one["label"])
    floor = gain_to_db(NOISE_FLOOR)
    axes.axvline(floor, color=MUTED, linestyle="--", linewidth=1.2, label=f"noise floor, {floor:.0f} dB")
    axes.set_xlabel("path gain (dB)")
    axes.set_ylabel(f"outdoor pixels (% per {edges[1] - edges[0]:.2f} dB)")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper right")


def draw_distance(axes: Axes, sets: Sequence[dict[str, Any]]) -> None:
    """Median and spread of the path gain by distance, where there is signal, beside the line-of-sight law."""
    furthest = 2.0
    for number, one in enumerate(sets):
        curve, colour = one["curves"]["gain_by_distance"], COLOURS[number]
        if not curve["metres"]:
            continue
        furthest = max(furthest, curve["metres"][-1])
        axes.fill_between(curve["metres"], curve["10"], curve["90"], color=colour, alpha=0.2, linewidth=0,
                          label=f"{one['label']}: 10 % to 90 % of pixels")  # fmt: skip
        axes.plot(curve["metres"], curve["50"], color=colour, linestyle=DASHES[number], label=f"{one['label']}: median")
    metres = np.geomspace(1.5, furthest, 60)
    axes.plot(metres, line_of_sight_db(metres**2), color=INK, linestyle="--", linewidth=1.2, label="line-of-sight law")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("distance from the transmitter (m)")
    axes.set_ylabel("path gain (dB)")
    axes.legend(loc="lower left", fontsize=9)


def draw_density(axes: Axes, sets: Sequence[dict[str, Any]]) -> None:
    """Histogram of the built share of the maps."""
    highest = max(max(one["curves"]["building_share"]) for one in sets)
    edges = np.arange(0, 100 * highest + SHARE_BIN, SHARE_BIN)
    for number, one in enumerate(sets):
        share = 100 * np.array(one["curves"]["building_share"])
        counts = np.histogram(share, edges)[0]
        _stairs(axes, 100 * counts / len(share), edges, number, f"{one['label']}: {len(share)} maps, "
                f"mean {share.mean():.1f} %")  # fmt: skip
    axes.set_xlim(left=0)
    axes.set_xlabel("built share of a map (%)")
    axes.set_ylabel(f"maps (% per {SHARE_BIN:g} %)")
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # room for the legend
    axes.legend(loc="upper right", fontsize=9)


def draw_transmitters(panels: Sequence[Axes], sets: Sequence[dict[str, Any]]) -> None:
    """Where transmitters stand: metres to the nearest building, and how far the outdoor pixels are from them."""
    near, far = panels
    known = [np.array(one["curves"]["transmitter_distance"]) for one in sets]
    longest = max([10.0, *(np.quantile(values, 0.99) for values in known if values.size)])
    edges = np.linspace(0, longest, 25)
    for number, (one, values) in enumerate(zip(sets, known, strict=True)):
        if values.size:
            counts = np.histogram(np.minimum(values, longest), edges)[0]
            _stairs(near, 100 * counts / values.size, edges, number, one["label"])
        pixels = np.array(one["curves"]["pixels_by_distance"], float)
        width = max(1, len(pixels) // 45)
        pixels = np.pad(pixels, (0, -len(pixels) % width)).reshape(-1, width).sum(axis=1)
        _stairs(far, 100 * pixels / (width * max(pixels.sum(), 1)), np.arange(len(pixels) + 1) * width, number,
                one["label"])  # fmt: skip
    near.set_xlabel("transmitter to the nearest building (m)")
    near.set_ylabel(f"transmitters (% per {edges[1]:.1f} m)")
    far.set_xlabel("outdoor pixel to the transmitter (m)")
    far.set_ylabel("outdoor pixels (% per m)")
    for axes in panels:
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(5))
    if len(sets) > 1:
        near.legend(loc="upper right", fontsize=9)


def _stairs(axes: Axes, values: np.ndarray, edges: np.ndarray, number: int, label: str) -> None:
    """A histogram as an outline; the first one faintly filled, so that a second can lie over it."""
    colour = COLOURS[number]
    if number == 0:
        axes.stairs(values, edges, fill=True, color=colour, alpha=0.25)
    axes.stairs(values, edges, color=colour, linestyle=DASHES[number], linewidth=1.5, label=label)


LAYOUTS_A_ROW = 4
CURVE_STEPS = 150  # of a distribution function, at most
SHOWN = 0.97  # quantile at which a panel ends: a few large buildings or squares would squeeze the rest


def save_layouts(sets: Sequence[dict[str, np.ndarray]], labels: Sequence[str], stem: Path) -> list[Path]:
    """SVG pair of the distribution functions of pooled statistics (see `layout_statistics`), light and dark."""

    def make() -> Figure:
        rows = -(-len(LAYOUT_STATISTICS) // LAYOUTS_A_ROW)
        figure, grid = plt.subplots(rows, LAYOUTS_A_ROW, figsize=(11, 0.7 + 2.2 * rows), sharey=True)
        for axes, name in zip(grid.flat, LAYOUT_STATISTICS, strict=True):
            draw_distribution(axes, [one[name] for one in sets], labels)
            axes.set_xlabel(name, fontsize=9)
            axes.locator_params(axis="x", nbins=4)  # labels of small numbers are wide
        for axes in grid[:, 0]:
            axes.set_ylabel("at most this (%)")
        handles, names = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="upper center", ncols=len(sets))
        figure.tight_layout(rect=(0, 0, 1, 1 - 0.3 / (0.7 + 2.2 * rows)))
        return figure

    return save_svg_pair(stem, make)


def draw_distribution(axes: Axes, values: Sequence[np.ndarray], labels: Sequence[str]) -> None:
    """The share of values that are at most so large, of each set; of two sets, their Kolmogorov-Smirnov distance."""
    known = [one for one in values if len(one)]
    end = max([np.quantile(one, SHOWN) for one in known if np.quantile(one, SHOWN) > 0], default=1.0)
    for number, (one, label) in enumerate(zip(values, labels, strict=True)):
        shares = np.arange(1, len(one) + 1) / max(len(one), 1)
        if len(one) > CURVE_STEPS:
            shares = np.linspace(0, 1, CURVE_STEPS)
        values_there = np.quantile(one, shares, method="inverted_cdf") if len(one) else shares
        at, share = np.concatenate([[0.0], values_there]), 100 * np.concatenate([[0.0], shares])
        axes.step(at, share, where="post", color=COLOURS[number], linestyle=DASHES[number], label=label)
    axes.set_xlim(0, 1.02 * end)
    axes.set_ylim(0, 100)
    axes.locator_params(nbins=5)
    if len(known) == 2:
        axes.set_title(f"distance {ks_2samp(*known, method='asymp').statistic:.2f}", fontsize=9)
