"""Between masks and polygons: rasterise rings exactly, trace rings from a mask to sub-pixel accuracy.

A polygon set is a list of rings, float arrays [corners, 2] of (row, column) in pixel-centre coordinates, not repeating
the first corner. What lies inside an odd number of rings is building, so a courtyard is a ring of its own. Oriented
rings have the building on the right hand of somebody who walks along them: outer rings run clockwise on the screen,
courtyards anticlockwise.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from skimage.measure import approximate_polygon, find_contours

Ring = Float[np.ndarray, "corners 2"]

SIMPLIFY_TOLERANCE = 1.3  # pixels, Douglas-Peucker
LARGEST_REFIT_MOVE = 1.6  # pixels
SMALLEST_REFIT_SINE = 0.25  # sides that meet at less than about 14 degrees have no reliable intersection


def signed_area(ring: Ring) -> float:
    """Area in square pixels, positive for a ring that runs clockwise on the screen."""
    row, column = ring[:, 0], ring[:, 1]
    return 0.5 * float(np.sum(column * np.roll(row, -1) - np.roll(column, -1) * row))


def sides_of(rings: Sequence[Ring]) -> Float[np.ndarray, "sides 4"]:
    """Every side of every ring as (row, column, end row, end column)."""
    sides = [np.hstack([ring, np.roll(ring, -1, axis=0)]) for ring in rings]
    return np.ascontiguousarray(np.vstack(sides), np.float64) if sides else np.zeros((0, 4))


def inside(points: Float[np.ndarray, "points 2"], rings: Sequence[Ring]) -> Bool[np.ndarray, " points"]:
    """Which points lie inside an odd number of rings."""
    return enclosed(points, sides_of(rings))


def enclosed(points: Float[np.ndarray, "points 2"], sides: Float[np.ndarray, "sides 4"]) -> Bool[np.ndarray, " points"]:
    """Which points lie inside an odd number of the rings that have these sides."""
    row, column = points[:, :1], points[:, 1:]
    start_row, start_column, end_row, end_column = sides.T
    spans = (start_row <= row) != (end_row <= row)
    rise = np.where(end_row == start_row, 1.0, end_row - start_row)
    crossing = start_column + (row - start_row) / rise * (end_column - start_column)
    return np.sum(spans & (crossing <= column), axis=1) % 2 == 1


def rasterise(rings: Sequence[Ring], height: int, width: int) -> Bool[np.ndarray, "height width"]:
    """Mask of the pixels whose centres lie inside an odd number of rings; rings may leave the picture."""
    crossings = np.zeros((height, width + 1), np.int64)
    for ring in rings:
        for (row, column), (end_row, end_column) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            low, high = min(row, end_row), max(row, end_row)
            rows = np.arange(max(0, int(np.ceil(low))), min(height, int(np.ceil(high))))
            if len(rows):
                crossing = column + (rows - row) / (end_row - row) * (end_column - column)
                np.add.at(crossings, (rows, np.clip(np.ceil(crossing), 0, width).astype(int)), 1)
    return np.cumsum(crossings, axis=1)[:, :width] % 2 == 1


def orient(rings: Sequence[Ring]) -> list[Ring]:
    """The same rings, each running so that the building is on the right hand (rings must not cross)."""
    if not rings:
        return []
    corners = np.array([ring[0] for ring in rings])
    around = np.array([inside(corners, [ring]) for ring in rings])  # [ring, corner]
    np.fill_diagonal(around, False)
    courtyards = np.sum(around, axis=0) % 2 == 1
    return [
        ring[::-1].copy() if (signed_area(ring) < 0) != courtyard else ring
        for ring, courtyard in zip(rings, courtyards, strict=True)
    ]


def trace(buildings: Bool[np.ndarray, "height width"]) -> list[Ring]:
    """Oriented rings of a mask: its outline simplified, every side refitted by total least squares.

    Where straight walls were rasterised, the refit recovers them to a fraction of a pixel.
    """
    padding = 2
    rings = []
    outlined = np.pad(np.asarray(buildings) != 0, padding)
    for contour in find_contours(outlined.astype(float), 0.5):
        outline = contour[:-1] - padding
        if len(outline) < 4:
            continue
        # The point farthest from the centroid is a true corner: a safe place to start the simplification.
        farthest = np.argmax(np.sum((outline - outline.mean(axis=0)) ** 2, axis=1))
        outline = np.roll(outline, -farthest, axis=0)
        ring = approximate_polygon(np.vstack([outline, outline[:1]]), SIMPLIFY_TOLERANCE)[:-1]
        if len(ring) >= 3:
            rings.append(_refit(ring, outline))
    return rings


def _refit(ring: Ring, outline: Ring) -> Ring:
    """Replace corners by the intersections of lines fitted to the outline between them, where that is well posed."""
    corner_at = [int(np.argmin(np.sum((outline - corner) ** 2, axis=1))) for corner in ring]
    lines = []
    for start, end in zip(corner_at, np.roll(corner_at, -1), strict=True):
        steps = (end - start) % len(outline) or len(outline)
        side = outline[np.arange(start, start + steps + 1) % len(outline)]
        lines.append(_fit_line(side[1:-1] if len(side) >= 6 else side))
    refitted = ring.copy()
    for index, corner in enumerate(ring):
        (before, along_before, points_before), (after, along_after, points_after) = lines[index - 1], lines[index]
        sine = along_before[0] * along_after[1] - along_before[1] * along_after[0]
        if abs(sine) <= SMALLEST_REFIT_SINE or min(points_before, points_after) < 3:
            continue
        gap = after - before
        candidate = before + along_before * (gap[0] * along_after[1] - gap[1] * along_after[0]) / sine
        if np.hypot(*(candidate - corner)) < LARGEST_REFIT_MOVE:
            refitted[index] = candidate
    return refitted


def _fit_line(points: Ring) -> tuple[np.ndarray, np.ndarray, int]:
    """Total least squares: a point of the line, its direction, the number of points."""
    centre = points.mean(axis=0)
    return centre, np.linalg.svd(points - centre)[2][0], len(points)
