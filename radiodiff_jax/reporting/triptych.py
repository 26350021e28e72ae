"""Three panels a row: two radio maps of one scene and their difference in dB."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Bool, UInt8
from matplotlib.figure import Figure
from numpy import ndarray

from radiodiff_jax.reporting.map_figures import ERROR_MAP, ERROR_RANGE_DB, GAIN_MAP, draw_map, mark_transmitter
from radiodiff_jax.reporting.style import plt, save_png_pair
from radiodiff_jax.units import DB_PER_GAIN, STRONGEST_DB, WEAKEST_DB, gain_to_db, grey_to_gain

# Inches. Placed by hand: matplotlib's own layout takes ten times as long for the same.
LEFT, PANEL, GAP, BAR_GAP, BAR, BAR_TEXT, TITLE, BOTTOM = 0.65, 2.2, 0.2, 0.12, 0.14, 0.8, 0.32, 0.5


class Triptych(NamedTuple):
    """A scene with two radio maps: grey levels, building mask, (row, column) of the transmitter, a title a panel."""

    first: UInt8[ndarray, "height width"]
    second: UInt8[ndarray, "height width"]
    buildings: Bool[ndarray, "height width"]
    transmitter: tuple[int, int]
    titles: tuple[str, str, str]


def save_triptychs(rows: Sequence[Triptych], difference: str, stem: Path) -> list[Path]:
    """PNG pair, a row a scene; `difference` names what the third panel shows, second - first."""
    height = PANEL * rows[0].first.shape[0] / rows[0].first.shape[1]
    width = LEFT + 3 * PANEL + GAP + 2 * (BAR_GAP + BAR + BAR_TEXT)
    whole = BOTTOM + len(rows) * (TITLE + height)
    lefts = [LEFT, LEFT + PANEL + GAP, LEFT + 2 * PANEL + GAP + BAR_GAP + BAR + BAR_TEXT]

    def make() -> Figure:
        figure = plt.figure(figsize=(width, whole))

        def place(left: float, bottom: float, across: float, up: float):
            return figure.add_axes((left / width, bottom / whole, across / width, up / whole))

        for line, row in enumerate(rows):
            bottom = BOTTOM + (len(rows) - 1 - line) * (TITLE + height)
            panels = [place(left, bottom, PANEL, height) for left in lefts]
            gains = [grey_to_gain(grey) for grey in (row.first, row.second)]
            for panel, gain, title in zip(panels, gains, row.titles, strict=False):
                shown = draw_map(panel, gain_to_db(gain), row.buildings, title, GAIN_MAP, WEAKEST_DB, STRONGEST_DB)
            error = DB_PER_GAIN * (gains[1] - gains[0])
            wrong = draw_map(panels[2], error, row.buildings, row.titles[2], ERROR_MAP, -ERROR_RANGE_DB, ERROR_RANGE_DB)
            for column, panel in enumerate(panels):
                panel.grid(False)
                mark_transmitter(panel, row.transmitter)
                panel.tick_params(labelbottom=line == len(rows) - 1, labelleft=column == 0)
                panel.set_xlabel("column (m)" if line == len(rows) - 1 else "")
                panel.set_ylabel("row (m)" if column == 0 else "")
        for left, image, label, ends in (
            (lefts[1], shown, "path gain (dB)", "neither"),
            (lefts[2], wrong, difference, "both"),
        ):
            bar = place(left + PANEL + BAR_GAP, BOTTOM, BAR, whole - BOTTOM - TITLE)
            figure.colorbar(image, cax=bar, label=label, extend=ends)
        return figure

    return save_png_pair(stem, make)
