"""Intervals from a predicted deviation, and the factors that make them hold as often as they say.

A model that says how sure it is gives a gain m and a standard deviation s of its error at every pixel. The interval of a
level p is m - h to m + h with

    h = f(p) q(p) s,

where q(p) is the level's half-width in deviations of the model's family of distributions, and f(p) a factor that is fitted
on the validation split: the p-quantile over all pixels of |error| / (q(p) s). Then the share p of the validation pixels
lies inside, whatever the true distribution is, and about the share p of the pixels of other cities of the same kind
(split conformal prediction: Lei et al., arXiv 1604.04173; with one number a level, not one a pixel). `RUN/calibration.json`
holds the factors of a run.
"""

import json
from dataclasses import dataclass
from math import log, sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_json

FILE = "calibration.json"
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Levels that factors are fitted for; in between, factors are interpolated."""
FAMILIES = {
    "laplace": lambda level: -log(1 - level) / sqrt(2),
    "normal": lambda level: NormalDist().inv_cdf((1 + level) / 2),
}
"""Name -> half-width in standard deviations of the interval of a level. A head of scales is `laplace` (see
`objectives/regression.py`), the deviation of samples is taken as `normal`."""


@dataclass(frozen=True)
class Intervals:
    """Half-widths in predicted deviations."""

    family: str
    factors: tuple[float, ...] | None = None
    """One for each of `LEVELS`; None: as the model says, not calibrated."""

    def nominal(self, level: float) -> float:
        """q(p). Raises UserError for a level that is no share between 0 and 1."""
        if not 0 < level < 1:
            raise UserError(f"an interval of level {level:g} is none; choose a share between 0 and 1, such as 0.9")
        return FAMILIES[self.family](level)

    def factor(self, level: float) -> float:
        """f(p); 1 without calibration."""
        return 1.0 if self.factors is None else float(np.interp(level, LEVELS, self.factors))

    def half_width(self, level: float) -> float:
        """f(p) q(p)."""
        return self.factor(level) * self.nominal(level)


@dataclass(frozen=True)
class Calibration:
    """What `evaluate --calibrate` fitted, and what it holds for: these weights, sampled in this way."""

    intervals: Intervals
    digest: str
    """Of the weights (see `training/digest.py`)."""
    steps: int
    samples: int
    fitted_on: dict[str, Any]
    """{"data", "split", "radio_maps", "layouts", "pixels", "fitted": time}."""


def write_calibration(run: Path, found: Calibration) -> Path:
    """Write RUN/calibration.json, whole or not at all."""
    return write_json(run / FILE, to_json(found))


def to_json(found: Calibration) -> dict[str, Any]:
    """What the file holds."""
    told = {"family": found.intervals.family, "levels": list(LEVELS), "factors": list(found.intervals.factors),
            "digest": found.digest, "steps": found.steps, "samples": found.samples}  # fmt: skip
    return told | found.fitted_on


def from_json(told: dict[str, Any]) -> Calibration:
    """What `to_json` gave. Raises ValueError, TypeError, LookupError or AttributeError for anything else."""
    factors = tuple(float(factor) for factor in told["factors"])
    if told["levels"] != list(LEVELS) or len(factors) != len(LEVELS) or told["family"] not in FAMILIES:
        raise ValueError("levels or family of another version")
    if not all(np.isfinite(factor) and factor > 0 for factor in factors):
        raise ValueError("factors that are not positive")
    known = ("family", "levels", "factors", "digest", "steps", "samples")
    rest = {name: value for name, value in told.items() if name not in known}
    return Calibration(Intervals(told["family"], factors), str(told["digest"]), int(told["steps"]), int(told["samples"]), rest)


def read_calibration(run: Path) -> Calibration | None:
    """The calibration of a run folder; None if there is none. Raises UserError if the file is damaged."""
    path = run / FILE
    try:
        return from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged ({type(error).__name__}); delete it, or fit it again with "
            f"`python -m experiments.evaluate --run {run} --data DIR --calibrate`"
        ) from error
