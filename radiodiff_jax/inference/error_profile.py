"""Where predictions are wrong: error in dB by distance from the transmitter, in sight of it and out of sight.

An error is prediction - truth in dB, raw protocol, at an outdoor pixel whose truth is above -147 dB: the pixels of the
figure `raw/mae_db`. Here they are counted over all pixels of all maps.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from radiodiff_jax.units import DB_PER_GAIN, METRES_PER_PIXEL

SIGHTS = ("in_sight", "out_of_sight")
MOST_BINS = 24  # of distance
LARGEST_DB, RESOLUTION_DB = 60.0, 0.25  # of counted errors; larger ones count as the largest
HISTOGRAM_DB = 1.0
QUANTILES = (0.1, 0.5, 0.9)


class ErrorProfile:
    """Errors of one predictor, counted map after map for images of `size` (height, width)."""

    def __init__(self, size: tuple[int, int]):
        diagonal = float(np.hypot(*size)) * METRES_PER_PIXEL
        self.bin_metres = 1
        while diagonal >= self.bin_metres * MOST_BINS:
            self.bin_metres *= 2
        bins = int(diagonal // self.bin_metres) + 1
        self._counts = np.zeros((len(SIGHTS), bins, round(2 * LARGEST_DB / RESOLUTION_DB)), np.int64)
        self._sums = np.zeros((len(SIGHTS), bins, 4))  # error, |error|, error^2, pixels within 3 dB

    def add(
        self, truth: Float[np.ndarray, "height width"], prediction: Float[np.ndarray, "height width"],
        buildings: Bool[np.ndarray, "height width"], transmitter: tuple[int, int], seen: Bool[np.ndarray, "height width"],
    ) -> None:  # fmt: skip
        """Count one map: gains in [0, 1], the transmitter's (row, column), the pixels in sight of it."""
        heard = ~buildings & (truth > 1e-6)
        error = DB_PER_GAIN * (np.maximum(prediction[heard], 0).astype(np.float64) - truth[heard])
        rows, columns = np.nonzero(heard)
        metres = np.hypot(rows - transmitter[0], columns - transmitter[1]) * METRES_PER_PIXEL
        place = np.where(seen[heard], 0, 1) * self._counts.shape[1] + (metres // self.bin_metres).astype(int)
        level = ((error + LARGEST_DB) / RESOLUTION_DB).astype(int).clip(0, self._counts.shape[2] - 1)
        flat = np.bincount(place * self._counts.shape[2] + level, minlength=self._counts.size)
        self._counts += flat.reshape(self._counts.shape)
        for column, values in enumerate((error, np.abs(error), error**2, np.abs(error) <= 3)):
            sums = np.bincount(place, weights=values, minlength=self._sums.shape[0] * self._sums.shape[1])
            self._sums[..., column] += sums.reshape(self._sums.shape[:2])

    def to_json(self) -> dict[str, Any]:
        """{"bin_metres", "histogram_db": width of its bins, "in_sight": part, "out_of_sight": part}.

        A part is {"pixels", "bias_db", "mae_db", "rmse_db", "share_within_3_db", "histogram": pixels by error from
        -60 dB to 60 dB, "by_distance": {"pixels", "bias_db", "mae_db", "rmse_db", "10", "50", "90": quantiles in dB}};
        lists of `by_distance` have a value a bin, None where no pixel is.
        """
        parts = {name: self._part(number) for number, name in enumerate(SIGHTS)}
        return {"bin_metres": self.bin_metres, "histogram_db": HISTOGRAM_DB, **parts}

    def _part(self, number: int) -> dict[str, Any]:
        counts, sums = self._counts[number], self._sums[number]
        pixels = counts.sum(axis=1)
        whole, total = max(int(pixels.sum()), 1), sums.sum(axis=0)
        cumulated = counts.cumsum(axis=1)
        by_distance: dict[str, list[float | None]] = {"pixels": pixels.tolist()}
        for column, name in enumerate(("bias_db", "mae_db", "rmse_db")):
            with np.errstate(invalid="ignore"):
                mean = sums[:, column] / pixels
            by_distance[name] = _known(np.sqrt(mean) if name == "rmse_db" else mean, pixels)
        for share in QUANTILES:
            level = (cumulated < share * pixels[:, None]).sum(axis=1)
            by_distance[f"{round(100 * share)}"] = _known((level + 0.5) * RESOLUTION_DB - LARGEST_DB, pixels)
        return {
            "pixels": int(pixels.sum()),
            "bias_db": total[0] / whole,
            "mae_db": total[1] / whole,
            "rmse_db": (total[2] / whole) ** 0.5,
            "share_within_3_db": total[3] / whole,
            "histogram": counts.sum(axis=0).reshape(-1, round(HISTOGRAM_DB / RESOLUTION_DB)).sum(axis=1).tolist(),
            "by_distance": by_distance,
        }


def _known(values: np.ndarray, pixels: np.ndarray) -> list[float | None]:
    return [round(float(value), 3) if count else None for value, count in zip(values, pixels, strict=True)]
