"""Pictures of radio maps for people: path gain in dB with a colour bar, axes in metres, buildings in grey."""

from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import Bool, Float

from radiodiff_jax.files import write_whole
from radiodiff_jax.units import gain_to_db

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.image import AxesImage  # noqa: E402

BUILDINGS = "#8a8a8a"
GAIN_MAP = "viridis"  # readable without colour vision, and in grey
ERROR_MAP = "PuOr"
ERROR_RANGE_DB = 20.0


def masked(values: np.ndarray, buildings: np.ndarray | None) -> np.ndarray:
    """Values with the buildings left out."""
    return values if buildings is None else np.ma.masked_where(buildings, values)


def draw_map(axes: Axes, values: np.ndarray, buildings: np.ndarray | None, title: str, colours: str,
             low: float, high: float) -> AxesImage:  # fmt: skip
    """One map [height, width] on axes in metres; pixel (0, 0) is the north-west corner."""
    height, width = values.shape
    axes.set_facecolor(BUILDINGS)
    image = axes.imshow(masked(values, buildings), cmap=colours, vmin=low, vmax=high, extent=(0, width, height, 0),
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
    axes.legend(loc="upper right", fontsize=8, framealpha=0.9)
    figure.colorbar(image, ax=axes, label="path gain (dB)")
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
    """PNG with one row a map: truth, output (both path gain in dB) and output - truth in dB."""
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
        shown = draw_map(row[0], gain_to_db(truth[i]), walls, "truth", GAIN_MAP, low, high)
        draw_map(row[1], gain_to_db(output[i]), walls, "output", GAIN_MAP, low, high)
        wrong = draw_map(row[2], error, walls, f"output - truth (RMSE {rmse:.4f} raw)", ERROR_MAP, -ERROR_RANGE_DB,
                         ERROR_RANGE_DB)  # fmt: skip
        for axes in row[1:]:
            axes.set_ylabel("")
    for row in grid[:-1]:
        for axes in row:
            axes.set_xlabel("")
    figure.colorbar(shown, ax=grid[:, :2], label="path gain (dB)", shrink=0.9, aspect=40)
    figure.colorbar(wrong, ax=grid[:, 2], label="error (dB)", shrink=0.9, aspect=40, extend="both")
    return save(figure, path)


def save_samples(path: Path, truth: np.ndarray, output: np.ndarray, buildings: np.ndarray, title: str) -> None:
    """`save_comparison`, and the same maps as arrays beside it, in `path` with the suffix .npz, for the report."""
    save_comparison(path, truth, output, buildings, title)
    arrays = {"truth": truth.astype(np.float16), "output": output.astype(np.float16), "buildings": buildings}
    write_whole(path.with_suffix(".npz"), lambda temporary: np.savez_compressed(temporary, **arrays))


def mark_transmitter(axes: Axes, transmitter: tuple[int, int]) -> None:
    """A white cross with a dark rim at the transmitter's pixel centre."""
    x, y = transmitter[1] + 0.5, transmitter[0] + 0.5
    axes.plot(x, y, "x", color="black", markersize=11, markeredgewidth=4)
    axes.plot(x, y, "x", color="white", markersize=10, markeredgewidth=2, label="transmitter")


def save(figure: plt.Figure, path: Path) -> Path:
    """Write the figure as PNG, whole or not at all, and close it."""
    try:
        return write_whole(path, lambda temporary: figure.savefig(temporary, dpi=110, format="png"))
    finally:
        plt.close(figure)
