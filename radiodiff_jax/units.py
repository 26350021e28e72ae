"""Grey levels on disk, gain in memory, path gain in decibels for people.

One pixel is one metre. Grey 0..255 and gain 0..1 = grey / 255 are the same scale; gain 0 is -147 dB ("no signal or
inside a building") and gain 1 is -47.84 dB (RadioMapSeer; Yapar, Levie, Kutyniok, Caire). The functions take NumPy or
JAX arrays and return the same kind.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

AnyArray = Any
"""A NumPy or JAX array; naming JAX's type would import JAX, which data workers do without."""

METRES_PER_PIXEL = 1.0
WEAKEST_DB = -147.0
"""Path gain of grey level 0."""
STRONGEST_DB = -47.84
"""Path gain of grey level 255."""
DB_PER_GAIN = STRONGEST_DB - WEAKEST_DB
"""Decibels per unit of gain: 99.16."""
NOISE_FLOOR = 0.2
"""Gain that the `thresholded` protocol takes as no signal: -127.17 dB (RadioUNet, arXiv 1911.09002)."""


FAINTEST = 1e-30  # linear; keeps a logarithm finite, far below grey level 0


def grey_to_gain(grey: UInt8[AnyArray, "..."]) -> Float[AnyArray, "..."]:
    """Grey level 0..255 -> gain in [0, 1], float32."""
    return grey.astype(np.float32) / np.float32(255)


def gain_to_grey(gain: Float[AnyArray, "..."]) -> UInt8[AnyArray, "..."]:
    """Gain -> the nearest grey level, uint8; gains outside [0, 1] become 0 or 255."""
    return (gain * 255).round().clip(0, 255).astype(np.uint8)


def grey_levels(path_gain: Float[np.ndarray, "..."]) -> UInt8[np.ndarray, "..."]:
    """Linear path gain, NumPy only -> grey levels; nothing arrives: 0."""
    return gain_to_grey(db_to_gain(10 * np.log10(np.maximum(path_gain, FAINTEST))))


def gain_to_db(gain: Float[AnyArray, "..."]) -> Float[AnyArray, "..."]:
    """Gain in [0, 1] -> path gain in dB."""
    return WEAKEST_DB + DB_PER_GAIN * gain


def db_to_gain(path_gain_db: Float[AnyArray, "..."]) -> Float[AnyArray, "..."]:
    """Path gain in dB -> gain; values outside -147..-47.84 dB leave [0, 1]."""
    return (path_gain_db - WEAKEST_DB) / DB_PER_GAIN


def thresholded(gain: Float[AnyArray, "..."]) -> Float[AnyArray, "..."]:
    """Gain in [0, 1] -> gain above the noise floor, max(gain - 0.2, 0) / 0.8, again in [0, 1]."""
    return (gain - NOISE_FLOOR).clip(0, None) / (1 - NOISE_FLOOR)
