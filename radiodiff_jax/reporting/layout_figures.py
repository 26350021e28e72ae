"""A figure about the layouts of one or two sets of cities: a small panel a statistic."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from radiodiff_jax.data.checks.city_statistics import LAYOUT_STATISTICS, kolmogorov_smirnov
from radiodiff_jax.reporting.style import BLUE, DASHES, VERMILION, plt, save_svg_pair

COLOURS = (BLUE, VERMILION)
A_ROW = 4
STEPS = 150  # of a curve that are drawn, at most
SHOWN = 0.97  # quantile at which a panel ends: a few large buildings or squares would squeeze the rest


def save_layouts(sets: Sequence[dict[str, np.ndarray]], labels: Sequence[str], stem: Path) -> list[Path]:
    """SVG pair of the distribution functions of pooled statistics (see `layout_statistics`), light and dark."""

    def make() -> Figure:
        rows = -(-len(LAYOUT_STATISTICS) // A_ROW)
        figure, grid = plt.subplots(rows, A_ROW, figsize=(11, 0.7 + 2.2 * rows), sharey=True)
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
    """The share of values that are at most so large, of each set; of two sets, the largest gap in words."""
    known = [one for one in values if len(one)]
    end = max([np.quantile(one, SHOWN) for one in known if np.quantile(one, SHOWN) > 0], default=1.0)
    for number, (one, label) in enumerate(zip(values, labels, strict=True)):
        shares = np.arange(1, len(one) + 1) / max(len(one), 1)
        if len(one) > STEPS:
            shares = np.linspace(0, 1, STEPS)
        values_there = np.quantile(one, shares, method="inverted_cdf") if len(one) else shares
        at, share = np.concatenate([[0.0], values_there]), 100 * np.concatenate([[0.0], shares])
        axes.step(at, share, where="post", color=COLOURS[number], linestyle=DASHES[number], label=label)
    axes.set_xlim(0, 1.02 * end)
    axes.set_ylim(0, 100)
    axes.locator_params(nbins=5)
    if len(known) == 2:
        axes.set_title(f"distance {kolmogorov_smirnov(*known):.2f}", fontsize=9)
