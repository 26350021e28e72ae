"""Figures about one data set, or two beside each other: sample maps, levels, distance, density, differences.

A *set* is what `data_exploration` keeps of a folder in numbers.json: {"label", "simulation", "facts", "curves"}.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

from radiodiff_jax.data.checks.survey import GREY_LEVELS
from radiodiff_jax.distance_law import line_of_sight_db
from radiodiff_jax.radiomapseer import Pair, RadioMapFolder
from radiodiff_jax.reporting.map_figures import GAIN_MAP, draw_map, mark_transmitter
from radiodiff_jax.reporting.style import BLUE, DASHES, INK, MUTED, VERMILION, plt, save_png_pair, save_svg_pair
from radiodiff_jax.reporting.triptych import Triptych, save_triptychs
from radiodiff_jax.units import NOISE_FLOOR, STRONGEST_DB, WEAKEST_DB, gain_to_db, grey_to_gain

COLOURS = (BLUE, VERMILION)
SAMPLES, SAMPLES_A_ROW = 8, 4
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
        share[0] = 0  # told in words: no signal is no path gain
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


def save_samples(folder: RadioMapFolder, pairs: Sequence[Pair], stem: Path) -> list[Path]:
    """PNG pair of up to 8 radio maps of different city maps, in dB: buildings grey, the transmitter as a cross."""
    first = {number: transmitter for number, transmitter in reversed(pairs)}
    maps = sorted(first)
    numbers = [maps[i] for i in np.linspace(0, len(maps) - 1, min(SAMPLES, len(maps))).round().astype(int)]
    rows, columns = -(-len(numbers) // SAMPLES_A_ROW), min(len(numbers), SAMPLES_A_ROW)
    height, width = folder.size
    read = [folder.record(number, first[number], cars=False) for number in numbers]

    def make() -> Figure:
        figure, grid = plt.subplots(
            rows, columns, figsize=(1.6 + 2.3 * columns, 0.3 + rows * (0.3 + 2.3 * height / width)), squeeze=False,
            sharex=True, sharey=True, layout="constrained",
        )  # fmt: skip
        for axes, one in zip(grid.flat, read, strict=False):
            title = f"map {one['map']}, transmitter {one['transmitter']}"
            image = _map(axes, one["gain"], one, title)
        for axes in grid.flat[len(read) :]:
            axes.set_axis_off()
        for place, axes in enumerate(grid.flat[: len(read)]):
            _outer_labels(axes, bottom=place + columns >= len(read), left=place % columns == 0)
        figure.colorbar(image, ax=grid, label="path gain (dB)", aspect=30, pad=0.02)
        return figure

    return save_png_pair(stem, make)


def save_differences(truth: RadioMapFolder, other: RadioMapFolder, rows: Sequence[dict[str, Any]], stem: Path,
                     labels: tuple[str, str]) -> list[Path]:  # fmt: skip
    """PNG pair with a row a scene that both folders have: one map, the other, the difference in dB.

    `rows` are [{"map", "transmitter", "rmse", "title"}].
    """
    shown = []
    for row in rows:
        first, second = (folder.record(row["map"], row["transmitter"], cars=False) for folder in (truth, other))
        titles = (f"{labels[0]}: map {row['map']}, transmitter {row['transmitter']}", labels[1],
                  f"{row['title']}: RMSE {row['rmse']:.4f} raw")  # fmt: skip
        walls, place = first["buildings"], tuple(first["position"].tolist())
        shown.append(Triptych(first["gain"], second["gain"], walls, place, titles))
    return save_triptychs(shown, f"{labels[1]} - {labels[0]} (dB)", stem)


def _map(axes: Axes, grey: np.ndarray, scene: dict[str, Any], title: str) -> Any:
    image = draw_map(axes, gain_to_db(grey_to_gain(grey)), scene["buildings"], title, GAIN_MAP, WEAKEST_DB,
                     STRONGEST_DB)  # fmt: skip
    axes.grid(False)
    mark_transmitter(axes, tuple(scene["position"].tolist()))
    return image


def _outer_labels(axes: Axes, bottom: bool, left: bool) -> None:
    axes.tick_params(labelbottom=bottom, labelleft=left)
    axes.set_xlabel("column (m)" if bottom else "")
    axes.set_ylabel("row (m)" if left else "")


def _stairs(axes: Axes, values: np.ndarray, edges: np.ndarray, number: int, label: str) -> None:
    """A histogram as an outline; the first one faintly filled, so that a second can lie over it."""
    colour = COLOURS[number]
    if number == 0:
        axes.stairs(values, edges, fill=True, color=colour, alpha=0.25)
    axes.stairs(values, edges, color=colour, linestyle=DASHES[number], linewidth=1.5, label=label)
