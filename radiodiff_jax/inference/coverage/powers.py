"""What receivers get of several transmitters, as pure functions of arrays.

`received` is float32 [sites, height, width] in dBm; -inf where nothing arrives, inside buildings among it.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float, Int16

from radiodiff_jax.inference.coverage.antennas import pattern_db
from radiodiff_jax.inference.coverage.sites import Site
from radiodiff_jax.units import gain_to_db

THERMAL_DBM_PER_HZ = -174.0
"""Noise of a resistor at 290 K."""
MAP_GHZ = 5.9
"""Carrier of all radio maps here."""
NOBODY = -1
"""Best server where nobody is received."""

Received = Float[np.ndarray, "sites height width"]
Image = Float[np.ndarray, "height width"]
Mask = Bool[np.ndarray, "height width"]


def thermal_noise_dbm(bandwidth_hz: float, noise_figure_db: float) -> float:
    """Noise power of a receiver in dBm: -174 dBm/Hz over the bandwidth, and its noise figure."""
    return THERMAL_DBM_PER_HZ + 10 * float(np.log10(bandwidth_hz)) + noise_figure_db


def frequency_shift_db(gigahertz: float) -> float:
    """Free-space path gain at a carrier less that at 5.9 GHz: -20 log10(f / 5.9 GHz), and nothing more.

    How waves bend around corners, enter buildings and meet leaves changes with the carrier too; that is not in it.
    """
    return -20 * float(np.log10(gigahertz / MAP_GHZ))


def received_power_dbm(gain: Image, site: Site, shift_db: float = 0.0) -> Image:
    """Power in dBm, float32, at every pixel from a map of path gain in [0, 1]; -inf where that is 0 (no signal, buildings).

    Sent power + antenna gain + pattern + path gain + `shift_db` (see `frequency_shift_db`).
    """
    power = gain_to_db(gain) + (site.power_dbm + site.gain_dbi + shift_db)
    if site.pattern != "omni":
        power += pattern_db(site.pattern, gain.shape, site.row, site.column, site.azimuth or 0.0)
    return np.where(gain > 0, power, -np.inf).astype(np.float32)


def strongest_dbm(received: Received) -> Image:
    """The strongest power at each pixel."""
    return received.max(axis=0)


def best_server(received: Received) -> Int16[np.ndarray, "height width"]:
    """Index of the site that is received strongest, the first of several that are equal; -1 where nobody is received."""
    return np.where(np.isfinite(received).any(axis=0), received.argmax(axis=0), NOBODY).astype(np.int16)


def sinr_db(received: Received, noise_dbm: float) -> Image:
    """Best server's power over noise and the power of all others, in dB, float32; -inf where nobody is received.

    All sites send at full power on one channel.
    """
    best = to_milliwatts(strongest_dbm(received))
    total = np.zeros(best.shape)
    for power in received:  # not all sites at once in float64
        total += to_milliwatts(power)
    with np.errstate(divide="ignore"):
        return (10 * np.log10(best / (total - best + to_milliwatts(noise_dbm)))).astype(np.float32)


def share_above(values: Image, outdoors: Mask, thresholds: Iterable[float]) -> dict[str, float]:
    """Share of the outdoor pixels with at least each threshold, by its shortest name: {"-90": 0.8}; 0 of none."""
    count = max(int(outdoors.sum()), 1)
    return {f"{level:g}": int(np.sum(values[outdoors] >= level)) / count for level in thresholds}


def distribution(values: Image, outdoors: Mask, points: int = 201) -> tuple[np.ndarray, np.ndarray]:
    """(values, share of the outdoor pixels at or below them) of the distribution function, from `points` quantiles.

    Pixels where nothing is received count, below all values.
    """
    found = np.sort(values[outdoors])
    nothing = int(np.sum(~np.isfinite(found)))
    heard = found[nothing:]
    if not len(heard):
        return np.zeros(0), np.zeros(0)
    places = np.unique(np.linspace(0, len(heard) - 1, min(points, len(heard))).round().astype(int))
    return heard[places], (nothing + places + 1) / len(found)


def quantiles(values: Image, outdoors: Mask, percents: Iterable[int] = (10, 50, 90)) -> dict[str, float | None]:
    """Percent -> value that so many percent of the outdoor pixels lie below; None where nothing is received there."""
    found = np.sort(values[outdoors])
    picked = {str(p): found[int(np.floor(p / 100 * (len(found) - 1)))] for p in percents} if len(found) else {}
    return {name: round(float(value), 2) if np.isfinite(value) else None for name, value in picked.items()}


def to_milliwatts(dbm: np.ndarray | float) -> np.ndarray:
    """dBm -> mW, float64; -inf is 0."""
    return 10 ** (np.asarray(dbm, np.float64) / 10)
