"""Radio maps in numba, one transmitter at a time.

`prepare` does once what all transmitters of a map share; `path_gain_grey` then takes about a tenth of a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int32, UInt8

from radiodiff_jax.propagation import line_of_sight_db
from radiodiff_jax.simulation.cities.polygons import Ring, orient, sides_of, trace
from radiodiff_jax.simulation.dominant_path.constants import CONSTANTS, FAR, VISIBILITY, DominantPathConstants
from radiodiff_jax.simulation.dominant_path.ground_numba import GroundPaths, add_ground_paths, ground_paths
from radiodiff_jax.simulation.dominant_path.roofs_numba import RoofPaths, add_roof_paths, buildings_crossed, roof_paths
from radiodiff_jax.simulation.dominant_path.visibility_numba import Views, depth_map, look, views_of, visible
from radiodiff_jax.simulation.dominant_path.walls import Corners, corners_of, move_outside, receivers_of, roof_points_of
from radiodiff_jax.units import db_to_gain, gain_to_grey


@dataclass(frozen=True)
class PreparedMap:
    """All that is known of a map before a transmitter is placed."""

    buildings: Bool[np.ndarray, "height width"]
    outdoors: Int[np.ndarray, " receivers"]  # row * width + column
    receivers: Float[np.ndarray, "receivers 2"]
    rings: list[Ring]
    walls: Float[np.ndarray, "walls 4"]
    corners: Corners
    corner_views: Views
    mutually_visible: Bool[np.ndarray, "corners corners"]
    roof_points: Float[np.ndarray, "points 2"]
    roof_views: Views
    crossed: UInt8[np.ndarray, "points points"]


def prepare(buildings: Bool[np.ndarray, "height width"], polygons: Sequence[Ring] | None = None) -> PreparedMap:
    """Find corners and roof edges of a map and all that they see.

    `polygons` are rings in (row, column), pixel-centre coordinates, courtyards as rings of their own; they must agree
    with the mask. Where they are unknown they are traced from the mask. Takes about 2 s for a real map of 256 x 256.
    """
    buildings = np.ascontiguousarray(buildings, bool)
    if buildings.ndim != 2 or buildings.size == 0:
        raise ValueError(f"buildings must be a mask [height, width], not of shape {buildings.shape}")
    height, width = buildings.shape
    rings = trace(buildings) if polygons is None else orient([np.asarray(ring, np.float64) for ring in polygons])
    walls = sides_of(rings)
    corners = corners_of(rings, height, width)
    roof_points = roof_points_of(walls, height, width)

    outdoors = np.flatnonzero(~buildings)
    receivers = receivers_of(buildings, outdoors, rings, walls)
    depths = _depth_maps(corners.points, walls, VISIBILITY.bins)
    seen = np.zeros((len(depths), len(depths)), bool)
    for index, (point, depth) in enumerate(zip(corners.points, depths, strict=True)):
        seen[index] = visible(point, depth, corners.points, VISIBILITY.corner_to_corner)
    roof_depths = _depth_maps(roof_points, walls, VISIBILITY.roof_bins)
    return PreparedMap(
        buildings=buildings,
        outdoors=outdoors,
        receivers=receivers,
        rings=rings,
        walls=walls,
        corners=corners,
        corner_views=views_of(corners.points, depths, receivers, VISIBILITY.point_to_pixel),
        mutually_visible=seen & seen.T & ~np.eye(len(depths), dtype=bool),
        roof_points=roof_points,
        roof_views=views_of(roof_points, roof_depths, receivers, VISIBILITY.point_to_pixel),
        crossed=buildings_crossed(roof_points, buildings),
    )


def path_gain_grey(prepared: PreparedMap, row: int, column: int) -> UInt8[np.ndarray, "height width"]:
    """Dominant path map in grey levels for a transmitter at a pixel centre.

    Buildings and places without any path are 0, the transmitter is 255. A transmitter in a building, or touching one,
    radiates from just outside the nearest wall. Raises ValueError where the pixel is not in the map.
    """
    grey = gain_to_grey(db_to_gain(path_gain_db(prepared, row, column)))
    grey[row, column] = 255
    return grey


def path_gain_db(prepared: PreparedMap, row: int, column: int) -> Float[np.ndarray, "height width"]:
    """Path gain in dB, not limited to the range of grey levels; -inf in buildings and where no path leads."""
    height, width = prepared.buildings.shape
    best = _best_paths(prepared, row, column)
    gain = np.where(best.loss < FAR, -CONSTANTS.loss_at_one_metre - best.loss, -np.inf)
    gain[best.in_sight] = _line_of_sight_gain(prepared.outdoors[best.in_sight], width, row, column)
    picture = np.full(height * width, -np.inf)
    picture[prepared.outdoors] = gain
    return picture.reshape(height, width)


class LastBends(NamedTuple):
    """Where the last leg of every receiver's path begins."""

    place: Float32[np.ndarray, "height width 2"]  # (row, column), NaN in buildings and where no path leads
    over_roof: Bool[np.ndarray, "height width"]  # whether it comes down from a roof edge


def last_bends(prepared: PreparedMap, row: int, column: int) -> LastBends:
    """The place of the last bend of each dominant path: a corner, a roof edge or, in line of sight, the transmitter.

    Raises ValueError where the pixel is not in the map. Takes as long as `path_gain_db`.
    """
    height, width = prepared.buildings.shape
    best = _best_paths(prepared, row, column)
    corners = len(prepared.corners.points)
    turns = np.vstack([prepared.corners.points, prepared.roof_points, best.place, [np.nan, np.nan]])
    last = np.where(best.loss < FAR, best.last, len(turns) - 1)
    last[best.in_sight] = len(turns) - 2
    place = np.full((height * width, 2), np.nan, np.float32)
    place[prepared.outdoors] = turns[last]
    over_roof = np.zeros(height * width, bool)
    over_roof[prepared.outdoors] = (last >= corners) & (last < len(turns) - 2)
    return LastBends(place.reshape(height, width, 2), over_roof.reshape(height, width))


class _BestPaths(NamedTuple):
    """The dominant paths of one transmitter."""

    place: Float[np.ndarray, " 2"]  # whence it radiates
    in_sight: Int32[np.ndarray, " in_sight"]  # receivers in line of sight
    loss: Float[np.ndarray, " receivers"]  # dB beyond the loss at one metre; -FAR if in sight, FAR without a path
    last: Int32[np.ndarray, " receivers"]  # last bend: a corner or, counted on from the corners, a roof point; else -1


def _best_paths(prepared: PreparedMap, row: int, column: int) -> _BestPaths:
    height, width = prepared.buildings.shape
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(f"the transmitter ({row}, {column}) is outside the map of {height} x {width} pixels")
    centre = np.array([row, column], np.float64)
    place = move_outside(centre, prepared.rings, prepared.walls, VISIBILITY.wall_clearance)
    depth = depth_map(*place, prepared.walls, VISIBILITY.bins, VISIBILITY.nearest_hit)
    in_sight = look(*place, depth, prepared.receivers, VISIBILITY.transmitter_to_pixel)[0]

    # Receivers in sight take the straight path whatever else there is, so no other path is tried there.
    loss = np.full(len(prepared.receivers), FAR)
    loss[in_sight] = -FAR
    best = _BestPaths(place, in_sight, loss, np.full(len(loss), -1, np.int32))
    _add_ground(best, prepared, depth, CONSTANTS)
    _add_roofs(best, prepared, depth, CONSTANTS)
    return best


def _depth_maps(points: np.ndarray, walls: np.ndarray, bins: int) -> list[np.ndarray]:
    return [depth_map(*point, walls, bins, VISIBILITY.nearest_hit) for point in points]


def _line_of_sight_gain(pixels: np.ndarray, width: int, row: int, column: int) -> np.ndarray:
    """The law of distance in line of sight; the data show an offset of d^2 along the axes and the diagonals."""
    rows, columns = np.abs(pixels // width - row), np.abs(pixels % width - column)
    squared = (rows**2 + columns**2 + ((rows == 0) | (columns == 0)) + 2 * (rows == columns)).astype(np.float64)
    return line_of_sight_db(squared)


def _add_ground(best: _BestPaths, prepared: PreparedMap, depth: np.ndarray, constants: DominantPathConstants) -> None:
    corners = prepared.corners
    seen = visible(best.place, depth, corners.points, VISIBILITY.transmitter_to_point)
    paths = GroundPaths(*ground_paths(*best.place, seen, *corners, prepared.mutually_visible, constants))
    order = np.argsort(paths.loss, kind="stable")
    wedges = corners.into_building, corners.half_opening
    add_ground_paths(best.loss, best.last, order, paths, *wedges, prepared.corner_views, constants)


def _add_roofs(best: _BestPaths, prepared: PreparedMap, depth: np.ndarray, constants: DominantPathConstants) -> None:
    points = prepared.roof_points
    seen = visible(best.place, depth, points, VISIBILITY.transmitter_to_point)
    paths = RoofPaths(*roof_paths(*best.place, seen, points, prepared.crossed, constants))
    by_loss = np.argsort(paths.loss, axis=1, kind="stable")
    paths = RoofPaths(*(np.take_along_axis(field, by_loss, axis=1) for field in paths))
    order = np.argsort(paths.loss[:, 0], kind="stable")
    first = len(prepared.corners.points)
    add_roof_paths(best.loss, best.last, order, paths, prepared.roof_views, first, constants)
