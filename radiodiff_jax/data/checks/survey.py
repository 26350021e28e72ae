"""Numbers about a whole RadioMapSeer folder: how dense, how loud, how far."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool
from tqdm import tqdm

from radiodiff_jax.data.splits import chosen_rule, split_maps
from radiodiff_jax.errors import UserError
from radiodiff_jax.propagation import distance_law
from radiodiff_jax.radiomapseer import Pair, RadioMapFolder
from radiodiff_jax.units import METRES_PER_PIXEL, NOISE_FLOOR, gain_to_db, grey_to_gain

GREY_LEVELS = 256
MOST = 500  # radio maps that are read: a folder of 56,000 takes minutes, and its distributions no longer change
ENOUGH_PIXELS = 30  # with fewer, quantiles are noise: the far corners of a few maps


@dataclass(frozen=True)
class Survey:
    """Counts over the outdoor pixels of some radio maps of a folder."""

    folder: RadioMapFolder
    pairs: list[Pair]
    """The radio maps that were read."""
    faults: list[str]
    """Why others could not be read."""
    building_share: np.ndarray
    """[maps] share of built pixels of every map that was read."""
    transmitter_distance: np.ndarray
    """[radio maps] distance of the transmitter from the nearest building pixel (m); NaN without buildings."""
    grey_by_distance: np.ndarray
    """[distance, 256] number of outdoor pixels by distance from the transmitter (m, rounded down) and grey level."""
    distance_law_rmse: np.ndarray
    """[radio maps] raw RMSE of the distance law with buildings blanked, all pixels."""

    @property
    def grey_counts(self) -> np.ndarray:
        """[256] number of outdoor pixels by grey level."""
        return self.grey_by_distance.sum(axis=0)


def survey_folder(folder: RadioMapFolder, most: int = MOST) -> Survey:
    """Read at most `most` radio maps, evenly spread over the folder, and count.

    Radio maps with a missing or damaged image are left out and told in `faults`; UserError if none is left.
    """
    places = np.linspace(0, len(folder.pairs) - 1, min(most, len(folder.pairs))).round().astype(int)
    wanted = [folder.pairs[place] for place in places]
    total = np.zeros((int(np.hypot(*folder.size) / METRES_PER_PIXEL) + 1, GREY_LEVELS), np.int64)
    pairs, faults, errors, nearest = [], [], [], []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counted = pool.map(lambda pair: _try_count(folder, pair, total.shape), wanted)
        for pair, result in tqdm(
            zip(wanted, counted, strict=True), total=len(wanted), desc="reading", unit="map", disable=None
        ):
            if isinstance(result, str):
                faults.append(result)
                continue
            counts, error, metres = result
            total += counts
            pairs.append(pair)
            errors.append(error)
            nearest.append(metres)
    if not pairs:
        raise UserError(f"no radio map of {folder.gain_folder} can be used: {faults[0]}")
    share = np.array([folder.buildings(number).mean() for number in sorted({pair[0] for pair in pairs})])
    return Survey(folder, pairs, faults, share, np.array(nearest), total, np.array(errors))


def _try_count(folder: RadioMapFolder, pair: Pair, shape: tuple[int, int]) -> tuple[np.ndarray, float, float] | str:
    try:
        return _count(folder, pair, shape)
    except UserError as error:
        return str(error)


def _count(folder: RadioMapFolder, pair: Pair, shape: tuple[int, int]) -> tuple[np.ndarray, float, float]:
    grey, (row, column) = folder.gain(*pair), folder.transmitter(*pair)
    buildings = folder.buildings(pair[0])
    rows, columns = np.indices(grey.shape)
    distance = (np.hypot(rows - row, columns - column) * METRES_PER_PIXEL).astype(int)
    index = (distance * GREY_LEVELS + grey)[~buildings]
    counts = np.bincount(index, minlength=shape[0] * shape[1]).reshape(shape)
    error = distance_law(buildings, row, column) - grey_to_gain(grey)
    return counts, float(np.sqrt(np.mean(error**2))), nearest_building(buildings, row, column)


def nearest_building(buildings: Bool[np.ndarray, "height width"], row: int, column: int) -> float:
    """Metres from a pixel to the nearest building pixel; NaN if there is none."""
    rows, columns = np.nonzero(buildings)
    return float(np.hypot(rows - row, columns - column).min() * METRES_PER_PIXEL) if rows.size else float("nan")


def survey_curves(survey: Survey) -> dict[str, Any]:
    """What figures are drawn from, as JSON.

    `maps` and `building_share`: of every map that was read; `transmitter_distance`: metres to the nearest building, of
    every radio map that has one; `grey_counts`: outdoor pixels by grey level; `pixels_by_distance`: outdoor pixels by
    metre from the transmitter; `gain_by_distance`: metres and the 10 %, 50 % and 90 % quantiles of the path gain in dB
    over outdoor pixels with signal.
    """
    heard = survey.grey_by_distance.copy()
    heard[:, 0] = 0
    present = np.flatnonzero(heard.sum(axis=1) >= ENOUGH_PIXELS)
    present = present[present > 0]
    quantiles = {
        f"{round(100 * share)}": np.round(gain_to_db(row_quantile(heard[present], share) / 255), 2).tolist()
        for share in (0.1, 0.5, 0.9)
    }
    known = survey.transmitter_distance[np.isfinite(survey.transmitter_distance)]
    return {
        "maps": sorted({number for number, _ in survey.pairs}),
        "building_share": np.round(survey.building_share, 4).tolist(),
        "transmitter_distance": np.round(known, 2).tolist(),
        "grey_counts": survey.grey_counts.tolist(),
        "pixels_by_distance": survey.grey_by_distance.sum(axis=1).tolist(),
        "gain_by_distance": {"metres": ((present + 0.5) * METRES_PER_PIXEL).tolist(), **quantiles},
    }


def row_quantile(counts: np.ndarray, share: float) -> np.ndarray:
    """Column index below which `share` of each row's counts lies: [rows, levels] -> [rows]."""
    cumulated = counts.cumsum(axis=1)
    return (cumulated < share * cumulated[:, -1:]).sum(axis=1)


def survey_splits(survey: Survey) -> dict[str, Any]:
    """{"rule", "parts": {split: {"maps": numbers, "radio_maps", "building_share": mean of its maps read, or None}}}."""
    share = dict(zip(sorted({number for number, _ in survey.pairs}), survey.building_share.tolist(), strict=True))
    transmitters = Counter(number for number, _ in survey.folder.pairs)
    parts = {}
    for split, maps in split_maps(survey.folder.maps).items():
        read = [share[number] for number in maps if number in share]
        parts[split] = {
            "maps": maps,
            "radio_maps": sum(transmitters[number] for number in maps),
            "building_share": float(np.mean(read)) if read else None,
        }
    return {"rule": chosen_rule(survey.folder.maps, "auto"), "parts": parts}


def survey_numbers(survey: Survey) -> dict[str, int | float | str | None]:
    """The survey in numbers with their units: a label -> a value; None for a mean over nothing."""
    folder = survey.folder
    counts = survey.grey_counts
    grey = np.arange(GREY_LEVELS)
    signal_db = gain_to_db(grey / 255)
    heard = counts * (grey > 0)
    mean = deviation = None
    if heard.any():
        mean = float(heard @ signal_db / heard.sum())
        deviation = float(np.sqrt(heard @ (signal_db - mean) ** 2 / heard.sum()))
    outdoor = max(int(counts.sum()), 1)
    parts = split_maps(folder.maps)
    transmitters = np.unique([number for number, _ in folder.pairs], return_counts=True)[1]
    height, width = folder.size
    return {
        "simulation": folder.simulation,
        "maps": len(folder.maps),
        "radio maps": len(folder.pairs),
        "transmitters a map": _span(transmitters.min(), transmitters.max(), "d"),
        "size (m)": f"{height * METRES_PER_PIXEL:g} x {width * METRES_PER_PIXEL:g}",
        f"maps for train / validation / test ({chosen_rule(folder.maps, 'auto')})": " / ".join(
            str(len(maps)) for maps in parts.values()
        ),
        "radio maps read for the numbers below": len(survey.pairs),
        "radio maps that could not be read": len(survey.faults),
        "built share of a map, mean": float(survey.building_share.mean()),
        "built share of a map, range": _span(survey.building_share.min(), survey.building_share.max(), ".3f"),
        "transmitter to the nearest building, median (m)": _median(survey.transmitter_distance),
        "outdoor pixels without signal (grey 0), share": float(counts[0] / outdoor),
        "outdoor pixels at or below the noise floor (-127.17 dB), share": float(
            counts[: round(NOISE_FLOOR * 255) + 1].sum() / outdoor
        ),
        "path gain outdoors where there is signal, mean (dB)": mean,
        "path gain outdoors where there is signal, standard deviation (dB)": deviation,
        "raw RMSE of the distance law with buildings blanked, mean": float(survey.distance_law_rmse.mean()),
    }


def _median(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else None


def _span(low: float, high: float, form: str) -> str:
    return f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}"
