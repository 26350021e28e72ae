"""What bends paths, and where rays end: convex corners, points along roof edges, receivers and transmitters. NumPy.

Rings are oriented and walls are their sides (see `cities/polygons.py`). Positions are (row, column), azimuths are
atan2(row, column) in radians.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from radiodiff_jax.simulation.cities.polygons import Ring, enclosed, rasterise
from radiodiff_jax.simulation.dominant_path.constants import VISIBILITY

SMALLEST_TURN = np.radians(5.0)
CORNER_PUSH = 0.05  # pixels outward, so that a corner does not hide behind its own walls
ROOF_PUSH = 0.1
ROOF_SPACING = 10.0  # metres between points along a roof edge
SHORTEST_ROOF_EDGE = 0.3
BORDER = 0.4  # points farther than this outside the outermost pixel centres are dropped


class Corners(NamedTuple):
    """Convex vertical edges: place, azimuth that points straight into the building, half opening of the building."""

    points: Float[np.ndarray, "corners 2"]
    into_building: Float[np.ndarray, " corners"]
    half_opening: Float[np.ndarray, " corners"]


def corners_of(rings: Sequence[Ring], height: int, width: int) -> Corners:
    """Convex corners that turn by 5 degrees or more, pushed a little outward, of those within the picture."""
    points, into_building, half_opening = [np.zeros((0, 2))], [np.zeros(0)], [np.zeros(0)]
    for ring in rings:
        along = _unit(np.roll(ring, -1, axis=0) - ring)
        before = np.roll(along, 1, axis=0)
        outward = before - along
        turn = 2 * np.arcsin(np.minimum(1.0, np.hypot(*outward.T) / 2))
        convex = before[:, 0] * along[:, 1] - before[:, 1] * along[:, 0] < 0
        outward = _unit(outward)
        pushed = ring + CORNER_PUSH * outward
        keep = convex & (turn >= SMALLEST_TURN) & _within(pushed, height, width)
        points.append(pushed[keep])
        into_building.append(np.arctan2(-outward[keep, 0], -outward[keep, 1]))
        half_opening.append((np.pi - turn[keep]) / 2)
    return Corners(np.ascontiguousarray(np.vstack(points)), np.concatenate(into_building), np.concatenate(half_opening))


def roof_points_of(walls: Float[np.ndarray, "walls 4"], height: int, width: int) -> Float[np.ndarray, "points 2"]:
    """Middles of equal pieces of about 10 m of every wall, pushed a little outward, of those within the picture."""
    points = [np.zeros((0, 2))]
    for wall in walls:
        start, side = wall[:2], wall[2:] - wall[:2]
        length = np.hypot(*side)
        if length < SHORTEST_ROOF_EDGE:
            continue
        pieces = max(1, round(length / ROOF_SPACING))
        outward = np.array([-side[1], side[0]]) / length
        points.append(start + (np.arange(pieces) + 0.5)[:, None] / pieces * side + ROOF_PUSH * outward)
    stacked = np.vstack(points)
    return np.ascontiguousarray(stacked[_within(stacked, height, width)])


def move_outside(
    point: Float[np.ndarray, " 2"], rings: Sequence[Ring], walls: Float[np.ndarray, "walls 4"], clearance: float
) -> Float[np.ndarray, " 2"]:
    """The point itself, or, if it lies in a building or nearer than `clearance` to a wall, a place just outside."""
    if len(walls) == 0:
        return point
    start, side = walls[:, :2], walls[:, 2:] - walls[:, :2]
    squared = np.maximum(np.sum(side**2, axis=1), 1e-12)
    feet = start + np.clip(np.sum((point - start) * side, axis=1) / squared, 0.0, 1.0)[:, None] * side
    distances = np.hypot(*(point - feet).T)
    nearest = int(np.argmin(distances))
    indoors = bool(enclosed(point[None], walls)[0])
    if not indoors and distances[nearest] >= clearance:
        return point
    if distances[nearest] < 1e-6:  # on the wall itself: only the wall says where outside is
        outward = np.array([-side[nearest, 1], side[nearest, 0]]) / np.sqrt(squared[nearest])
    else:
        outward = (point - feet[nearest]) / distances[nearest] * (-1 if indoors else 1)
    return feet[nearest] + clearance * outward


def receivers_of(buildings: np.ndarray, outdoors: np.ndarray, rings: list[Ring], walls: np.ndarray) -> np.ndarray:
    """Where the rays of outdoor pixels end: at their centres, or just outside where a traced wall encloses these."""
    height, width = buildings.shape
    receivers = np.stack(np.divmod(outdoors, width), axis=1).astype(np.float64)
    for index in np.flatnonzero(rasterise(rings, height, width).ravel()[outdoors]):
        receivers[index] = move_outside(receivers[index], rings, walls, VISIBILITY.wall_clearance)
    return receivers


def _unit(vectors: Float[np.ndarray, "vectors 2"]) -> Float[np.ndarray, "vectors 2"]:
    return vectors / np.maximum(np.hypot(*vectors.T), 1e-9)[:, None]


def _within(points: Float[np.ndarray, "points 2"], height: int, width: int) -> np.ndarray:
    row, column = points.T
    return (row > -BORDER) & (row < height - 1 + BORDER) & (column > -BORDER) & (column < width - 1 + BORDER)
