"""Pictures of radio maps for people: path gain in dB with a colour bar, axes in metres, buildings in grey.

One map, its spread, truth beside output, and the differences between two folders of the same maps.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy import ndarray

from radiodiff_jax.files import write_whole
from radiodiff_jax.radiomapseer import Pair, RadioMapFolder
from radiodiff_jax.reporting.style import BLUE, DASHES, MUTED, VERMILION, plt, save_pixel_pair, save_svg_pair
from radiodiff_jax.units import DB_PER_GAIN, STRONGEST_DB, WEAKEST_DB, gain_to_db, grey_to_gain

BUILDINGS = "#8a8a8a"
GAIN_MAP = "viridis"  # readable without colour vision, and in grey
ERROR_MAP = "PuOr"
ERROR_RANGE_DB = 20.0
SAMPLES, SAMPLES_A_ROW = 8, 4


def without_buildings(values: np.ndarray, buildings: np.ndarray | None) -> np.ndarray:
    """Values with the buildings left out."""
    return values if buildings is None else np.ma.masked_where(buildings, values)


def draw_map(axes: Axes, values: np.ndarray, buildings: np.ndarray | None, title: str, colours: str,
             low: float, high: float) -> AxesImage:  # fmt: skip
    """One map [height, width] on axes in metres; pixel (0, 0) is the north-west corner."""
    height, width = values.shape
    axes.set_facecolor(BUILDINGS)
    image = axes.imshow(without_buildings(values, buildings), cmap=colours, vmin=low, vmax=high, extent=(0, width, height, 0),
                        interpolation="nearest")  # fmt: skip
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("column (m)")
    axes.set_ylabel("row (m)")
    return image


def save_labelled_map(
    path: Path, gain: Float[np.ndarray, "height width"], buildings: Bool[np.ndarray, "height width"],
    transmitter: tuple[int, int], title: str,
) -> Path:  # fmt: skip
    """PNG of a path gain map (gain in [0, 1]) in dB, buildings grey, the transmitter as a cross."""
    figure, axes = plt.subplots(figsize=(6.0, 5.2), layout="constrained")
    image = draw_map(axes, gain_to_db(gain), buildings, title, GAIN_MAP, gain_to_db(0.0), gain_to_db(1.0))
    mark_transmitter(axes, transmitter)
    figure.colorbar(image, ax=axes, label="path gain (dB)")
    figure.legend(loc="outside lower right", fontsize=8, frameon=False)
    return save(figure, path)


def save_spread(
    path: Path, deviation_db: Float[np.ndarray, "height width"], buildings: Bool[np.ndarray, "height width"], title: str
) -> Path:
    """PNG of the standard deviation between samples, in dB."""
    figure, axes = plt.subplots(figsize=(6.0, 5.2), layout="constrained")
    high = max(float(deviation_db.max()), 0.1)
    image = draw_map(axes, deviation_db, buildings, title, "cividis", 0.0, high)
    figure.colorbar(image, ax=axes, label="standard deviation (dB)")
    return save(figure, path)


def save_comparison(
    path: Path, truth: Float[np.ndarray, "maps height width"], output: Float[np.ndarray, "maps height width"],
    buildings: Bool[np.ndarray, "maps height width"] | None = None, title: str = "",
) -> Path:  # fmt: skip
    """PNG with one row a map: simulated map, prediction (both path gain in dB) and prediction - simulated in dB."""
    count, height, width = truth.shape
    figure, grid = plt.subplots(
        count, 3, figsize=(9.6, 0.5 + 2.7 * count * height / width), squeeze=False, sharex=True, sharey=True,
        layout="constrained",
    )  # fmt: skip
    if title:
        figure.suptitle(title, fontsize=11)
    low, high = gain_to_db(0.0), gain_to_db(1.0)
    for i, row in enumerate(grid):
        walls = None if buildings is None else buildings[i]
        error = gain_to_db(output[i]) - gain_to_db(truth[i])
        rmse = float(np.sqrt(np.mean((output[i] - truth[i]) ** 2)))
        shown = draw_map(row[0], gain_to_db(truth[i]), walls, "simulated", GAIN_MAP, low, high)
        draw_map(row[1], gain_to_db(output[i]), walls, "prediction", GAIN_MAP, low, high)
        wrong = draw_map(row[2], error, walls, f"error, RMSE {DB_PER_GAIN * rmse:.2f} dB ({rmse:.4f})", ERROR_MAP, -ERROR_RANGE_DB,
                         ERROR_RANGE_DB)  # fmt: skip
        for axes in row[1:]:
            axes.set_ylabel("")
    for row in grid[:-1]:
        for axes in row:
            axes.set_xlabel("")
    figure.colorbar(shown, ax=grid[:, :2], label="path gain (dB)", shrink=0.9, aspect=40)
    figure.colorbar(wrong, ax=grid[:, 2], label="prediction - simulated (dB)", shrink=0.9, aspect=40, extend="both")
    return save(figure, path)


def save_samples(path: Path, truth: np.ndarray, output: np.ndarray, buildings: np.ndarray, title: str) -> None:
    """`save_comparison`, and the same maps as arrays beside it, in `path` with the suffix .npz, for the report."""
    save_comparison(path, truth, output, buildings, title)
    arrays = {"truth": truth.astype(np.float16), "output": output.astype(np.float16), "buildings": buildings}
    write_whole(path.with_suffix(".npz"), lambda temporary: np.savez_compressed(temporary, **arrays))


def mark_transmitter(axes: Axes, transmitter: tuple[int, int]) -> None:
    """A white cross with a dark rim at the transmitter's pixel centre."""
    x, y = transmitter[1] + 0.5, transmitter[0] + 0.5
    axes.plot(x, y, "x", color="black", markersize=11, markeredgewidth=4, label="transmitter")
    axes.plot(x, y, "x", color="white", markersize=10, markeredgewidth=2)


def save(figure: plt.Figure, path: Path) -> Path:
    """Write the figure as PNG, atomically, and close it."""
    try:
        return write_whole(path, lambda temporary: figure.savefig(temporary, dpi=110, format="png"))
    finally:
        plt.close(figure)


def save_sample_maps(folder: RadioMapFolder, pairs: Sequence[Pair], stem: Path) -> list[Path]:
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
            image = _draw_record(axes, one, title)
        for axes in grid.flat[len(read) :]:
            axes.set_axis_off()
        for place, axes in enumerate(grid.flat[: len(read)]):
            _outer_labels(axes, bottom=place + columns >= len(read), left=place % columns == 0)
        figure.colorbar(image, ax=grid, label="path gain (dB)", aspect=30, pad=0.02)
        return figure

    return save_pixel_pair(stem, make)


def _draw_record(axes: Axes, record: dict[str, Any], title: str) -> AxesImage:
    gain = gain_to_db(grey_to_gain(record["gain"]))
    image = draw_map(axes, gain, record["buildings"], title, GAIN_MAP, WEAKEST_DB, STRONGEST_DB)
    axes.grid(False)
    mark_transmitter(axes, tuple(record["position"].tolist()))
    return image


def _outer_labels(axes: Axes, bottom: bool, left: bool) -> None:
    axes.tick_params(labelbottom=bottom, labelleft=left)
    axes.set_xlabel("column (m)" if bottom else "")
    axes.set_ylabel("row (m)" if left else "")


# Inches. Placed by hand: matplotlib's own layout takes ten times as long for the same.
LEFT, PANEL, GAP, BAR_GAP, BAR, BAR_TEXT, TITLE, BOTTOM = 0.65, 2.2, 0.2, 0.12, 0.14, 0.8, 0.32, 0.5


class MapPair(NamedTuple):
    """Two radio maps of one scene (grey levels, or gain in [0, 1]), building mask, (row, column) of the transmitter or None
    where it is not known, a title a panel."""

    first: UInt8[ndarray, "height width"] | Float[ndarray, "height width"]
    second: UInt8[ndarray, "height width"] | Float[ndarray, "height width"]
    buildings: Bool[ndarray, "height width"]
    transmitter: tuple[int, int] | None
    titles: tuple[str, str, str]


def save_map_pairs(rows: Sequence[MapPair], difference: str, stem: Path) -> list[Path]:
    """PNG pair with three panels a row: first map, second map, second - first in dB, which `difference` names."""
    height = PANEL * rows[0].first.shape[0] / rows[0].first.shape[1]
    width = LEFT + 3 * PANEL + GAP + 2 * (BAR_GAP + BAR + BAR_TEXT)
    total = BOTTOM + len(rows) * (TITLE + height)
    lefts = [LEFT, LEFT + PANEL + GAP, LEFT + 2 * PANEL + GAP + BAR_GAP + BAR + BAR_TEXT]

    def make() -> Figure:
        figure = plt.figure(figsize=(width, total))

        def place(left: float, bottom: float, across: float, up: float):
            return figure.add_axes((left / width, bottom / total, across / width, up / total))

        for line, row in enumerate(rows):
            bottom = BOTTOM + (len(rows) - 1 - line) * (TITLE + height)
            panels = [place(left, bottom, PANEL, height) for left in lefts]
            gains = [grey_to_gain(one) if one.dtype == np.uint8 else one for one in (row.first, row.second)]
            for panel, gain, title in zip(panels, gains, row.titles, strict=False):
                shown = draw_map(panel, gain_to_db(gain), row.buildings, title, GAIN_MAP, WEAKEST_DB, STRONGEST_DB)
            error = DB_PER_GAIN * (gains[1] - gains[0])
            wrong = draw_map(panels[2], error, row.buildings, row.titles[2], ERROR_MAP, -ERROR_RANGE_DB, ERROR_RANGE_DB)
            for column, panel in enumerate(panels):
                panel.grid(False)
                if row.transmitter is not None:
                    mark_transmitter(panel, row.transmitter)
                panel.tick_params(labelbottom=line == len(rows) - 1, labelleft=column == 0)
                panel.set_xlabel("column (m)" if line == len(rows) - 1 else "")
                panel.set_ylabel("row (m)" if column == 0 else "")
        for left, image, label, ends in (
            (lefts[1], shown, "path gain (dB)", "neither"),
            (lefts[2], wrong, difference, "both"),
        ):
            bar = place(left + PANEL + BAR_GAP, BOTTOM, BAR, total - BOTTOM - TITLE)
            figure.colorbar(image, cax=bar, label=label, extend=ends)
        return figure

    return save_pixel_pair(stem, make)


def save_differences(truth: RadioMapFolder, other: RadioMapFolder, rows: Sequence[dict[str, Any]], stem: Path,
                     labels: tuple[str, str]) -> list[Path]:  # fmt: skip
    """PNG pair with a row a scene that both folders have: one map, the other, the difference in dB.

    `rows` are [{"map", "transmitter", "rmse", "title"}].
    """
    shown = []
    for row in rows:
        first, second = (folder.record(row["map"], row["transmitter"], cars=False) for folder in (truth, other))
        titles = (f"{labels[0]}: map {row['map']}, transmitter {row['transmitter']}", labels[1],
                  f"{row['title']}: RMSE {DB_PER_GAIN * row['rmse']:.2f} dB ({row['rmse']:.4f})")  # fmt: skip
        walls, place = first["buildings"], tuple(first["position"].tolist())
        shown.append(MapPair(first["gain"], second["gain"], walls, place, titles))
    return save_map_pairs(shown, f"{labels[1]} - {labels[0]} (dB)", stem)


BAND_FROM = 40  # maps from which on the curves of single maps become a band
DB_PER_GREY_LEVEL = DB_PER_GAIN / 255
FARTHEST_DB = 12.0


def save_difference_curves(counts: Int[np.ndarray, "maps 511"], stem: Path) -> list[Path]:
    """SVG pair: the share of pixels that differ by at most so many dB, and the sizes of the differences by sign.

    `counts` [maps, 511] are pixels by other - truth in grey levels, -255 to 255 (see `data.compare.difference_counts`).
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def make() -> Figure:
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained")
        _draw_shares(left, shares)
        _draw_signs(right, shares.mean(axis=0))
        return figure

    return save_svg_pair(stem, make)


def _draw_shares(axes: Axes, shares: np.ndarray) -> None:
    """Distribution functions of |difference|: each map thin (or the range of all), the mean thick."""
    middle = shares.shape[1] // 2
    sizes = shares[:, middle:] + np.pad(shares[:, middle - 1 :: -1], ((0, 0), (1, 0)))
    percent = 100 * sizes.cumsum(axis=1)
    levels = np.arange(percent.shape[1]) * DB_PER_GREY_LEVEL
    if len(percent) < BAND_FROM:
        for number, curve in enumerate(percent):
            axes.step(levels, curve, where="post", color=MUTED, linewidth=0.7, label="" if number else "one map")
    else:
        low, high = np.quantile(percent, (0.05, 0.95), axis=0)
        axes.fill_between(
            levels, low, high, step="post", color=MUTED, alpha=0.25, linewidth=0, label="nine maps in ten"
        )
    axes.step(levels, percent.mean(axis=0), where="post", color=BLUE, linewidth=2.2, label="mean of the maps")
    axes.set_xlim(0, FARTHEST_DB)
    axes.set_ylim(min(50.0, float(percent[:, 0].min())), 100)
    axes.set_xlabel("difference, at most (dB)")
    axes.set_ylabel("outdoor pixels (%)")
    axes.legend(loc="lower right")


def _draw_signs(axes: Axes, shares: np.ndarray) -> None:
    """Share of the squared difference beyond each size, too bright and too dark apart."""
    middle = len(shares) // 2
    levels = np.arange(middle + 1)
    weights = {"too bright": shares[middle:], "too dark": shares[middle::-1]}
    total = max(float(sum((share * levels**2).sum() for share in weights.values())), 1e-12)
    for (label, share), colour, dash in zip(weights.items(), (VERMILION, BLUE), DASHES, strict=False):
        beyond = 100 * (share * levels**2)[::-1].cumsum()[::-1] / total
        axes.step(levels * DB_PER_GREY_LEVEL, beyond, where="pre", color=colour, linestyle=dash, label=label)
    axes.set_xlim(0, FARTHEST_DB)
    axes.set_ylim(0, None)
    axes.set_xlabel("pixels that differ by at least (dB)")
    axes.set_ylabel("share of the squared difference (%)")
    axes.legend(loc="upper right")
