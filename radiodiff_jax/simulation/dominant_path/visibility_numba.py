"""What a point sees: polar depth maps (distance to the nearest wall for every azimuth) and tests against them."""

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, Int64

from radiodiff_jax.simulation.dominant_path.constants import FAR


class Views(NamedTuple):
    """For each of several points the receivers that it sees: those of point i are at [start[i], start[i + 1])."""

    start: Int64[np.ndarray, " points_and_one"]
    receiver: Int32[np.ndarray, " entries"]
    distance: Float32[np.ndarray, " entries"]
    azimuth: Float32[np.ndarray, " entries"]


@numba.njit(cache=True)
def depth_map(row, column, walls, bins, nearest_hit):
    """Distance to the nearest wall along the middle of each of `bins` azimuths; hits nearer than given are ignored."""
    depth = np.full(bins, FAR)
    step = 2 * np.pi / bins
    for k in range(walls.shape[0]):
        start_row = walls[k, 0] - row
        start_column = walls[k, 1] - column
        side_row = walls[k, 2] - walls[k, 0]
        side_column = walls[k, 3] - walls[k, 1]
        first = np.arctan2(start_row, start_column)
        extent = np.arctan2(start_row + side_row, start_column + side_column) - first
        if extent > np.pi:
            extent -= 2 * np.pi
        elif extent < -np.pi:
            extent += 2 * np.pi
        if extent < 0:
            first += extent
            extent = -extent
        offset = start_column * side_row - start_row * side_column
        begin = int(np.ceil(first / step - 0.5))
        end = int(np.floor((first + extent) / step - 0.5))
        for i in range(begin, end + 1):
            azimuth = (i + 0.5) * step
            across = np.cos(azimuth) * side_row - np.sin(azimuth) * side_column
            if abs(across) < 1e-12:
                continue
            distance = offset / across
            if nearest_hit < distance < depth[i % bins]:
                depth[i % bins] = distance
    return depth


@numba.njit(cache=True)
def look(row, column, depth, points, tolerance):
    """Indices of the points [n, 2] not hidden by more than `tolerance`, their distances and azimuths."""
    bins = depth.shape[0]
    scale = bins / (2 * np.pi)
    index = np.empty(points.shape[0], np.int32)
    distance = np.empty(points.shape[0], np.float32)
    azimuth = np.empty(points.shape[0], np.float32)
    count = 0
    for k in range(points.shape[0]):
        rows = points[k, 0] - row
        columns = points[k, 1] - column
        far = np.sqrt(rows * rows + columns * columns)
        angle = np.arctan2(rows, columns)
        if far <= depth[int(np.floor(angle * scale)) % bins] + tolerance:
            index[count] = k
            distance[count] = far
            azimuth[count] = angle
            count += 1
    return index[:count].copy(), distance[:count].copy(), azimuth[:count].copy()


def visible(
    point: Float[np.ndarray, " 2"],
    depth: Float[np.ndarray, " bins"],
    points: Float[np.ndarray, "points 2"],
    tolerance: float,
) -> Bool[np.ndarray, " points"]:
    """Which of the points are not hidden by more than `tolerance`."""
    result = np.zeros(len(points), bool)
    result[look(*point, depth, points, tolerance)[0]] = True
    return result


def views_of(
    points: Float[np.ndarray, "points 2"],
    depths: Sequence[Float[np.ndarray, " bins"]],
    receivers: Float[np.ndarray, "receivers 2"],
    tolerance: float,
) -> Views:
    """The receivers that each point sees, ready to be walked through transmitter after transmitter."""
    seen = [look(*point, depth, receivers, tolerance) for point, depth in zip(points, depths, strict=True)]
    start = np.cumsum([0] + [len(index) for index, _, _ in seen], dtype=np.int64)
    kinds = (np.int32, np.float32, np.float32)
    columns = [np.concatenate([np.zeros(0, kind)] + [view[k] for view in seen]) for k, kind in enumerate(kinds)]
    return Views(start, *columns)
