"""Power by line of sight and by reflections on walls, in numba: rays in the plane of the antennas, all walls vertical.

Transmitter and receivers are at one height, so the rays of the dominant paths stay in one plane, and what `raytrace`
traces in three dimensions with millions of rays is here a few thousand rays in two. Left out are bends around edges. Each
path counts twice, by itself and reflected by the ground between its ends. Powers are added without phases.
"""

from functools import cache

import numba
import numpy as np
from jaxtyping import Complex, Float

from radiodiff_jax.propagation import AT_ONE_METRE_DB
from radiodiff_jax.simulation.dominant_path.constants import VISIBILITY
from radiodiff_jax.simulation.dominant_path.field_numba import PreparedMap
from radiodiff_jax.simulation.dominant_path.walls import move_outside

RAYS = 8192
"""Equal angles; at 300 m four of them pass a pixel."""
MOST_REFLECTIONS = 8
ANTENNA_HEIGHT = 1.5  # metres above the ground
FREQUENCY = 5.9e9  # hertz
LIGHT_SPEED = 299_792_458.0
SLAB = 0.1
"""Metres: walls and ground are slabs of this thickness, as the materials of the ray tracer's cities."""
WALLS = (7.074, 0.0, 0.0055, 0.9262)
"""Marble, ITU-R P.2040-3, table 3: permittivity a f^b and conductivity c f^d (S/m), f in GHz."""
GROUND = (5.24, 0.0, 0.0462, 0.7822)
"""Concrete, the same table."""
ANGLES = 2048  # of the tables of reflection


def reflected_gain(prepared: PreparedMap, row: int, column: int) -> Float[np.ndarray, "height width"]:
    """Linear path gain by line of sight and up to 8 reflections on walls; 0 in buildings and where no ray arrives.

    A transmitter in a building, or touching one, radiates from just outside the nearest wall.
    """
    height, width = prepared.buildings.shape
    place = move_outside(np.array([row, column], np.float64), prepared.rings, prepared.walls, VISIBILITY.wall_clearance)
    start, of_cell = walls_of_cells(prepared.walls, height, width)
    gain = np.zeros((height, width))
    _launch(gain, *place, prepared.walls, start, of_cell, _wall_table(), _ground_table(), 10 ** (AT_ONE_METRE_DB / 10))
    return np.where(prepared.buildings, 0.0, gain)


def slab_reflection(
    cosine: Float[np.ndarray, " angles"], material: tuple[float, float, float, float], parallel: bool
) -> Complex[np.ndarray, " angles"]:
    """Reflection coefficient of a slab for the cosine of the angle of incidence (ITU-R P.2040-3, eq. 37 to 42).

    `parallel`: the electric field lies in the plane of incidence, as it does on the ground; on walls it is across.
    """
    a, b, c, d = material
    gigahertz = FREQUENCY / 1e9
    permittivity = a * gigahertz**b - 1j * 17.98 * c * gigahertz**d / gigahertz
    root = np.sqrt(permittivity - (1 - cosine**2))
    if parallel:
        single = (permittivity * cosine - root) / (permittivity * cosine + root)
    else:
        single = (cosine - root) / (cosine + root)
    twice = np.exp(-2j * (2 * np.pi * FREQUENCY / LIGHT_SPEED * SLAB) * root)
    return single * (1 - twice) / (1 - single**2 * twice)


@cache
def wall_coefficients() -> Complex[np.ndarray, " angles"]:
    """Reflection coefficient of a wall, by the cosine of the angle of incidence in equal steps from 0 to 1."""
    return slab_reflection(np.linspace(0, 1, ANGLES), WALLS, parallel=False)


@cache
def _wall_table() -> Float[np.ndarray, " angles"]:
    """Share of the power that a wall reflects."""
    return np.abs(wall_coefficients()) ** 2


@cache
def _ground_table() -> Float[np.ndarray, " angles"]:
    """The same of the ground."""
    return np.abs(slab_reflection(np.linspace(0, 1, ANGLES), GROUND, parallel=True)) ** 2


def walls_of_cells(walls: Float[np.ndarray, "walls 4"], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Which walls cross which pixel: those of pixel p = row * width + column are `of_cell[start[p]:start[p + 1]]`."""
    cells, owners = _crossings(np.ascontiguousarray(walls), height, width)
    order = np.argsort(cells, kind="stable")
    start = np.searchsorted(cells[order], np.arange(height * width + 1)).astype(np.int64)
    return start, owners[order]


@numba.njit(cache=True)
def _crossings(walls, height, width):
    """(pixel, wall) of every crossing; the grid is walked as rays walk it."""
    cells, owners = [0 for _ in range(0)], [0 for _ in range(0)]
    for k in range(walls.shape[0]):
        # Pixel (i, j) is the square from (i, j) to (i + 1, j + 1) once half a pixel is added.
        y, x = walls[k, 0] + 0.5, walls[k, 1] + 0.5
        dy, dx = walls[k, 2] - walls[k, 0], walls[k, 3] - walls[k, 1]
        i, j = int(np.floor(y)), int(np.floor(x))
        last_i, last_j = int(np.floor(y + dy)), int(np.floor(x + dx))
        for _ in range(abs(last_i - i) + abs(last_j - j) + 1):
            if 0 <= i < height and 0 <= j < width:
                cells.append(i * width + j)
                owners.append(k)
            if i == last_i and j == last_j:
                break
            to_row = ((i + 1 if dy > 0 else i) - y) / dy if i != last_i else np.inf
            to_column = ((j + 1 if dx > 0 else j) - x) / dx if j != last_j else np.inf
            if to_row < to_column:
                i += 1 if dy > 0 else -1
            else:
                j += 1 if dx > 0 else -1
    return np.array(cells), np.array(owners)


@numba.njit(cache=True, nogil=True)
def _launch(gain, row, column, walls, start, of_cell, wall_table, ground_table, at_one_metre):
    """Add to every pixel the power of the rays that cross it, each by its length in the pixel."""
    height, width = gain.shape
    step = 2 * np.pi / RAYS
    for ray in range(RAYS):
        azimuth = (ray + 0.5) * step
        dy, dx = np.sin(azimuth), np.cos(azimuth)
        y, x = row + 0.5, column + 0.5
        share, length, left, reflections = 1.0, 0.0, -1, 0
        i, j = int(np.floor(y)), int(np.floor(x))
        while 0 <= i < height and 0 <= j < width:
            to_row = ((i + 1 if dy > 0 else i) - y) / dy if dy != 0 else np.inf
            to_column = ((j + 1 if dx > 0 else j) - x) / dx if dx != 0 else np.inf
            leaves = max(min(to_row, to_column), 0.0)
            nearest, hit = leaves + 1e-9, -1
            cell = i * width + j
            for k in of_cell[start[cell] : start[cell + 1]]:
                if k == left:
                    continue
                side_y, side_x = walls[k, 2] - walls[k, 0], walls[k, 3] - walls[k, 1]
                across = dx * side_y - dy * side_x
                if abs(across) < 1e-12:
                    continue
                from_y, from_x = walls[k, 0] + 0.5 - y, walls[k, 1] + 0.5 - x
                far = (from_x * side_y - from_y * side_x) / across
                along = (from_x * dy - from_y * dx) / across
                if -1e-9 <= along <= 1 + 1e-9 and 0.0 <= far < nearest:
                    nearest, hit = far, k
            inside = nearest if hit >= 0 else leaves
            middle = max(length + inside / 2, 0.5)
            bounce = np.sqrt(middle * middle + 4 * ANTENNA_HEIGHT * ANTENNA_HEIGHT)
            ground = ground_table[int(2 * ANTENNA_HEIGHT / bounce * (ANGLES - 1) + 0.5)]
            gain[i, j] += at_one_metre * step * share * inside * (1 / middle + ground * middle / (bounce * bounce))
            length += inside
            if hit < 0:
                y, x = y + inside * dy, x + inside * dx
                if to_row < to_column:
                    i += 1 if dy > 0 else -1
                else:
                    j += 1 if dx > 0 else -1
                continue
            if reflections == MOST_REFLECTIONS:
                break
            reflections += 1
            y, x = y + inside * dy, x + inside * dx
            side_y, side_x = walls[hit, 2] - walls[hit, 0], walls[hit, 3] - walls[hit, 1]
            size = np.sqrt(side_y * side_y + side_x * side_x)
            normal_y, normal_x = -side_x / size, side_y / size
            facing = dy * normal_y + dx * normal_x
            share *= wall_table[int(min(abs(facing), 1.0) * (ANGLES - 1) + 0.5)]
            dy, dx = dy - 2 * facing * normal_y, dx - 2 * facing * normal_x
            left = hit
