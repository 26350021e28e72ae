"""How much of a ray-traced map is chance: some maps are traced again with other rays, and compared."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from radiodiff_jax.units import grey_to_gain, thresholded

NOISE = "noise"
"""The key of a folder's record that is added when all maps are there."""
AGAIN = 2**16
"""Added to a transmitter's number where its map is traced a second time, for another seed."""


def spread(pairs: Sequence[Any], count: int) -> list[Any]:
    """`count` of the pairs at equal distances, or all of them."""
    count = min(count, len(pairs))
    return [pairs[index * len(pairs) // count] for index in range(count)]


def difference(
    first: UInt8[np.ndarray, "height width"], second: UInt8[np.ndarray, "height width"], buildings: Bool[np.ndarray, "height width"]
) -> dict[str, float]:
    """RMSE between two maps of one transmitter in both protocols (gain, whole maps), and the share of outdoor pixels where
    one of them has signal alone."""
    gains = [np.where(buildings, 0.0, grey_to_gain(grey)) for grey in (first, second)]
    return {
        "rmse_raw": _rmse(*gains),
        "rmse_thresholded": _rmse(*(thresholded(gain) for gain in gains)),
        "signal_in_one_only": float(np.mean((first > 0)[~buildings] != (second > 0)[~buildings])),
    }


def noise_of(differences: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Number of maps traced twice, and the means over them."""
    return {"maps": len(differences)} | {
        name: round(float(np.mean([one[name] for one in differences])), 6) for name in differences[0]
    }


def _rmse(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(one - other))))
