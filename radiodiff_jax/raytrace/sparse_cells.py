"""Cells that few rays reach: their power is that of a neighbourhood, not that of the one ray that happened to pass."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_opening, uniform_filter

BLOCK = 3  # cells; who belongs to a square of this side without a gap is reached densely
HOLE = 0.7
"""Share of the cells around an unreached cell, beyond which this is a gap between rays and no shadow."""
DENSE = 0.85
"""Share of sparsely reached cells that must have a ray for a neighbourhood to be wide enough."""
WIDER = (5, 9, 17)
"""Sides of the neighbourhoods over which the others are averaged: the smallest that is wide enough, or the last."""


def spread_sparse(
    gain: Float[np.ndarray, "height width"], buildings: Bool[np.ndarray, "height width"]
) -> Float[np.ndarray, "height width"]:
    """Linear path gain with sparsely reached cells replaced by the mean over the sparsely reached ones around them.

    The mean counts cells without a ray as 0, so that power is hardly made or lost, as with photon maps. Densely reached
    cells stay as they are and lend nothing to others, so that shadows keep their edges.
    """
    outdoor = ~buildings
    reached = (gain > 0) & outdoor
    dense = binary_opening(reached | buildings, np.ones((BLOCK, BLOCK))) & reached
    holes = outdoor & ~reached & (_mean(reached, outdoor, BLOCK) >= HOLE)
    sparse = outdoor & ~dense & ~holes
    spread, waiting = np.where(dense, gain, 0.0), sparse.copy()
    spread[holes] = _mean(gain, reached, BLOCK)[holes]
    for side in WIDER:
        ready = waiting & ((_mean(gain > 0, sparse, side) >= DENSE) | (side == WIDER[-1]))
        spread[ready] = _mean(gain, sparse, side)[ready]
        waiting &= ~ready
    return spread


def _mean(values: np.ndarray, among: Bool[np.ndarray, "height width"], side: int) -> Float[np.ndarray, "height width"]:
    """Mean of the values over the cells of `among` in a square around every cell; 0 where there are none."""
    number = uniform_filter(among.astype(float), side, mode="constant")
    total = uniform_filter(np.where(among, values, 0.0), side, mode="constant")
    least = 0.5 / side**2  # half a cell
    return np.where(number > least, total / np.maximum(number, least), 0.0).clip(0)
