"""Ground plans of single buildings: rectangles with notches, courtyards, slightly skewed quadrilaterals.

A footprint is a list of rings (see `polygons.py`) around the origin, `width` along the columns and `depth` along the
rows, in metres.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from radiodiff_jax.simulation.cities.polygons import Ring

Footprint = list[Ring]

# Signs of (row, column) at the corners of a rectangle, clockwise on the screen from the upper left.
CORNER_SIGNS = ((-1, -1), (-1, 1), (1, 1), (1, -1))


def notched_rectangle(
    width: float,
    depth: float,
    corner_notches: Sequence[tuple[float, float] | None] = (None,) * 4,
    front_notch: tuple[float, float] | None = None,
) -> Footprint:
    """A rectangle with pieces cut out: notches (width, depth) at the corners, one in the middle of the lower side.

    One corner notch makes an L, two a T or a Z, four a cross; the front notch makes a U.
    """
    corners = []
    for index, ((down, right), notch) in enumerate(zip(CORNER_SIGNS, corner_notches, strict=True)):
        row, column = down * depth / 2, right * width / 2
        if notch is None:
            corners.append((row, column))
        else:
            cut_row, cut_column = row - down * notch[1], column - right * notch[0]
            path = [(row, cut_column), (cut_row, cut_column), (cut_row, column)]
            corners += path if down * right < 0 else path[::-1]
        if index == 2 and front_notch is not None:
            half, inner = front_notch[0] / 2, depth / 2 - front_notch[1]
            corners += [(depth / 2, half), (inner, half), (inner, -half), (depth / 2, -half)]
    return [np.array(corners)]


def house(rng: np.random.Generator, width: float, depth: float) -> Footprint:
    """A small building: mostly a plain rectangle, sometimes with corners cut out, sometimes skewed."""
    shape = rng.choice(["plain", "notched", "skewed"], p=[0.62, 0.25, 0.13])
    if shape == "notched":
        return notched_rectangle(width, depth, _random_notches(rng, width, depth, rng.integers(1, 3)))
    ring = notched_rectangle(width, depth)[0]
    if shape == "skewed":
        ring = ring + rng.uniform(-0.08, 0.08, (4, 2)) * np.array([depth, width])
    return [ring]


def hall(rng: np.random.Generator, width: float, depth: float) -> Footprint:
    """A large building of many corners: corners cut out and, at times, a yard in front."""
    notches = _random_notches(rng, width, depth, rng.integers(1, 4))
    front = (width * rng.uniform(0.15, 0.4), depth * rng.uniform(0.15, 0.45)) if rng.random() < 0.35 else None
    if front is not None:
        notches = [*notches[:2], None, None]  # the lower corners stay, so that the yard keeps its wings
    return notched_rectangle(width, depth, notches, front)


def perimeter_block(rng: np.random.Generator, width: float, depth: float, thickness: float) -> Footprint:
    """Buildings along the edge of a block: closed around a courtyard, open at one side (U) or at two (L)."""
    inner_width, inner_depth = width - 2 * thickness, depth - 2 * thickness
    if min(inner_width, inner_depth) < 8:
        return house(rng, width, depth)
    shape = rng.choice(["closed", "courtyard building", "U", "L"], p=[0.3, 0.2, 0.3, 0.2])
    if shape == "U":
        return _maybe_mirrored(rng, notched_rectangle(width, depth, front_notch=(inner_width, depth - thickness)))
    if shape == "L":
        notch = (width - thickness, depth - thickness)
        corner = rng.integers(4)
        return notched_rectangle(width, depth, [notch if index == corner else None for index in range(4)])
    rings = notched_rectangle(width, depth) + notched_rectangle(inner_width, inner_depth)
    if shape == "courtyard building" and min(inner_width, inner_depth) > 20:
        share = rng.uniform(0.3, 0.55, 2)
        rings += notched_rectangle(inner_width * share[0], inner_depth * share[1])
    return rings


def placed(footprint: Footprint, row: float, column: float, angle: float) -> Footprint:
    """The footprint turned by `angle` radians (from columns towards rows) and moved to (row, column)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return [ring @ turn + np.array([row, column]) for ring in footprint]


def _random_notches(
    rng: np.random.Generator, width: float, depth: float, number: int
) -> list[tuple[float, float] | None]:
    notches: list[tuple[float, float] | None] = [None] * 4
    for corner in rng.permutation(4)[:number]:
        share: Float[np.ndarray, " 2"] = rng.uniform(0.2, 0.45, 2)
        notches[corner] = (width * share[0], depth * share[1])
    return notches


def _maybe_mirrored(rng: np.random.Generator, footprint: Footprint) -> Footprint:
    """The footprint or its mirror image, upper side down."""
    return [ring * np.array([rng.choice([-1, 1]), 1]) for ring in footprint]
