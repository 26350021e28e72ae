"""The numbers of the dominant path model: the laws' are those of `propagation.py`, the others are the geometry's own.

Both versions of the model, numba and JAX, take them from here. Numba freezes module constants into the kernels that it
caches: after a change remove `dominant_path/__pycache__/*.nb?`.
"""

from typing import NamedTuple

import numpy as np

from radiodiff_jax import propagation


class DominantPathConstants(NamedTuple):
    """Physical constants; losses in dB, lengths in metres (1 pixel = 1 m).

    A named tuple, because it is immutable like a frozen dataclass and compiled kernels can read its fields by name.
    """

    loss_at_one_metre: float = -propagation.AT_ONE_METRE_DB
    line_of_sight_slope: float = propagation.LINE_OF_SIGHT_SLOPE_DB  # dB per decade of distance
    path_slope: float = propagation.PATH_SLOPE_DB  # dB per decade of path length, for every path that bends
    bend_offset: float = propagation.BEND_OFFSET_DB  # dB for any change of direction
    bend_slope: float = propagation.BEND_SLOPE_DB  # dB per degree
    bend_saturation: float = propagation.BEND_SATURATION  # degrees
    roof_height: float = propagation.ROOF_HEIGHT  # metres above the antennas
    roof_loss_per_metre: float = propagation.ROOF_LOSS_PER_METRE_DB  # dB per metre along the roofs (empirical)
    roof_gap_loss: float = propagation.ROOF_GAP_DB  # dB for every further building crossed: two bends of angle zero


class VisibilitySettings(NamedTuple):
    """Sampling and tolerances of the geometry (pixels and radians); grazing rays count as visible."""

    bins: int = 8192  # azimuths of a depth map of the transmitter or a corner
    roof_bins: int = 2048  # azimuths of a depth map of a roof point
    transmitter_to_pixel: float = 0.7
    transmitter_to_point: float = 0.5
    point_to_pixel: float = 0.3
    corner_to_corner: float = 0.3
    nearest_hit: float = 1e-6  # a point does not hide behind a wall that it touches
    wall_clearance: float = 0.3  # a transmitter or receiver in a building is moved this far out of it


CONSTANTS = DominantPathConstants()
VISIBILITY = VisibilitySettings()

FAR = 1e9
"""Distance where no wall is hit, and loss in dB where there is no path."""
WEDGE_TOLERANCE = np.radians(4.0)
"""Radians by which a building's wedge may reach over a ray that is tangent to it."""
NO_TURN = 0.02  # radians; below, a path goes straight on
ARRIVAL_BINS = 16  # a roof point keeps its best path from each of these azimuths of arrival
SHORTEST_CROSSING = 1.0  # metres between the two roof points of a path over the roofs
SAMPLES_PER_PIXEL = 1.5  # along a line over the roofs, to count the buildings below
