"""Pictures of a coverage plan for people: best server, power, SINR, distribution, legends, and a choice step by step."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from radiodiff_jax.inference.coverage import Area, Choice, Coverage, Site, distribution
from radiodiff_jax.reporting.coverage.colours import POWER_DBM, SINR_DB, SINR_MAP, best_server_picture, site_colours
from radiodiff_jax.reporting.map_figures import BUILDINGS, GAIN_MAP, draw_map, save
from radiodiff_jax.reporting.style import MUTED, plt, save_pixel_pair, settings

LEGEND_SITES = 12
"""So many sites have a line of their own in a legend."""
EDGE = [patheffects.withStroke(linewidth=2.5, foreground="black")]


def save_coverage(path: Path, coverage: Coverage) -> Path:
    """PNG of best server, strongest power, SINR and the distribution of both."""
    return save_white(path, lambda: draw_coverage(coverage))


def save_white(path: Path, draw: Callable[[], Figure]) -> Path:
    """PNG of the figure that `draw()` makes, in the house's style on white."""
    with plt.rc_context(settings() | {"figure.facecolor": "white", "savefig.facecolor": "white"}):
        return save(draw(), path)


def save_coverage_pair(stem: Path, coverage: Coverage) -> list[Path]:
    """The same for pages, light and dark."""
    return save_pixel_pair(stem, lambda: draw_coverage(coverage))


def draw_coverage(coverage: Coverage) -> Figure:
    """Four panels: best server, strongest power, SINR, distributions."""
    height, width = coverage.area.size
    figure, grid = plt.subplots(2, 2, figsize=(9.6, 1.0 + 7.2 * height / width), layout="compressed")
    draw_best_server(grid[0, 0], coverage)
    buildings = coverage.area.buildings
    for axes, values, limits, colours, title, unit in (
        (grid[0, 1], coverage.strongest_dbm, POWER_DBM, GAIN_MAP, "strongest power", "received power (dBm)"),
        (grid[1, 0], coverage.sinr_db, SINR_DB, SINR_MAP, "SINR of the best server", "SINR (dB)"),
    ):
        shown = np.ma.masked_where(~np.isfinite(values), values)
        image = draw_map(axes, shown, buildings, title, colours, *limits)
        axes.grid(False)
        figure.colorbar(image, ax=axes, label=unit, extend="both", aspect=30)
    draw_distributions(grid[1, 1], coverage)
    grid[1, 1].set_box_aspect(height / width)
    if coverage.radio.shift_db:
        shift = f"shifted by {coverage.radio.shift_db:+.2f} dB for free space, nothing more"
        figure.suptitle(f"at {coverage.radio.gigahertz:g} GHz: maps of 5.9 GHz {shift}", fontsize=10)
    return figure


def draw_best_server(axes: Axes, coverage: Coverage, title: str = "best server") -> None:
    """Each pixel in the colour of its best server; hatched where that is beyond the windows of pixels."""
    height, width = coverage.area.size
    axes.set_facecolor("none")
    axes.imshow(best_server_picture(coverage), extent=(0, width, height, 0), interpolation="nearest")
    if coverage.beyond.any():
        axes.contourf(np.arange(width) + 0.5, np.arange(height) + 0.5, coverage.beyond, levels=[0.5, 1.5], hatches=["///"],
                      colors="none")  # fmt: skip
    draw_sites(axes, coverage.sites)
    axes.set(title=title, xlabel="column (m)", ylabel="row (m)", xlim=(0, width), ylim=(height, 0))
    axes.title.set_fontsize(10)
    axes.grid(False)


def draw_sites(axes: Axes, sites: Sequence[Site], names: bool = True) -> None:
    """A white triangle a site, a stroke in its main direction, and its name."""
    small = len(sites) > LEGEND_SITES
    for site in sites:
        x, y = site.column + 0.5, site.row + 0.5
        axes.plot(x, y, "^", color="white", markeredgecolor="black", markersize=5 if small else 8)
        if site.azimuth is not None and site.pattern != "omni":
            angle, length = np.deg2rad(site.azimuth), 0.05 * (axes.get_xlim()[1] - axes.get_xlim()[0])
            tip = (x + length * np.sin(angle), y - length * np.cos(angle))
            axes.plot([x, tip[0]], [y, tip[1]], color="white", linewidth=2, path_effects=EDGE)
        if names:
            axes.annotate(site.name, (x, y), (4, 4), textcoords="offset points", fontsize=6 if small else 8, color="white",
                          path_effects=EDGE, clip_on=True)  # fmt: skip


def draw_distributions(axes: Axes, coverage: Coverage) -> None:
    """Shares of the outdoor area with at most so much power (lower axis) and SINR (upper axis)."""
    above = axes.twiny()
    above.set_box_aspect(coverage.area.size[0] / coverage.area.size[1])
    for one, values, colour, dash, label in (
        (axes, coverage.strongest_dbm, "C0", "-", "strongest power (dBm)"),
        (above, coverage.sinr_db, "C1", "--", "SINR (dB)"),
    ):
        found, share = distribution(values, coverage.area.outdoors)
        one.plot(found, 100 * share, color=colour, linestyle=dash)
        one.set_xlabel(label, color=colour)
    above.grid(False)
    above.spines["top"].set_visible(True)
    axes.set_ylim(0, 100)
    axes.set_ylabel("outdoor area at or below (%)")


def legend_png(name: str, coverage: Coverage) -> bytes:
    """The legend of an overlay: "best_server", "power" or "sinr", as the bytes of a PNG on white."""
    with plt.rc_context({"text.parse_math": False}):  # a site's name with `$` is no formula
        return _legend(name, coverage)


def _legend(name: str, coverage: Coverage) -> bytes:
    if name == "best_server":
        figure = plt.figure(figsize=(1.9, 0.45 + 0.2 * min(len(coverage.sites), LEGEND_SITES + 1)), facecolor="white")
        figure.legend(handles=_patches(coverage), loc="center", title="best server", fontsize=8, frameon=False)
    else:
        limits, colours, label = {
            "power": (POWER_DBM, GAIN_MAP, "strongest power (dBm)"), "sinr": (SINR_DB, SINR_MAP, "SINR (dB)"),
        }[name]  # fmt: skip
        figure, axes = plt.subplots(figsize=(2.6, 0.75), facecolor="white", layout="constrained")
        figure.colorbar(plt.cm.ScalarMappable(plt.Normalize(*limits), colours), cax=axes, orientation="horizontal", label=label)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def _patches(coverage: Coverage) -> list[Patch]:
    shown = [Patch(color=colour, label=site.name) for site, colour in
             zip(coverage.sites[:LEGEND_SITES], site_colours(len(coverage.sites)), strict=False)]  # fmt: skip
    more = len(coverage.sites) - len(shown)
    patches = [*shown, Patch(color="none", label=f"and {more} more")] if more else shown
    return [*patches, Patch(color=BUILDINGS, label="buildings")]


def draw_choice(area: Area, candidates: Sequence[Site], choice: Choice, unit: str) -> Figure:
    """Where the candidates are and which are chosen, in the order of the choice; and the value after every step.

    "C0" and "C1" are the first colours of the variant's series.
    """
    height, width = area.size
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.0, 0.6 + 4.8 * height / width), layout="constrained")
    left.imshow(area.buildings, cmap=ListedColormap(["none", BUILDINGS]), extent=(0, width, height, 0), interpolation="nearest")
    left.plot([site.column + 0.5 for site in candidates], [site.row + 0.5 for site in candidates], "o", color=MUTED, markersize=3,
              linestyle="", label="candidates")  # fmt: skip
    for number, index in enumerate(choice.chosen, 1):
        x, y = candidates[index].column + 0.5, candidates[index].row + 0.5
        left.plot(x, y, "^", color="C1", markersize=11, label="chosen" if number == 1 else "")
        left.annotate(f"{number}: {candidates[index].name}", (x, y), (6, 5), textcoords="offset points", fontsize=9, color="white",
                      path_effects=EDGE)  # fmt: skip
    left.set(title="candidates and choice", xlabel="column (m)", ylabel="row (m)", xlim=(0, width), ylim=(height, 0))
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncol=2)
    left.grid(False)
    scale = 100 if unit == "%" else 1
    values = [scale * step["value"] for step in choice.steps]
    right.plot(range(1, len(values) + 1), values, "o-", color="C0")
    for number, (step, value) in enumerate(zip(choice.steps, values, strict=True), 1):
        index, sign = (step["chosen"], "+") if "chosen" in step else (step["swapped"][1], "swap to ")
        label = f"{sign}{candidates[index].name}"
        right.annotate(label, (number, value), (3, -5), textcoords="offset points", fontsize=8, rotation=-35, va="top")
    if choice.bound is not None:
        right.axhline(scale * choice.bound, color="C1", linestyle="--", label="no choice reaches more")
        right.legend(loc="upper left")
    right.set(title="value after each step", xlabel="step")
    right.set_ylabel("outdoor area covered (%)" if unit == "%" else "10 % quantile of SINR (dB)")
    right.set_xticks(range(1, len(values) + 1))
    right.margins(x=0.15, y=0.25)
    return figure


