"""Where sites could stand, and what each would give at a sample of the outdoor pixels."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.ndimage import distance_transform_edt

from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.coverage.area import Area
from radiodiff_jax.inference.coverage.gains import GainSource
from radiodiff_jax.inference.coverage.plan import Radio
from radiodiff_jax.inference.coverage.powers import received_power_dbm
from radiodiff_jax.inference.coverage.sites import POWER_DBM, Site

CLEARANCE = 3.0
"""Metres from a candidate of a grid to the nearest building."""
SAMPLE = 65_536
"""Outdoor pixels at which choices are judged, at most; a regular sample of all."""


def grid_candidates(area: Area, count: int, power_dbm: float = POWER_DBM) -> list[Site]:
    """About `count` places outdoors, at the nearest pixel with 3 m to buildings of each point of a square grid.

    Points whose nearest such pixel lies in another cell of the grid are left out.
    """
    height, width = area.size
    spacing = max(1.0, np.sqrt(height * width / count))
    clear = distance_transform_edt(np.pad(area.outdoors, 1, constant_values=True))[1:-1, 1:-1] >= CLEARANCE
    if not clear.any():
        return []
    nearest = distance_transform_edt(~clear, return_distances=False, return_indices=True)
    found = {}
    for row in np.arange(spacing / 2, height, spacing):
        for column in np.arange(spacing / 2, width, spacing):
            place = tuple(int(axis[int(row), int(column)]) for axis in nearest)
            if max(abs(place[0] - row), abs(place[1] - column)) <= spacing / 2:
                found[place] = None
    return [Site(f"grid-{number}", *place, power_dbm) for number, place in enumerate(found)]


def check_candidates(candidates: Sequence[Site], fixed: Sequence[Site], count: int, given: Path | str) -> None:
    """Raise UserError for fewer candidates than are to be chosen, and for names that sites already have."""
    if len(candidates) < count:
        raise UserError(f"--candidates {given} has {len(candidates)} places, but --place asks for {count}; offer more")
    both = sorted({site.name for site in candidates} & {site.name for site in fixed})
    if both:
        raise UserError(f"--candidates {given} and --sites both name '{both[0]}'; give each a name of its own")


def sampled_powers(
    area: Area, sites: Sequence[Site], source: GainSource, radio: Radio, progress: Callable = iter
) -> Float[np.ndarray, "sites pixels"]:
    """Power in dBm that each site gives at a regular sample of the outdoor pixels (every second row and column, say)."""
    places = [(site.row, site.column) for site in sites]
    source.check(area.buildings, places)
    stride = int(np.ceil(np.sqrt(max(1.0, area.outdoors.sum() / SAMPLE))))
    outdoors = area.outdoors[::stride, ::stride]
    found = progress(source(area.buildings, places))
    maps = (received_power_dbm(one.gain, site, radio.shift_db) for site, one in zip(sites, found, strict=True))
    return np.stack([power[::stride, ::stride][outdoors] for power in maps])
