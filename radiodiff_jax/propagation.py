"""The closed forms of radio propagation in a city, their constants, and the baseline that knows distance only.

Everything that needs the law of distance takes it from here: features, baselines, and the simulators. The formulas are
the dominant path model (Woelfle and Landstorfer): loss at one metre, a slope with the logarithm of the length, and a loss
for each change of direction. Unless said otherwise the constants were fitted to the real DPM maps of RadioMapSeer. The
functions take NumPy or JAX arrays and return the same kind; one pixel is one metre.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from radiodiff_jax.units import db_to_gain

AnyArray = Any
"""A NumPy or JAX array; this file does not import JAX, which data workers do without."""

AT_ONE_METRE_DB = -47.86
"""Path gain at a distance of one metre."""
LINE_OF_SIGHT_SLOPE_DB = 25.0
"""Loss per decade of distance in line of sight."""
OUT_OF_SIGHT_DB = 16.0
"""Loss behind buildings against line of sight that fits simulated cities best, where one number must do."""
PATH_SLOPE_DB = 28.0
"""Loss per decade of length, for every path that bends."""
BEND_OFFSET_DB = 2.24
"""Loss of any change of direction."""
BEND_SLOPE_DB = 0.1545
"""Further loss per degree of a change of direction, up to `BEND_SATURATION` degrees."""
BEND_SATURATION = 70.0
MOST_BENDS_DB = 22.0
"""Loss of all bends of the shortest way at most: with more, the path of least loss is a longer one with fewer bends.

Fitted, as a cap of 20 to 24 dB is best on simulated training cities of seed 0 at 64 x 64 and at 256 x 256."""
ROOF_HEIGHT = 23.5
"""Metres from the antennas up to the roofs."""
ROOF_LOSS_PER_METRE_DB = 0.01
"""Loss per metre along the roofs (empirical)."""
ROOF_GAP_DB = 4.48
"""Loss of every further building that a path over the roofs crosses: two bends of angle zero."""


def line_of_sight_db(squared_distance: AnyArray) -> AnyArray:
    """Path gain in dB in line of sight at a squared distance in m^2: 25 dB per decade, no break point.

    -47.86 - 12.5 log10(d^2), fitted to the clear pixels of RadioMapSeer's dominant path maps.
    """
    log10 = squared_distance.__array_namespace__().log10
    return AT_ONE_METRE_DB - LINE_OF_SIGHT_SLOPE_DB / 2 * log10(squared_distance)


def bend_loss_db(degrees: AnyArray) -> AnyArray:
    """Loss in dB of one change of direction by an angle of 0 to 180 degrees; it saturates at 70 degrees."""
    return BEND_OFFSET_DB + BEND_SLOPE_DB * degrees.clip(0, BEND_SATURATION)


def bent_path_db(length: AnyArray, bends_db: AnyArray) -> AnyArray:
    """Path gain in dB of a path of `length` metres (less than 1 counts as 1) whose bends lose `bends_db` in all."""
    log10 = length.__array_namespace__().log10
    return AT_ONE_METRE_DB - PATH_SLOPE_DB * log10(length.clip(1, None)) - bends_db


def over_roofs_db(before: AnyArray, along: AnyArray, after: AnyArray, buildings_crossed: AnyArray) -> AnyArray:
    """Path gain in dB over the roofs, straight ahead: up to the first roof edge, along the roofs, down from the last.

    Horizontal metres `before` the first building, `along` the roofs and `after` the last building, and how many
    separate buildings (at least 1) lie under the path.
    """
    xp = before.__array_namespace__()
    up, down = xp.hypot(before, xp.full_like(before, ROOF_HEIGHT)), xp.hypot(after, xp.full_like(after, ROOF_HEIGHT))
    bends_db = bend_loss_db(xp.rad2deg(xp.acos(before / up))) + bend_loss_db(xp.rad2deg(xp.acos(after / down)))
    roofs_db = ROOF_LOSS_PER_METRE_DB * along + ROOF_GAP_DB * (buildings_crossed - 1).clip(0, None)
    return bent_path_db(up + along + down, bends_db + roofs_db)


def distance_law(
    buildings: Bool[np.ndarray, "height width"], row: int, column: int
) -> Float[np.ndarray, "height width"]:
    """Gain in [0, 1], float32, if nothing stood between the transmitter at (row, column) and any outdoor pixel.

    The squared distance is counted in whole pixels, plus 1 on the transmitter's row and column and plus 2 on its
    diagonals, as the maps have it. Pixels inside buildings are 0 and the transmitter's own pixel is 1.
    """
    height, width = buildings.shape
    down = np.abs(np.arange(height) - row)[:, None]
    across = np.abs(np.arange(width) - column)[None, :]
    squared_distance = down**2 + across**2 + ((down == 0) | (across == 0)) + 2 * (down == across)
    gain = db_to_gain(line_of_sight_db(squared_distance)).clip(0, 1)
    gain = np.where(buildings, 0, gain)
    gain[row, column] = 1
    return gain.astype(np.float32)
