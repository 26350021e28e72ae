"""Numbers about a whole RadioMapSeer folder: how dense, how loud, how far."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from radiodiff_jax.data.layout import BRIGHT, Pair, RadioMapFolder
from radiodiff_jax.data.splits import chosen_rule, split_maps
from radiodiff_jax.distance_law import distance_law
from radiodiff_jax.units import METRES_PER_PIXEL, NOISE_FLOOR, gain_to_db, grey_to_gain

GREY_LEVELS = 256


@dataclass(frozen=True)
class Survey:
    """Counts over the outdoor pixels of some radio maps of a folder."""

    folder: RadioMapFolder
    pairs: list[Pair]
    """The radio maps that were read."""
    building_share: np.ndarray
    """[maps] share of built pixels of every map that was read."""
    grey_by_distance: np.ndarray
    """[distance, 256] number of outdoor pixels by distance from the transmitter (m, rounded down) and grey level."""
    distance_law_rmse: np.ndarray
    """[radio maps] raw RMSE of the distance law with buildings blanked, all pixels."""

    @property
    def grey_counts(self) -> np.ndarray:
        """[256] number of outdoor pixels by grey level."""
        return self.grey_by_distance.sum(axis=0)


def survey_folder(folder: RadioMapFolder, most: int = 500) -> Survey:
    """Read at most `most` radio maps, evenly spread over the folder, and count. Raises UserError for faulty images."""
    places = np.linspace(0, len(folder.pairs) - 1, min(most, len(folder.pairs))).round().astype(int)
    pairs = [folder.pairs[place] for place in places]
    numbers = sorted({number for number, _ in pairs})
    total = np.zeros((int(np.hypot(*folder.size) / METRES_PER_PIXEL) + 1, GREY_LEVELS), np.int64)
    errors = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counted = pool.map(lambda pair: _count(folder, pair, total.shape), pairs)
        for counts, error in tqdm(counted, total=len(pairs), desc="reading", unit="map"):
            total += counts
            errors.append(error)
    share = np.array([(folder.buildings(number) >= BRIGHT).mean() for number in numbers])
    return Survey(folder, pairs, share, total, np.array(errors))


def _count(folder: RadioMapFolder, pair: Pair, shape: tuple[int, int]) -> tuple[np.ndarray, float]:
    grey, (row, column) = folder.gain(*pair), folder.transmitter(*pair)
    buildings = folder.buildings(pair[0]) >= BRIGHT
    rows, columns = np.indices(grey.shape)
    distance = (np.hypot(rows - row, columns - column) * METRES_PER_PIXEL).astype(int)
    index = (distance * GREY_LEVELS + grey)[~buildings]
    counts = np.bincount(index, minlength=shape[0] * shape[1]).reshape(shape)
    error = distance_law(buildings, row, column) - grey_to_gain(grey)
    return counts, float(np.sqrt(np.mean(error**2)))


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
        "built share of a map, mean": float(survey.building_share.mean()),
        "built share of a map, range": _span(survey.building_share.min(), survey.building_share.max(), ".3f"),
        "outdoor pixels without signal (grey 0), share": float(counts[0] / outdoor),
        "outdoor pixels at or below the noise floor (-127.17 dB), share": float(
            counts[: round(NOISE_FLOOR * 255) + 1].sum() / outdoor
        ),
        "path gain outdoors where there is signal, mean (dB)": mean,
        "path gain outdoors where there is signal, standard deviation (dB)": deviation,
        "raw RMSE of the distance law with buildings blanked, mean": float(survey.distance_law_rmse.mean()),
    }


def _span(low: float, high: float, form: str) -> str:
    return f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}"
