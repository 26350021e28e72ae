"""Which windows of a city become maps, and their building masks."""

import numpy as np
from jaxtyping import Bool, Float

from radiodiff_jax.errors import UserError

ANTENNA_HEIGHT = 1.5
"""Metres above the local ground, of transmitters and receivers (RadioMapSeer)."""
COARSE = 4
"""Metres between the probes that windows are chosen by."""
BUILT_SHARE = (0.25, 0.65)
"""Least and greatest share of a window that is built over; beyond there are hardly buildings, or hardly streets."""
TRIALS = 400  # windows drawn before the choice is made


def building_mask(
    roof: Float[np.ndarray, "height width"], ground: Float[np.ndarray, "height width"]
) -> Bool[np.ndarray, "height width"]:
    """Cells whose highest surface is above the antennas' height over the local ground."""
    return roof > ground + ANTENNA_HEIGHT


def choose_windows(
    built: Bool[np.ndarray, "rows columns"], sides: tuple[int, int], count: int, seed: int, city: str
) -> list[tuple[int, int]]:
    """`count` windows of `sides` (rows, columns) as (first row, first column), sensibly built over, drawn by `seed`.

    Windows overlap as little as the draw allows: each is the one of many drawn windows that shares least area with those
    before it. Raises UserError where the city is smaller than a window, or no window is built over as it should be.
    """
    height, width = sides
    rows, columns = built.shape
    if rows < height or columns < width:
        raise UserError(
            f"{city} is {columns * COARSE} x {rows * COARSE} m, too small for a window of {width * COARSE} x "
            f"{height * COARSE} m; choose a smaller --size or another city",
            exit_code=2,
        )
    generator = np.random.default_rng(seed)
    tops, lefts = generator.integers(rows - height + 1, size=TRIALS), generator.integers(columns - width + 1, size=TRIALS)
    total = np.pad(built.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    bottoms, rights = tops + height, lefts + width
    share = (total[bottoms, rights] - total[tops, rights] - total[bottoms, lefts] + total[tops, lefts]) / (height * width)
    fitting = np.flatnonzero((share >= BUILT_SHARE[0]) & (share <= BUILT_SHARE[1]))
    if len(fitting) < count:
        raise UserError(
            f"only {len(fitting)} of {TRIALS} windows of {width * COARSE} x {height * COARSE} m drawn in {city} are built over by "
            f"{BUILT_SHARE[0]:.0%} to {BUILT_SHARE[1]:.0%}, too few for {count} maps; ask for fewer maps or another size"
        )
    tops, lefts = tops[fitting], lefts[fitting]
    shared, chosen = np.zeros(len(fitting)), []
    for _ in range(count):
        best = int(np.argmin(shared))  # the first drawn of the equally good
        chosen.append((int(tops[best]), int(lefts[best])))
        overlap = (height - np.abs(tops - tops[best])).clip(0) * (width - np.abs(lefts - lefts[best])).clip(0)
        shared += overlap
        shared[best] = np.inf
    return chosen
