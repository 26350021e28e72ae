"""Areas on cells of several metres, for what is far from a site: masks made coarser, maps made fine again, the path estimate.

A network that saw maps of one pixel a metre may be asked about cells of c metres, as propagation in a city has hardly any
scale of its own: angles stay, and all lengths are c times shorter, which makes the answer too strong by the law of distance,
25 log10(c) dB. Only the height of the roofs does not shrink along.
"""

from functools import partial

import jax
import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt, zoom

from radiodiff_jax.features import Scene, path_gain
from radiodiff_jax.paths import Rays
from radiodiff_jax.propagation import LINE_OF_SIGHT_SLOPE_DB
from radiodiff_jax.units import DB_PER_GAIN

Mask = Bool[np.ndarray, "height width"]
Image = Float[np.ndarray, "height width"]
Place = tuple[int, int]
"""(row, column)."""

FINE_UP_TO = 512
"""Metres: the path estimate of larger areas is computed on cells, at most `ESTIMATE_GRID` a side while these have no more
than `ESTIMATE_CELL` metres. On cells of 4 m it takes 0.1 s of a core for 1 x 1 km, pixel by pixel 3 s."""
ESTIMATE_GRID, ESTIMATE_CELL = 256, 4


def on_cells(buildings: Mask, cell: int) -> Mask:
    """A mask on cells of `cell` metres, which are building where half of them is; beyond the last pixels is open ground."""
    whole = np.pad(buildings, [(0, -side % cell) for side in buildings.shape])
    return whole.reshape(whole.shape[0] // cell, cell, whole.shape[1] // cell, cell).mean(axis=(1, 3)) >= 0.5


def cell_of(place: Place, cell: int) -> Place:
    """The cell that a pixel lies in."""
    return place[0] // cell, place[1] // cell


def to_pixels(values: Image, cell: int) -> Image:
    """Values of cells at every pixel, straight in between."""
    return values if cell == 1 else zoom(values, cell, order=1, mode="nearest", grid_mode=True)


def far_gain(answer: Image, buildings: Mask, cell: int) -> Image:
    """Gain in [0, 1] at every pixel from a network's answer to cells; in buildings, which may hold pixels outdoors, that of
    the nearest cell outdoors."""
    outdoors = distance_transform_edt(buildings, return_distances=False, return_indices=True)
    weaker = LINE_OF_SIGHT_SLOPE_DB * np.log10(cell) / DB_PER_GAIN
    return to_pixels((answer[tuple(outdoors)] - weaker).clip(0), cell)


def path_estimate(buildings: Mask, place: Place) -> Image:
    """Gain in [0, 1] by the best formula without training (see `features.path_gain`), float32; not blanked in buildings.

    Pixel by pixel up to 512 m a side, else on cells of 3 or 4 m.
    """
    longest = max(buildings.shape)
    cell = 1 if longest <= FINE_UP_TO else min(ESTIMATE_CELL, -(-longest // ESTIMATE_GRID))
    coarse, here = on_cells(buildings, cell), cell_of(place, cell)
    coarse[here] = False
    found = to_pixels(np.asarray(_estimate(cell, coarse[None], np.array([here], np.int32)))[0], cell)
    return found[: buildings.shape[0], : buildings.shape[1]]


@partial(jax.jit, static_argnums=0)
def _estimate(cell: int, buildings: jax.Array, position: jax.Array) -> jax.Array:
    scene = Scene(buildings, position)
    rays, ways = scene.rays, scene.ways
    # The scene's lengths are in cells; what follows from them is wanted of metres.
    scene.rays = Rays(rays.walls, rays.metres * cell, rays.before * cell, rays.after * cell)
    scene.ways = ways._replace(length=ways.length * cell)
    scene.squared_distance = scene.squared_distance * cell**2
    return path_gain(scene)
