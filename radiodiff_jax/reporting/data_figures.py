"""Figures about a data set: sample scenes and maps, levels, distance, density."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import ScalarFormatter

from radiodiff_jax.data.layout import BRIGHT, RadioMapFolder
from radiodiff_jax.data.survey import GREY_LEVELS, Survey
from radiodiff_jax.distance_law import line_of_sight_db
from radiodiff_jax.reporting.map_figures import GAIN_MAP, draw_map, mark_transmitter, plt, save
from radiodiff_jax.units import METRES_PER_PIXEL, NOISE_FLOOR, STRONGEST_DB, WEAKEST_DB, gain_to_db, grey_to_gain

# Okabe and Ito's colours, told apart by every kind of colour vision.
BLUE, ORANGE, BLACK = "#0072b2", "#d55e00", "#000000"
SAMPLES = 8
SAMPLES_A_ROW = 4


def save_data_figures(survey: Survey, out: Path) -> list[Path]:
    """Write the figures into the folder `out`; returns their paths."""
    return [save_samples(survey.folder, out / "samples.png"), save_statistics(survey, out / "statistics.png")]


def save_samples(folder: RadioMapFolder, path: Path) -> Path:
    """PNG of up to 8 radio maps of different maps, in dB: buildings grey, the transmitter as a cross."""
    first = {number: transmitter for number, transmitter in reversed(folder.pairs)}
    numbers = [folder.maps[i] for i in np.linspace(0, len(folder.maps) - 1, min(SAMPLES, len(folder.maps))).astype(int)]
    rows, columns = -(-len(numbers) // SAMPLES_A_ROW), min(len(numbers), SAMPLES_A_ROW)
    height, width = folder.size
    figure, grid = plt.subplots(
        rows, columns, figsize=(1.2 + 2.9 * columns, 0.6 + rows * (0.5 + 2.6 * height / width)), squeeze=False,
        sharex=True, sharey=True, layout="constrained",
    )  # fmt: skip
    low, high = WEAKEST_DB, STRONGEST_DB
    for place, (axes, number) in enumerate(zip(grid.flat, numbers, strict=False)):
        gain_db = gain_to_db(grey_to_gain(folder.gain(number, first[number])))
        walls = folder.buildings(number) >= BRIGHT
        image = draw_map(axes, gain_db, walls, f"map {number}, transmitter {first[number]}", GAIN_MAP, low, high)
        mark_transmitter(axes, folder.transmitter(number, first[number]))
        axes.label_outer()
        if place + columns >= len(numbers):  # no map below
            axes.tick_params(labelbottom=True)
            axes.set_xlabel("column (m)")
    for axes in grid.flat[len(numbers) :]:
        axes.set_axis_off()
    figure.colorbar(image, ax=grid, label="path gain (dB)", shrink=0.9, aspect=40, pad=0.02)
    figure.suptitle(f"{folder.simulation}: buildings grey, transmitter marked by a cross", fontsize=11)
    return save(figure, path)


def save_statistics(survey: Survey, path: Path) -> Path:
    """PNG of three panels: path gain outdoors, path gain over distance with the distance law, building density."""
    figure, (levels, distance, density) = plt.subplots(1, 3, figsize=(13.5, 4.4), layout="constrained")
    draw_levels(levels, survey.grey_counts)
    draw_distance(distance, survey.grey_by_distance)
    draw_density(density, survey.building_share)
    figure.suptitle(
        f"{survey.folder.simulation}: {len(survey.pairs)} of {len(survey.folder.pairs)} radio maps", fontsize=11
    )
    return save(figure, path)


def draw_levels(axes: Axes, counts: np.ndarray) -> None:
    """Histogram of the path gain outdoors in bins of 4 grey levels; no signal is named apart."""
    share = 100 * counts / max(counts.sum(), 1)
    bins = share.copy()
    bins[0] = 0
    edges = gain_to_db(np.arange(0, GREY_LEVELS + 1, 4) / 255)
    axes.stairs(bins.reshape(-1, 4).sum(axis=1), edges, fill=True, color=BLUE)
    axes.set_ylim(0, 1.2 * max(bins.reshape(-1, 4).sum(axis=1).max(), 0.1))  # room for the legend
    floor = gain_to_db(NOISE_FLOOR)
    axes.axvline(floor, color=ORANGE, linestyle="--", label=f"noise floor ({floor:.0f} dB)")
    axes.set_title(f"path gain outdoors ({share[0]:.1f} % of pixels have no signal)", fontsize=10)
    axes.set_xlabel("path gain (dB)")
    axes.set_ylabel(f"share of outdoor pixels (% per {edges[1] - edges[0]:.2f} dB)")
    axes.legend(loc="upper right")


def draw_distance(axes: Axes, counts: np.ndarray) -> None:
    """Median and spread of the path gain outdoors by distance, where there is signal, beside the distance law."""
    heard = counts.copy()
    heard[:, 0] = 0
    # Below 30 pixels the quantiles are noise: the far corners of a few maps.
    present = np.flatnonzero(heard.sum(axis=1) >= 30)
    present = present[present > 0]
    metres = (present + 0.5) * METRES_PER_PIXEL
    low, middle, high = (gain_to_db(quantile(heard[present], share) / 255) for share in (0.1, 0.5, 0.9))
    axes.fill_between(metres, low, high, color=BLUE, alpha=0.25, linewidth=0, label="10 % to 90 % of pixels")
    axes.plot(metres, middle, color=BLUE, label="median")
    axes.plot(metres, line_of_sight_db(metres**2), color=BLACK, linestyle="--", label="line-of-sight law")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_title("path gain over distance, where there is signal", fontsize=10)
    axes.set_xlabel("distance from the transmitter (m)")
    axes.set_ylabel("path gain (dB)")
    axes.legend(loc="lower left")


def draw_density(axes: Axes, share: np.ndarray) -> None:
    """Histogram of the built share of the maps."""
    axes.hist(100 * share, bins=np.arange(0, 100 * share.max() + 5, 2.5), color=BLUE, edgecolor="white")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_title(f"building density of {len(share)} maps (mean {100 * share.mean():.1f} %)", fontsize=10)
    axes.set_xlabel("built share of a map (%)")
    axes.set_ylabel("maps per 2.5 %")


def quantile(counts: np.ndarray, share: float) -> np.ndarray:
    """Column index below which `share` of each row's counts lies: [rows, levels] -> [rows]."""
    cumulated = counts.cumsum(axis=1)
    return (cumulated < share * cumulated[:, -1:]).sum(axis=1)
