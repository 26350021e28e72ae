"""Where transmitters may stand."""

import numpy as np
from jaxtyping import Bool, Int
from scipy.ndimage import distance_transform_edt

from radiodiff_jax.errors import UserError

CENTRAL_SHARE = 150 / 256  # of height and width; RadioMapSeer's transmitters stand in the central part of a map
CLEARANCE = 3.0  # pixels from the nearest building pixel


def place_transmitters(
    buildings: Bool[np.ndarray, "height width"], count: int, seed: int
) -> Int[np.ndarray, "count 2"]:
    """Distinct outdoor pixels (row, column), drawn evenly from the central part of the map.

    They keep 3 pixels from buildings. Where this leaves fewer than `count` places, the whole map is used, and if need
    be every outdoor pixel. Raises UserError where there are not even `count` of these.
    """
    height, width = buildings.shape
    central = np.ix_(*(np.abs((np.arange(side) + 0.5) / side - 0.5) <= CENTRAL_SHARE / 2 for side in (height, width)))
    clear = distance_transform_edt(~buildings) >= CLEARANCE if buildings.any() else ~buildings
    clear_central = np.zeros_like(clear)
    clear_central[central] = clear[central]
    for places in (clear_central, clear, ~buildings):
        if np.count_nonzero(places) >= count:
            chosen = np.random.default_rng(seed).choice(np.flatnonzero(places), count, replace=False)
            return np.stack(np.divmod(chosen, width), axis=1)
    raise UserError(
        f"A map of {height} x {width} pixels has only {np.count_nonzero(~buildings)} pixels outside buildings, too few "
        f"for {count} transmitters; ask for fewer transmitters or larger maps."
    )
