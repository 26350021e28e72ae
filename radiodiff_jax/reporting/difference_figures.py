"""A figure about two folders of the same radio maps: how far they differ, over all their outdoor pixels."""

from pathlib import Path

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from radiodiff_jax.reporting.style import BLUE, DASHES, MUTED, VERMILION, plt, save_svg_pair
from radiodiff_jax.units import DB_PER_GAIN

BANDS = 40  # maps from which on the curves of single maps become a band
DB_PER_GREY_LEVEL = DB_PER_GAIN / 255
FARTHEST_DB = 12.0


def save_differences_in_numbers(counts: Int[np.ndarray, "maps 511"], stem: Path) -> list[Path]:
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
    if len(percent) < BANDS:
        for number, curve in enumerate(percent):
            axes.step(levels, curve, where="post", color=MUTED, linewidth=0.7, label="" if number else "one map")
    else:
        low, high = np.quantile(percent, (0.05, 0.95), axis=0)
        axes.fill_between(levels, low, high, step="post", color=MUTED, alpha=0.25, linewidth=0, label="nine maps in ten")
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
