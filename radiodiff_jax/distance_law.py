"""The baseline that knows distance only: the line-of-sight law everywhere, buildings blanked."""

import numpy as np
from jaxtyping import Bool, Float

from radiodiff_jax.units import db_to_gain

AT_ONE_METRE_DB = -47.86
DECAY = 2.5  # exponent of the distance


def line_of_sight_db(squared_distance: np.ndarray) -> np.ndarray:
    """Path gain in dB in line of sight at a squared distance in m^2: 25 dB per decade, no break point.

    -47.86 - 12.5 log10(d^2), fitted to the clear pixels of RadioMapSeer's dominant path maps.
    """
    return AT_ONE_METRE_DB - 5 * DECAY * np.log10(squared_distance)


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
