"""What the JAX version is told of a city: walls, corners and roof points, padded to a few fixed sizes; NumPy."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int32

from radiodiff_jax.simulation.cities.polygons import Ring, orient, sides_of, trace
from radiodiff_jax.simulation.dominant_path.constants import VISIBILITY
from radiodiff_jax.simulation.dominant_path.walls import corners_of, move_outside, receivers_of, roof_points_of

TILE = 8  # pixels along each side of a tile, whose receivers are treated together
CORNERS, ROOF_POINTS, WALLS = 64, 128, 64  # capacities are a common multiple of these
LEVELS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # which multiple; few, because each is compiled anew


class Scene(NamedTuple):
    """A city, padded; lengths in pixels, positions (row, column), angles in radians."""

    buildings: Bool[np.ndarray, "height width"]
    receivers: Float32[np.ndarray, "tiles receivers 2"]  # see `tiled`
    walls: Float32[np.ndarray, "walls 4"]  # padded with walls of no length
    corners: Float32[np.ndarray, "corners 2"]
    into_building: Float32[np.ndarray, " corners"]
    half_opening: Float32[np.ndarray, " corners"]
    is_corner: Bool[np.ndarray, " corners"]
    roof_points: Float32[np.ndarray, "points 2"]
    is_roof_point: Bool[np.ndarray, " points"]


def describe(
    buildings: Bool[np.ndarray, "height width"], polygons: Sequence[Ring] | None = None, level: int | None = None
) -> Scene:
    """The city's arrays (arguments as for `field_numba.prepare`); sides must be multiples of 8.

    `level` sets the capacity, so that scenes can be stacked: 64 level corners, 128 level roof points, 64 level walls;
    by default the least of a few that suffices. Raises ValueError for a bad mask or a level that does not suffice.
    """
    buildings = np.ascontiguousarray(buildings, bool)
    if buildings.ndim != 2 or buildings.size == 0 or any(side % TILE for side in buildings.shape):
        raise ValueError(f"buildings must be a mask with sides that are multiples of {TILE}, not {buildings.shape}")
    height, width = buildings.shape
    rings = trace(buildings) if polygons is None else orient([np.asarray(ring, np.float64) for ring in polygons])
    walls = sides_of(rings)
    corners = corners_of(rings, height, width)
    roof_points = roof_points_of(walls, height, width)
    needed = max(
        1, -(-len(corners.points) // CORNERS), -(-len(roof_points) // ROOF_POINTS), -(-len(walls) // WALLS)
    )
    level = next(one for one in LEVELS if one >= needed) if level is None else level
    if level < needed:
        raise ValueError(f"this city needs level {needed}, not {level}")

    outdoors = np.flatnonzero(~buildings)
    receivers = np.stack(np.divmod(np.arange(height * width), width), axis=1).astype(np.float64)
    receivers[outdoors] = receivers_of(buildings, outdoors, rings, walls)
    return Scene(
        buildings=buildings,
        receivers=tiled(receivers.reshape(height, width, 2)).astype(np.float32),
        walls=_padded(walls, level * WALLS),
        corners=_padded(corners.points, level * CORNERS),
        into_building=_padded(corners.into_building, level * CORNERS),
        half_opening=_padded(corners.half_opening, level * CORNERS),
        is_corner=np.arange(level * CORNERS) < len(corners.points),
        roof_points=_padded(roof_points, level * ROOF_POINTS),
        is_roof_point=np.arange(level * ROOF_POINTS) < len(roof_points),
    )


def transmitter_places(
    pixels: Int32[np.ndarray, "transmitters 2"], polygons: Sequence[Ring]
) -> Float32[np.ndarray, "transmitters 2"]:
    """Where transmitters at these pixels radiate from: their centres, or just outside a building that they are in."""
    rings = orient([np.asarray(ring, np.float64) for ring in polygons])
    walls = sides_of(rings)
    places = [move_outside(np.asarray(pixel, np.float64), rings, walls, VISIBILITY.wall_clearance) for pixel in pixels]
    return np.array(places, np.float32).reshape(-1, 2)


def tiled(picture):
    """[height, width, ...] -> [tiles, 64, ...], tiles row by row; numpy or JAX."""
    height, width, *rest = picture.shape
    blocks = picture.reshape(height // TILE, TILE, width // TILE, TILE, *rest)
    return blocks.swapaxes(1, 2).reshape(height * width // TILE**2, TILE**2, *rest)


def untiled(tiles, height: int, width: int):
    """[..., tiles, 64] -> [..., height, width]."""
    blocks = tiles.reshape(*tiles.shape[:-2], height // TILE, width // TILE, TILE, TILE)
    return blocks.swapaxes(-3, -2).reshape(*tiles.shape[:-2], height, width)


def _padded(array: np.ndarray, length: int) -> np.ndarray:
    padding = [(0, length - len(array))] + [(0, 0)] * (array.ndim - 1)
    return np.pad(array, padding).astype(np.float32)
