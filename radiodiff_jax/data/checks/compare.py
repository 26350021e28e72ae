"""One folder's radio maps against another's, map by map; and those of scenes that both folders have."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from tqdm import tqdm

from radiodiff_jax.errors import UserError
from radiodiff_jax.metrics import protocol_figures
from radiodiff_jax.radiomapseer import Pair, RadioMapFolder
from radiodiff_jax.units import grey_to_gain

FIGURES = ("rmse", "nmse", "ssim", "psnr_db", "within_1", "within_2", "within_5")
"""Raw protocol, all pixels; `within_N` is the share of pixels that differ by at most N grey levels."""
MOST_SHARED = 200  # radio maps of shared scenes that are compared: each takes some 0.1 s


def compare_folders(
    truth: str | Path, other: str | Path, simulation: str = "DPM", other_simulation: str | None = None
) -> dict[str, object]:
    """Figures of the radio maps that both folders have.

    `other_simulation` is that of `other` where it is not the same.

    Returns {"maps": [{"map", "transmitter", **FIGURES}], "mean": {...}, "median": {...}, "only_in_truth": number,
    "only_in_other": number}. Building masks are not compared. Raises UserError if there is no common map.
    """
    folders = RadioMapFolder(truth, simulation), RadioMapFolder(other, other_simulation or simulation)
    pairs = [set(folder.pairs) for folder in folders]
    common = sorted(pairs[0] & pairs[1])
    if not common:
        raise UserError(f"{folders[0].gain_folder} and {folders[1].gain_folder} have no radio map of the same name")
    if folders[0].size != folders[1].size:
        sizes = " and ".join(f"{height} x {width}" for height, width in (folder.size for folder in folders))
        raise UserError(f"the radio maps of {truth} and {other} are {sizes} pixels; only equal sizes can be compared")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = pool.map(lambda pair: compare_map(*folders, pair), common)
        rows = list(tqdm(rows, total=len(common), desc="comparing", unit="map"))
    return {
        "maps": rows,
        "mean": _over_maps(rows, np.mean),
        "median": _over_maps(rows, np.median),
        "only_in_truth": len(pairs[0] - pairs[1]),
        "only_in_other": len(pairs[1] - pairs[0]),
    }


def compare_map(truth: RadioMapFolder, other: RadioMapFolder, pair: Pair) -> dict[str, float | int | None]:
    """Figures of one radio map."""
    grey = [folder.gain(*pair) for folder in (truth, other)]
    gain = [grey_to_gain(image).astype(np.float64) for image in grey]
    outdoor = ~truth.buildings(pair[0])
    figures = protocol_figures(gain[0], gain[1], outdoor, "raw")["all"]
    difference = np.abs(grey[0].astype(int) - grey[1].astype(int))
    within = {f"within_{levels}": float((difference <= levels).mean()) for levels in (1, 2, 5)}
    chosen = {name: figures[name] for name in FIGURES if name in figures}
    return {"map": pair[0], "transmitter": pair[1]} | chosen | within


def difference_counts(truth: RadioMapFolder, other: RadioMapFolder, pairs: Sequence[Pair]) -> Int[np.ndarray, "maps 511"]:
    """Outdoor pixels of each radio map by other - truth in grey levels, from -255 to 255."""

    def count(pair: Pair) -> np.ndarray:
        difference = other.gain(*pair).astype(int) - truth.gain(*pair)
        return np.bincount(difference[~truth.buildings(pair[0])] + 255, minlength=511)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return np.stack(list(pool.map(count, pairs)))


def shared_pairs(truth: RadioMapFolder, other: RadioMapFolder, most: int = MOST_SHARED) -> tuple[list[Pair], int]:
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


def compare_shared(truth: RadioMapFolder, other: RadioMapFolder, most: int = MOST_SHARED) -> dict[str, Any] | None:
    """Figures of the radio maps of shared scenes, as JSON; None if there are none.

    {"equal_names", "maps": [{"map", "transmitter", figure: value}] from the smallest raw RMSE to the largest,
    "mean": {figure: value}}; the figures are those of `compare_map`.
    """
    pairs, names = shared_pairs(truth, other, most)
    if not pairs:
        return None
    with ThreadPoolExecutor() as pool:
        rows = sorted(pool.map(lambda pair: compare_map(truth, other, pair), pairs), key=lambda row: row["rmse"])
    return {"equal_names": names, "maps": rows, "mean": _over_maps(rows, np.mean)}


def _same_scene(truth: RadioMapFolder, other: RadioMapFolder, pair: Pair) -> bool:
    try:
        if truth.transmitter(*pair) != other.transmitter(*pair):
            return False
        truth.gain(*pair), other.gain(*pair)
        return bool(np.array_equal(truth.buildings(pair[0]), other.buildings(pair[0])))
    except UserError:
        return False


def _over_maps(rows: list[dict], reduce) -> dict[str, float | None]:
    columns = {name: [row[name] for row in rows if row[name] is not None] for name in FIGURES}
    return {name: float(reduce(values)) if values else None for name, values in columns.items()}
