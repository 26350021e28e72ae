"""A picture of how sure a prediction is, for people."""

from pathlib import Path

import numpy as np

from radiodiff_jax.inference.radio_map import RadioMap
from radiodiff_jax.reporting.map_figures import draw_map, mark_transmitter, save
from radiodiff_jax.reporting.style import plt

LEVEL = 0.9
COLOURS = "cividis"


def save_interval(path: Path, found: RadioMap, level: float = LEVEL) -> Path:
    """PNG of half the width of the interval of a level in dB: buildings grey, the transmitter as a cross.

    The colour scale ends at the 99 % quantile outdoors, so that a few pixels do not darken the rest. Raises UserError for
    a map without intervals.
    """
    values = found.half_width_db(level)
    outdoors = values[~found.buildings]
    high = max(float(np.quantile(outdoors, 0.99)) if outdoors.size else 0.0, 0.1)
    known = "calibrated" if found.intervals.factors else "not calibrated"
    figure, axes = plt.subplots(figsize=(6.0, 5.2), layout="constrained")
    image = draw_map(axes, values, found.buildings, f"half-width of the {100 * level:.0f} % interval ({known})", COLOURS, 0.0,
                     high)  # fmt: skip
    mark_transmitter(axes, found.transmitter)
    figure.colorbar(image, ax=axes, label="half-width (dB)", extend="max")
    figure.legend(loc="outside lower right", fontsize=8, frameon=False)
    return save(figure, path)
