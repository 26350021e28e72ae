"""Power that one building corner bends into the shadow, in numba: the uniform theory of diffraction for lossy wedges.

Kouyoumjian and Pathak, Proc. IEEE 62, 1448 (1974), with the reflection coefficients of Luebbers, IEEE Trans. Antennas
Propag. 32, 70 (1984). Vertical edges, rays and the electric field as `wall_reflections` has them: the field lies along the
edge. Powers of several corners are added without phases.
"""

from functools import cache

import numba
import numpy as np
from jaxtyping import Complex, Float
from scipy.special import fresnel

from radiodiff_jax.propagation import AT_ONE_METRE_DB
from radiodiff_jax.simulation.dominant_path.constants import VISIBILITY
from radiodiff_jax.simulation.dominant_path.field_numba import PreparedMap
from radiodiff_jax.simulation.dominant_path.visibility_numba import depth_map, look, visible
from radiodiff_jax.simulation.dominant_path.walls import move_outside
from radiodiff_jax.simulation.wall_reflections import FREQUENCY, LIGHT_SPEED, wall_coefficients

WAVE_NUMBER = 2 * np.pi * FREQUENCY / LIGHT_SPEED  # 1 / m
TABLED = 12.0  # argument beyond which the transition function is 1 to a few per cent
ENTRIES = 4096


def diffracted_gain(prepared: PreparedMap, row: int, column: int) -> Float[np.ndarray, "height width"]:
    """Linear path gain of paths of one bend around a corner, where there is no line of sight; 0 elsewhere."""
    height, width = prepared.buildings.shape
    place = move_outside(np.array([row, column], np.float64), prepared.rings, prepared.walls, VISIBILITY.wall_clearance)
    depth = depth_map(*place, prepared.walls, VISIBILITY.bins, VISIBILITY.nearest_hit)
    seen = visible(place, depth, prepared.corners.points, VISIBILITY.transmitter_to_point)
    dark = np.ones(len(prepared.receivers), bool)
    dark[look(*place, depth, prepared.receivers, VISIBILITY.transmitter_to_pixel)[0]] = False
    gain = np.zeros(len(prepared.receivers))
    _add_corners(gain, *place, seen, dark, *prepared.corners, *prepared.corner_views, wall_coefficients(), transition_table(),
                 10 ** (AT_ONE_METRE_DB / 10))  # fmt: skip
    picture = np.zeros(height * width)
    picture[prepared.outdoors] = gain
    return picture.reshape(height, width)


@cache
def transition_table() -> Complex[np.ndarray, " entries"]:
    """F(x) = 2j sqrt(x) exp(jx) times the integral of exp(-j u^2) from sqrt(x) to infinity, for sqrt(x) in equal steps."""
    root = np.linspace(0, np.sqrt(TABLED), ENTRIES)
    sine, cosine = fresnel(root * np.sqrt(2 / np.pi))
    rest = np.sqrt(np.pi / 2) * ((0.5 - cosine) - 1j * (0.5 - sine))
    return 2j * root * np.exp(1j * root**2) * rest


@numba.njit(cache=True)
def transition(x, table):
    """F(x), linear between the entries of the table."""
    if x >= TABLED:
        return 1.0 + 0.5j / x
    place = np.sqrt(x / TABLED) * (ENTRIES - 1)
    lower = min(int(place), ENTRIES - 2)
    return table[lower] + (place - lower) * (table[lower + 1] - table[lower])


@numba.njit(cache=True)
def _term(sign, beta, n, distance, table):
    """cot((pi + sign beta) / 2n) F(k L a(beta)); finite at the boundaries of shadow and reflection."""
    if abs(np.sin((np.pi + sign * beta) / (2 * n))) < 1e-6:  # the product has a limit there, which its factors have not
        beta += 4e-6 * n
    whole = np.round((beta + sign * np.pi) / (2 * np.pi * n))
    a = 2 * np.cos((2 * np.pi * n * whole - beta) / 2) ** 2
    angle = (np.pi + sign * beta) / (2 * n)
    return np.cos(angle) / np.sin(angle) * transition(WAVE_NUMBER * distance * a, table)


@numba.njit(cache=True)
def wedge_coefficient(incident, diffracted, n, distance, reflection, table):
    """Diffraction coefficient in sqrt(m) for angles from the first face, radians; the wedge's outside is n pi wide.

    `distance` is s s' / (s + s') in metres.
    """
    last = reflection.shape[0] - 1
    first_face = reflection[int(abs(np.sin(incident)) * last + 0.5)]
    second_face = reflection[int(abs(np.sin(n * np.pi - diffracted)) * last + 0.5)]
    difference, total = diffracted - incident, diffracted + incident
    terms = (
        _term(1, difference, n, distance, table)
        + _term(-1, difference, n, distance, table)
        + first_face * _term(-1, total, n, distance, table)
        + second_face * _term(1, total, n, distance, table)
    )
    return -np.exp(-0.25j * np.pi) / (2 * n * np.sqrt(2 * np.pi * WAVE_NUMBER)) * terms


@numba.njit(cache=True, nogil=True)
def _add_corners(
    gain, row, column, seen, dark, points, into_building, half_opening, start, receiver, distance, azimuth, reflection, table,
    at_one_metre,
):  # fmt: skip
    for corner in np.flatnonzero(seen):
        from_row, from_column = row - points[corner, 0], column - points[corner, 1]
        before = np.sqrt(from_row * from_row + from_column * from_column)
        if before < 0.3:
            continue
        face = into_building[corner] + half_opening[corner]
        n = 2 - 2 * half_opening[corner] / np.pi
        incident = (np.arctan2(from_row, from_column) - face) % (2 * np.pi)
        incident = min(incident, n * np.pi)
        for entry in range(start[corner], start[corner + 1]):
            k = receiver[entry]
            if not dark[k]:
                continue
            after = max(distance[entry], 0.5)
            diffracted = min((azimuth[entry] - face) % (2 * np.pi), n * np.pi)
            coefficient = wedge_coefficient(incident, diffracted, n, before * after / (before + after), reflection, table)
            gain[k] += at_one_metre * abs(coefficient) ** 2 / (before * after * (before + after))
