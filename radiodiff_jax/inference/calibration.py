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

from dataclasses import dataclass
from math import log, sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from typing_extensions import TypedDict

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_json
from radiodiff_jax.reading import OPEN, AnyObject, Count, Positive, check_value, is_there, read_json

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


class CalibrationRecord(TypedDict):
    """The schema of calibration.json; further keys say what it was fitted on."""

    __pydantic_config__ = OPEN
    family: Literal["laplace", "normal"]
    levels: list[float]
    factors: Annotated[list[Positive], Field(min_length=len(LEVELS), max_length=len(LEVELS))]
    digest: str
    steps: Count
    samples: Count


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


def from_json(told: dict[str, Any], where: str, cure: str) -> Calibration:
    """What `to_json` gave. Raises UserError, which names `where`, for anything else."""
    told = check_value(told, CalibrationRecord, where, cure)
    if told["levels"] != list(LEVELS):
        raise UserError(f"{where} is damaged (its levels are those of another version); {cure}")
    intervals = Intervals(told["family"], tuple(told["factors"]))
    rest = {name: value for name, value in told.items() if name not in CalibrationRecord.__annotations__}
    return Calibration(intervals, told["digest"], told["steps"], told["samples"], rest)


def read_calibration(run: Path) -> Calibration | None:
    """The calibration of a run folder; None if there is none. Raises UserError if the file is damaged."""
    path = run / FILE
    cure = f"delete it, or fit it again with `python -m experiments.evaluate --run {run} --data DIR --calibrate`"
    return from_json(read_json(path, AnyObject, cure), str(path), cure) if is_there(path) else None
