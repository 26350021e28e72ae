"""Radio maps of the same scene in two folders, such as a real one and its simulation."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from radiodiff_jax.data.compare import FIGURES, compare_map
from radiodiff_jax.data.layout import Pair, RadioMapFolder
from radiodiff_jax.errors import UserError

MOST = 200  # radio maps that are compared: each takes some 0.1 s


def shared_pairs(truth: RadioMapFolder, other: RadioMapFolder, most: int = MOST) -> tuple[list[Pair], int]:
    """(radio maps with equal buildings and transmitter in both folders, number of equal names).

    Of the equal names at most `most` are looked at, evenly spread. Images that cannot be read share nothing.
    """
    common = sorted(set(truth.pairs) & set(other.pairs))
    if not common or truth.size != other.size:
        return [], len(common)
    places = np.linspace(0, len(common) - 1, min(most, len(common))).round().astype(int)
    chosen = [common[place] for place in places]
    with ThreadPoolExecutor() as pool:
        same = list(pool.map(lambda pair: _same_scene(truth, other, pair), chosen))
    return [pair for pair, equal in zip(chosen, same, strict=True) if equal], len(common)


def compare_shared(truth: RadioMapFolder, other: RadioMapFolder, most: int = MOST) -> dict[str, Any] | None:
    """Figures of the radio maps of shared scenes, as JSON; None if there are none.

    {"equal_names", "maps": [{"map", "transmitter", figure: value}] from the smallest raw RMSE to the largest,
    "mean": {figure: value}}; the figures are those of `compare_map`.
    """
    pairs, names = shared_pairs(truth, other, most)
    if not pairs:
        return None
    with ThreadPoolExecutor() as pool:
        rows = sorted(pool.map(lambda pair: compare_map(truth, other, pair), pairs), key=lambda row: row["rmse"])
    known = {name: [row[name] for row in rows if row[name] is not None] for name in FIGURES}
    mean = {name: float(np.mean(values)) if values else None for name, values in known.items()}
    return {"equal_names": names, "maps": rows, "mean": mean}


def _same_scene(truth: RadioMapFolder, other: RadioMapFolder, pair: Pair) -> bool:
    try:
        if truth.transmitter(*pair) != other.transmitter(*pair):
            return False
        truth.gain(*pair), other.gain(*pair)
        return bool(np.array_equal(truth.buildings(pair[0]), other.buildings(pair[0])))
    except UserError:
        return False
