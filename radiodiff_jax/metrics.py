"""Figures of merit of predicted radio maps, and their summary over many maps.

Two unit systems are in use in the literature and are not comparable, so every figure's name starts with its protocol:
`raw` (gain = grey / 255, 99.16 dB per unit) or `thresholded` (max(gain - 0.2, 0) / 0.8, 79.33 dB per unit). Names are
`protocol/region/figure` with region `all` or `outdoor` (pixels that are no building), `protocol/figure` for decibels,
and three figures of the raw map alone. A figure that a map does not have (no signal anywhere, say) is None, so that
every result is valid JSON.

| name | meaning |
|---|---|
| `P/R/nmse` | sum(error^2) / sum(truth^2) |
| `P/R/rmse` | sqrt(mean(error^2)), in units of gain |
| `P/R/ssim` | structural similarity, Gaussian window 11 x 11, sigma 1.5, data range 1 (Wang et al. 2004) |
| `P/R/psnr_db` | -10 log10(mean(error^2)), data range 1; at most 100 dB, which is above any error of 8-bit maps |
| `P/mae_db`, `P/rmse_db` | error in dB over the outdoor pixels whose truth is above the protocol's floor |
| `P/share_within_3_db` | share of these pixels whose error is at most 3 dB |
| `peak_distance_m` | distance of the brightest predicted pixel from the transmitter |
| `signal_right` | share of the outdoor pixels that are above -127.17 dB, or not, in both |
| `sharpness_ratio` | variance of the Laplacian of the prediction over that of the truth |

The floor of `raw` is gain 0 (-147 dB, "no signal"); the floor of `thresholded` is gain 0.2 (-127.17 dB), and a
prediction below it counts as being at it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import laplace
from skimage.metrics import structural_similarity

from radiodiff_jax.errors import UserError
from radiodiff_jax.units import DB_PER_GAIN, METRES_PER_PIXEL, NOISE_FLOOR, thresholded

PROTOCOLS = ("raw", "thresholded")
REGIONS = ("all", "outdoor")
PSNR_CAP_DB = 100.0
SSIM_BORDER = 5  # pixels whose 11 x 11 window leaves the image do not count

Image = Float[np.ndarray, "height width"]
Mask = Bool[np.ndarray, "height width"]
Figures = dict[str, float | None]


def map_figures(
    truth: Image, prediction: Image, buildings: Mask, transmitter: tuple[int, int] | None = None
) -> Figures:
    """Every figure of one predicted map: name -> value (names in the table above).

    `truth` and `prediction` are gains in [0, 1]; `buildings` is true inside buildings; `transmitter` is (row, column),
    without which `peak_distance_m` is None. The dictionary also holds the sums that pooled figures are made of:
    `P/R/squared_error`, `P/R/squared_truth` and `P/R/pixels`. Raises UserError if the prediction is not finite.
    """
    truth, prediction = (np.asarray(image, np.float64) for image in (truth, prediction))
    if not truth.shape == prediction.shape == buildings.shape:
        raise ValueError(f"shapes differ: truth {truth.shape}, prediction {prediction.shape}, {buildings.shape}")
    if not np.isfinite(prediction).all():
        raise UserError(
            "a predicted map holds values that are not finite numbers, so it has no figures of merit; "
            "use an earlier checkpoint of the run that made it"
        )
    outdoor = ~np.asarray(buildings, bool)
    figures: Figures = {}
    for protocol in PROTOCOLS:
        for region, values in protocol_figures(truth, prediction, outdoor, protocol).items():
            figures |= {f"{protocol}/{region}/{name}": value for name, value in values.items()}
        errors = decibel_figures(truth, prediction, outdoor, protocol)
        figures |= {f"{protocol}/{name}": value for name, value in errors.items()}
    figures["peak_distance_m"] = None if transmitter is None else peak_distance(prediction, transmitter)
    heard = [image[outdoor] > NOISE_FLOOR + 1e-6 for image in (truth, prediction)]  # grey level 51 is the floor itself
    figures["signal_right"] = _ratio(float((heard[0] == heard[1]).sum()), float(outdoor.sum()))
    figures["sharpness_ratio"] = _ratio(float(laplace(prediction).var()), float(laplace(truth).var()))
    return figures


def in_protocol(gain: Image, protocol: str) -> Image:
    """Gain in the units of a protocol."""
    return thresholded(gain) if protocol == "thresholded" else gain


def protocol_figures(truth: Image, prediction: Image, outdoor: Mask, protocol: str) -> dict[str, Figures]:
    """Region -> {nmse, rmse, ssim, psnr_db, squared_error, squared_truth, pixels} in the units of one protocol."""
    truth, prediction = in_protocol(truth, protocol), in_protocol(prediction, protocol)
    similarity = structural_similarity_map(truth, prediction)
    squared_error, squared_truth = (prediction - truth) ** 2, truth**2
    figures = {}
    for region, chosen in zip(REGIONS, (np.ones_like(outdoor), outdoor), strict=True):
        pixels = int(chosen.sum())
        error, power = float(squared_error[chosen].sum()), float(squared_truth[chosen].sum())
        inner = similarity[_inside(chosen)]
        mean_error = _ratio(error, pixels)
        figures[region] = {
            "nmse": _ratio(error, power),
            "rmse": None if mean_error is None else mean_error**0.5,
            "ssim": float(inner.mean()) if inner.size else None,
            "psnr_db": None if mean_error is None else peak_signal_to_noise_db(mean_error),
            "squared_error": error,
            "squared_truth": power,
            "pixels": pixels,
        }
    return figures


def structural_similarity_map(truth: Image, prediction: Image) -> Image:
    """Structural similarity at every pixel: Gaussian window 11 x 11, sigma 1.5, data range 1.

    The usual SSIM of an image is its mean over `[5:-5, 5:-5]`.
    """
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    return structural_similarity(truth, prediction, full=True, **settings)[1]


def peak_signal_to_noise_db(mean_squared_error: float) -> float:
    """PSNR for data range 1, at most 100 dB so that identical maps have a finite one."""
    if mean_squared_error <= 10 ** (-PSNR_CAP_DB / 10):
        return PSNR_CAP_DB
    return float(-10 * np.log10(mean_squared_error))


def decibel_figures(truth: Image, prediction: Image, outdoor: Mask, protocol: str) -> Figures:
    """{mae_db, rmse_db, share_within_3_db} over outdoor pixels whose truth is above the protocol's floor."""
    floor = NOISE_FLOOR if protocol == "thresholded" else 0.0
    # Grey level 51 is the floor itself, whatever the rounding of 51 / 255 says.
    heard = outdoor & (truth > floor + 1e-6)
    if not heard.any():
        return {"mae_db": None, "rmse_db": None, "share_within_3_db": None}
    error = DB_PER_GAIN * np.abs(np.maximum(prediction[heard], floor) - truth[heard])
    return {
        "mae_db": float(error.mean()),
        "rmse_db": float(np.sqrt((error**2).mean())),
        "share_within_3_db": float((error <= 3).mean()),
    }


def peak_distance(prediction: Image, transmitter: tuple[int, int]) -> float:
    """Metres from the brightest predicted pixel to the transmitter (row, column); equal pixels count by their mean."""
    rows, columns = np.nonzero(prediction == prediction.max())
    return float(np.hypot(rows - transmitter[0], columns - transmitter[1]).mean() * METRES_PER_PIXEL)


def summarise(
    figures: Sequence[Figures], maps: Sequence[int], seed: int = 0, resamples: int = 2000
) -> dict[str, Mapping[str, float | int | list[float] | None]]:
    """Summary over the radio maps of a set: figure -> {mean, median, interval, maps} and, for nmse and rmse, pooled.

    `figures[i]` are those of `map_figures`, and `maps[i]` is the layout (city map) that they belong to. `interval` is
    the 90 % bootstrap interval of the mean over layouts, because the transmitters of one layout are not independent;
    it is None for a single layout. Figures that a map does not have are left out, and `maps` counts those it has.
    `pooled` adds errors over all pixels of all maps before it divides.
    """
    if not figures:
        raise ValueError("no figures to summarise")
    names = [name for name in figures[0] if name.rsplit("/", 1)[-1] not in ("squared_error", "squared_truth", "pixels")]
    values = np.array([[_number(one[name]) for name in names] for one in figures])
    low, high = bootstrap_interval(values, np.asarray(maps), seed, resamples)
    summary = {}
    for column, name in enumerate(names):
        present = values[np.isfinite(values[:, column]), column]
        summary[name] = {
            "mean": float(present.mean()) if present.size else None,
            "median": float(np.median(present)) if present.size else None,
            "interval": [float(low[column]), float(high[column])] if np.isfinite(low[column]) else None,
            "maps": int(present.size),
        }
    for protocol in PROTOCOLS:
        for region in REGIONS:
            start = f"{protocol}/{region}"
            error, power, pixels = (
                sum(one[f"{start}/{name}"] for one in figures) for name in ("squared_error", "squared_truth", "pixels")
            )
            mean_error = _ratio(error, pixels)
            summary[f"{start}/nmse"]["pooled"] = _ratio(error, power)
            summary[f"{start}/rmse"]["pooled"] = None if mean_error is None else mean_error**0.5
    return summary


def bootstrap_interval(
    values: Float[np.ndarray, "samples figures"], groups: np.ndarray, seed: int = 0, resamples: int = 2000
) -> tuple[Float[np.ndarray, " figures"], Float[np.ndarray, " figures"]]:
    """5 % and 95 % quantiles of the mean of each column when whole groups are drawn with replacement.

    `groups` [samples] names the group of each row; NaN values are left out. Both are NaN for a single group.
    """
    labels, index = np.unique(groups, return_inverse=True)
    if len(labels) < 2:
        nothing = np.full(values.shape[1], np.nan)
        return nothing, nothing
    present = np.isfinite(values)
    sums, counts = np.zeros((2, len(labels), values.shape[1]))
    np.add.at(sums, index, np.where(present, values, 0))
    np.add.at(counts, index, present)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(len(labels), np.full(len(labels), 1 / len(labels)), size=resamples)
    with np.errstate(invalid="ignore"):
        means = (drawn @ sums) / (drawn @ counts)
    quantiles = np.full((2, values.shape[1]), np.nan)
    some = np.isfinite(means).any(axis=0)
    quantiles[:, some] = np.nanquantile(means[:, some], [0.05, 0.95], axis=0)
    return quantiles[0], quantiles[1]


def _inside(mask: Mask) -> Mask:
    """The mask without the border where the structural similarity window leaves the image."""
    inner = np.zeros_like(mask)
    inside = (slice(SSIM_BORDER, -SSIM_BORDER),) * 2
    inner[inside] = mask[inside]
    return inner


def _ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None


def _number(value: float | None) -> float:
    return np.nan if value is None else value
