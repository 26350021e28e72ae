"""Horizontal antenna patterns, in dB below the main direction. All places are in one plane, so that no other cut counts."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

HALF_POWER_DEGREES = 65.0
FRONT_TO_BACK_DB = 30.0

Degrees = Float[np.ndarray, "..."]


def omni_db(off_axis: Degrees) -> Float[np.ndarray, "..."]:
    """The same in all directions: 0 dB."""
    return np.zeros_like(off_axis)


def sector_db(off_axis: Degrees) -> Float[np.ndarray, "..."]:
    """Horizontal cut of 3GPP TR 38.901, table 7.3-1: -min(12 (angle / 65 degrees)^2, 30 dB).

    The gain of that antenna's main direction (8 dBi there) is not in it: it is the site's `gain_dbi`.
    """
    return -np.minimum(12 * (off_axis / HALF_POWER_DEGREES) ** 2, FRONT_TO_BACK_DB)


PATTERNS: dict[str, Callable[[Degrees], np.ndarray]] = {"omni": omni_db, "sector": sector_db}
"""Name in a list of sites -> dB at an angle of -180 to 180 degrees from the main direction."""


def bearings(size: tuple[int, int], row: int, column: int) -> Float[np.ndarray, "height width"]:
    """Direction from (row, column) to every pixel in degrees, 0 to 360 clockwise from north; 0 at the place itself."""
    down, across = np.arange(size[0])[:, None] - row, np.arange(size[1])[None] - column
    return np.rad2deg(np.arctan2(across, -down)) % 360


def pattern_db(
    pattern: str, size: tuple[int, int], row: int, column: int, azimuth: float
) -> Float[np.ndarray, "height width"]:
    """dB of an antenna at (row, column) that faces `azimuth` (degrees clockwise from north), towards every pixel; float32.

    The straight direction counts, also where the path goes around a corner. Raises KeyError for an unknown pattern.
    """
    off_axis = (bearings(size, row, column) - azimuth + 180) % 360 - 180
    found = PATTERNS[pattern](off_axis)
    found[row, column] = 0.0  # under the mast there is no direction
    return found.astype(np.float32)
