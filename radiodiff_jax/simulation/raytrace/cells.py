"""Power of the cells of a window from rays: the surface that it is measured on, and cells that few rays reach.

Transmitters and receivers are at one height, so a ray in line of sight never crosses the horizontal plane of the
receivers, on which a radio map is usually measured. Walls of 1 m height around that plane, along the lines between the
cells of the grid, are crossed by every ray that passes the cell. The power on a wall is the mean over the wall of the
power density of all rays, whatever their direction; a cell takes the mean of its four walls, which weigh the more the
more they face the transmitter, as walls that rays graze are hit seldom. Any weights are unbiased; these have little noise
where the direct ray is the strongest.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import binary_opening, uniform_filter

WALL_HEIGHT = 1.0
"""Metres; half below and half above the antennas."""
BLOCK = 3  # cells; who belongs to a square of this side without a gap is reached densely
HOLE = 0.7
"""Share of the cells around an unreached cell, beyond which this is a gap between rays and no shadow."""
DENSE = 0.85
"""Share of sparsely reached cells that must have a ray for a neighbourhood to be wide enough."""
WIDER = (5, 9, 17)
"""Sides of the neighbourhoods over which the others are averaged: the smallest that is wide enough, or the last."""


def lattice_triangles(
    ground: Float[np.ndarray, "rows1 columns1"], east: float, north: float, antenna_height: float
) -> tuple[Float[np.ndarray, "vertices 3"], Int[np.ndarray, "triangles 3"]]:
    """Walls between the cells of a grid of 1 m; two triangles a wall, first all walls along rows, then along columns.

    `ground` is the height of the ground at the corners of the cells, row 0 in the north; (`east`, `north`) is the
    north-west corner.
    """
    rows, columns = ground.shape
    x, y = np.meshgrid(east + np.arange(columns), north - np.arange(rows))
    feet = np.stack([x, y, ground + antenna_height - WALL_HEIGHT / 2], axis=-1).reshape(-1, 3)
    corner = np.arange(rows * columns).reshape(rows, columns)
    along_rows = np.stack([corner[:, :-1], corner[:, 1:]], axis=-1).reshape(-1, 2)
    along_columns = np.stack([corner[:-1], corner[1:]], axis=-1).reshape(-1, 2)
    start, end = np.concatenate([along_rows, along_columns]).T
    above = rows * columns  # the index of a foot + this is the index of the corner above it
    lower = np.stack([start, end, end + above], axis=-1)
    upper = np.stack([start, end + above, start + above], axis=-1)
    triangles = np.stack([lower, upper], axis=1).reshape(-1, 3)
    return np.concatenate([feet, feet + [0, 0, WALL_HEIGHT]]).astype(np.float32), triangles.astype(np.uint32)


def cell_gains(
    triangle_gains: Float[np.ndarray, " triangles"], buildings: Bool[np.ndarray, "height width"], row: int, column: int
) -> Float[np.ndarray, "height width"]:
    """Linear path gain of every cell from that of the triangles; 0 in buildings.

    Walls that touch a building cell count only for cells that have no other wall.
    """
    height, width = buildings.shape
    walls = triangle_gains.astype(np.float64).reshape(-1, 2).mean(axis=1)
    along_rows = walls[: (height + 1) * width].reshape(height + 1, width)
    along_columns = walls[(height + 1) * width :].reshape(height, width + 1)
    open_rows, open_columns = _open_walls(buildings), _open_walls(buildings.T).T
    down, right = np.abs(np.arange(height) - row)[:, None] + 0.05, np.abs(np.arange(width) - column)[None] + 0.05
    distance = np.hypot(down, right)
    values = np.stack([along_rows[:-1], along_rows[1:], along_columns[:, :-1], along_columns[:, 1:]])
    weights = np.stack([open_rows[:-1], open_rows[1:], open_columns[:, :-1], open_columns[:, 1:]]) * np.stack(
        [down / distance] * 2 + [right / distance] * 2
    )
    weights[:, weights.sum(axis=0) == 0] = 1.0
    return np.where(buildings, 0.0, (values * weights).sum(axis=0) / weights.sum(axis=0))


def _open_walls(buildings: Bool[np.ndarray, "height width"]) -> Float[np.ndarray, "height1 width"]:
    """1 for walls along rows that no building cell touches, otherwise 0; the rim of the grid touches one cell."""
    free = np.pad(~buildings, ((1, 1), (0, 0)), mode="edge")
    return (free[:-1] & free[1:]).astype(float)


def spread_sparse(
    gain: Float[np.ndarray, "height width"], buildings: Bool[np.ndarray, "height width"]
) -> Float[np.ndarray, "height width"]:
    """Linear path gain with sparsely reached cells replaced by the mean over the sparsely reached ones around them.

    The mean counts cells without a ray as 0, so that power is hardly made or lost, as with photon maps (Jensen, 1996).
    Densely reached cells stay as they are and lend nothing to others, so that shadows keep their edges.
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
