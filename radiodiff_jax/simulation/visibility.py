"""What a point sees: polar depth maps (distance to the nearest wall for every azimuth) and tests against them."""

from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, Int64

FAR = 1e9


class Views(NamedTuple):
    """For each of several points the pixels that it sees: those of point i are at [start[i], start[i + 1])."""

    start: Int64[np.ndarray, " points_and_one"]
    pixel: Int32[np.ndarray, " entries"]  # row * width + column
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
def visible_points(row, column, depth, points, tolerance):
    """Which of the points [n, 2] are not hidden by more than `tolerance`."""
    bins = depth.shape[0]
    visible = np.zeros(points.shape[0], np.bool_)
    for k in range(points.shape[0]):
        rows = points[k, 0] - row
        columns = points[k, 1] - column
        azimuth_bin = int(np.floor(np.arctan2(rows, columns) / (2 * np.pi) * bins)) % bins
        visible[k] = np.sqrt(rows * rows + columns * columns) <= depth[azimuth_bin] + tolerance
    return visible


@numba.njit(cache=True)
def visible_pixels(row, column, depth, buildings, tolerance):
    """Outdoor pixels not hidden by more than `tolerance`: their indices, distances and azimuths."""
    height, width = buildings.shape
    bins = depth.shape[0]
    scale = bins / (2 * np.pi)
    reach = depth.max() + tolerance
    pixel = np.empty(height * width, np.int32)
    distance = np.empty(height * width, np.float32)
    azimuth = np.empty(height * width, np.float32)
    count = 0
    for i in range(height):
        rows = i - row
        for j in range(width):
            if buildings[i, j]:
                continue
            columns = j - column
            far = np.sqrt(rows * rows + columns * columns)
            if far > reach:
                continue
            angle = np.arctan2(rows, columns)
            if far <= depth[int(np.floor(angle * scale)) % bins] + tolerance:
                pixel[count] = i * width + j
                distance[count] = far
                azimuth[count] = angle
                count += 1
    return pixel[:count].copy(), distance[:count].copy(), azimuth[:count].copy()


def pixel_views(
    points: Float[np.ndarray, "points 2"],
    depths: Float[np.ndarray, "points bins"],
    buildings: Bool[np.ndarray, "height width"],
    tolerance: float,
) -> Views:
    """The pixels that each point sees, ready to be walked through transmitter after transmitter."""
    seen = [visible_pixels(*point, depth, buildings, tolerance) for point, depth in zip(points, depths, strict=True)]
    start = np.cumsum([0] + [len(pixel) for pixel, _, _ in seen], dtype=np.int64)
    kinds = (np.int32, np.float32, np.float32)
    columns = [np.concatenate([np.zeros(0, kind)] + [view[k] for view in seen]) for k, kind in enumerate(kinds)]
    return Views(start, *columns)
