"""Whether a model is as sure as it may be: coverage of its intervals, their width, and predicted deviation against error.

Counted at the outdoor pixels whose true gain is above 0 (-147 dB), the pixels of `raw/rmse_db`, over all maps together.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import ndtr

from radiodiff_jax.inference.calibration import FAMILIES, LEVELS, Intervals
from radiodiff_jax.units import DB_PER_GAIN

Image = Float[np.ndarray, "height width"]
SPREAD_EDGES_DB = np.geomspace(0.0625, 32, 19)
"""Edges of the bins of predicted deviation, half an octave wide; smaller and larger ones count in the outermost."""
RATIO_RANGE, RATIO_BINS = (1e-4, 1e4), 20_000
"""Of |error| / deviation on a logarithmic scale: 0.09 % a bin."""
TINY = 1e-9  # gain; stands for a deviation of 0, as samples that all agree have it


@dataclass
class SpreadProfile:
    """Counts of one predictor, map after map."""

    intervals: Intervals

    def __post_init__(self):
        self._q = np.array([self.intervals.nominal(level) for level in LEVELS])
        self._f = np.array([self.intervals.factor(level) for level in LEVELS])
        self._inside: list[np.ndarray] = []  # of a map: [as told or calibrated, level] pixels
        self._pixels: list[int] = []
        self._layouts: list[int] = []
        self._sums = np.zeros(5)  # deviation, deviation^2, |error|, error^2, CRPS
        self._bins = np.zeros((len(SPREAD_EDGES_DB) - 1, 3))  # pixels, deviation^2, error^2

    def add(self, truth: Image, prediction: Image, deviation: Image, buildings: Bool[np.ndarray, "height width"],
            layout: int) -> None:  # fmt: skip
        """Count one map; gains in [0, 1], the deviation in gain."""
        heard = ~np.asarray(buildings, bool) & (truth > 1e-6)
        error = np.abs(prediction[heard].astype(np.float64) - truth[heard])
        spread = np.maximum(deviation[heard].astype(np.float64), TINY)
        ratio = error / spread
        widths = np.stack([self._q, self._f * self._q])
        self._inside.append((ratio[:, None, None] <= widths).sum(0))
        self._pixels.append(len(error))
        self._layouts.append(int(layout))
        crps = continuous_ranked_probability_score(self.intervals.family, error, spread)
        self._sums += [one.sum() for one in (spread, spread**2, error, error**2, crps)]
        place = np.digitize(DB_PER_GAIN * spread, SPREAD_EDGES_DB[1:-1])
        for column, values in enumerate((np.ones_like(error), spread**2, error**2)):
            self._bins[:, column] += np.bincount(place, weights=values, minlength=len(self._bins))

    def to_json(self, seed: int = 0) -> dict[str, Any]:
        """{"family", "calibrated", "pixels", "levels", "coverage": a share a level, "coverage_interval": 90 % intervals
        over layouts or None for a single one, "coverage_uncalibrated", "factors", "width_db": mean width of the intervals,
        "crps_db", "mae_db", "rmse_db", "deviation_db": root of the mean square of the predicted, "spread_skill":
        {"from_db", "to_db", "pixels", "deviation_db", "rmse_db"}: lists of a value a bin, None where no pixel is}.

        The CRPS is that of the family as the model tells it, without factors.
        """
        pixels = max(sum(self._pixels), 1)
        inside = np.sum(self._inside, 0) if self._inside else np.zeros((2, len(LEVELS)))
        spread, spread_2, error, error_2, crps = self._sums / pixels
        return {
            "family": self.intervals.family,
            "calibrated": self.intervals.factors is not None,
            "pixels": int(sum(self._pixels)),
            "levels": list(LEVELS),
            "coverage": (inside[1] / pixels).tolist(),
            "coverage_interval": self._coverage_intervals(seed),
            "coverage_uncalibrated": (inside[0] / pixels).tolist(),
            "factors": self._f.tolist(),
            "width_db": (2 * DB_PER_GAIN * spread * self._f * self._q).tolist(),
            "crps_db": DB_PER_GAIN * crps,
            "mae_db": DB_PER_GAIN * error,
            "rmse_db": DB_PER_GAIN * error_2**0.5,
            "deviation_db": DB_PER_GAIN * spread_2**0.5,
            "spread_skill": self._spread_skill(),
        }

    def _coverage_intervals(self, seed: int, resamples: int = 2000) -> list[list[float]] | None:
        """5 % and 95 % quantiles of each coverage when whole layouts are drawn with replacement."""
        labels, index = np.unique(self._layouts, return_inverse=True)
        if len(labels) < 2:
            return None
        inside, pixels = np.zeros((len(labels), len(LEVELS))), np.zeros(len(labels))
        np.add.at(inside, index, np.array([one[1] for one in self._inside], float))
        np.add.at(pixels, index, self._pixels)
        drawn = np.random.default_rng(seed).multinomial(len(labels), np.full(len(labels), 1 / len(labels)), resamples)
        share = (drawn @ inside) / np.maximum(drawn @ pixels, 1)[:, None]
        return np.quantile(share, [0.05, 0.95], axis=0).T.tolist()

    def _spread_skill(self) -> dict[str, list[float | None]]:
        pixels = self._bins[:, 0]
        with np.errstate(invalid="ignore"):
            spread, error = (DB_PER_GAIN * np.sqrt(self._bins[:, column] / pixels) for column in (1, 2))
        known = [[float(f"{value:.4g}") if count else None for value, count in zip(values, pixels, strict=True)]
                 for values in (spread, error)]  # fmt: skip
        edges = SPREAD_EDGES_DB.round(4).tolist()
        return {"from_db": edges[:-1], "to_db": edges[1:], "pixels": pixels.astype(int).tolist(),
                "deviation_db": known[0], "rmse_db": known[1]}  # fmt: skip


def continuous_ranked_probability_score(
    family: str, error: Float[np.ndarray, " pixels"], deviation: Float[np.ndarray, " pixels"]
) -> Float[np.ndarray, " pixels"]:
    """CRPS of a symmetric distribution about the prediction, in the unit of the error; of a certain prediction |error|.

    Laplace of scale b = s / sqrt(2): |e| + b exp(-|e| / b) - 3 b / 4; normal, with z = e / s:
    s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)) (Gneiting and Raftery, JASA 102, 2007).
    """
    error = np.abs(error)
    if family == "laplace":
        b = deviation / np.sqrt(2)
        return error + b * np.exp(-error / b) - 0.75 * b
    z = error / deviation
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return deviation * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))


class RatioCounts:
    """|error| / deviation of many maps, counted on a logarithmic scale, to fit factors from."""

    def __init__(self):
        self._edges = np.geomspace(*RATIO_RANGE, RATIO_BINS + 1)
        self._counts = np.zeros(RATIO_BINS + 2, np.int64)  # the outermost two: smaller and larger ones
        self.layouts: set[int] = set()
        self.maps = 0

    @property
    def pixels(self) -> int:
        """Pixels counted so far."""
        return int(self._counts.sum())

    def add(self, truth: Image, prediction: Image, deviation: Image, buildings: Bool[np.ndarray, "height width"],
            layout: int) -> None:  # fmt: skip
        """Count one map, as `SpreadProfile.add`."""
        heard = ~np.asarray(buildings, bool) & (truth > 1e-6)
        error = np.abs(prediction[heard].astype(np.float64) - truth[heard])
        ratio = error / np.maximum(deviation[heard].astype(np.float64), TINY)
        self._counts += np.bincount(np.digitize(ratio, self._edges), minlength=len(self._counts))
        self.layouts.add(int(layout))
        self.maps += 1

    def quantile(self, level: float) -> float:
        """The ratio that the share `level` of the pixels does not exceed."""
        place = int(np.searchsorted(self._counts.cumsum(), level * self.pixels))
        return float(self._edges[min(place, RATIO_BINS)])

    def intervals(self, family: str) -> Intervals:
        """The family with a factor a level."""
        return Intervals(family, tuple(self.quantile(level) / FAMILIES[family](level) for level in LEVELS))


def count_ratios(maps: Iterable[tuple[Image, Image, Image, Any, int]]) -> RatioCounts:
    """The counts over (truth, prediction, deviation, buildings, layout) of all maps."""
    counts = RatioCounts()
    for one in maps:
        counts.add(*one)
    return counts
