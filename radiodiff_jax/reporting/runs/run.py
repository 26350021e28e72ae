"""A training as its page needs it, whatever it was read from: plain values and NumPy columns."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from radiodiff_jax.inference.evaluation_files import is_number

Row = dict[str, Any]
KEYS = ("step", "phase", "time_s", "planned", "when", "bar", "after")  # of a row; every other key is a metric


@dataclass(frozen=True)
class Series:
    """One metric: `values` [n] after `steps` [n] updates and `seconds` [n] of training (NaN: not known), in `phases` [n].

    Values that are no finite number are NaN.
    """

    steps: np.ndarray
    seconds: np.ndarray
    values: np.ndarray
    phases: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def where(self, chosen: np.ndarray) -> "Series":
        """The entries that a mask or slice chooses."""
        return Series(self.steps[chosen], self.seconds[chosen], self.values[chosen], self.phases[chosen])

    def finite(self) -> "Series":
        """Without NaN."""
        return self.where(np.isfinite(self.values))


@dataclass(frozen=True)
class Sample:
    """What the model made of the fixed validation maps after `step` updates: a picture and, where there are, arrays."""

    step: int
    picture: Path
    arrays: Path | None


@dataclass(frozen=True)
class Run:
    """One training. Everything that could not be read is a sentence in `problems`."""

    name: str
    path: Path
    origin: str  # "run folder", "text log" or "TensorBoard file"
    kind: str = "unknown"  # "vae", "ldm"
    series: dict[str, Series] = field(default_factory=dict)
    events: tuple[Row, ...] = ()
    settings: dict[str, Any] | None = None  # as in config.yaml
    details: dict[str, Any] = field(default_factory=dict)  # as in run.json
    planned: int | None = None  # steps
    last_step: int = 0
    seconds: float | None = None  # of training, all sessions
    samples: tuple[Sample, ...] = ()
    evaluations: tuple[Path, ...] = ()
    written: float = 0.0  # when its newest line was written, seconds since 1970
    problems: tuple[str, ...] = ()

    def metric(self, name: str) -> Series:
        """The finite values of a metric; an empty series if there are none."""
        return self.series[name].finite() if name in self.series else EMPTY

    def with_problems(self, *sentences: str) -> "Run":
        """The run with more to tell."""
        return replace(self, problems=(*self.problems, *sentences))


EMPTY = Series(*(np.empty(0) for _ in range(3)), np.empty(0, dtype=object))


def columns(rows: list[Row]) -> tuple[dict[str, Series], list[str]]:
    """({metric: Series} of rows that all have a "step", names of metrics that hold something else than numbers)."""
    steps = np.array([row["step"] for row in rows], dtype=np.float64)
    seconds = np.array([_or_nan(row.get("time_s")) for row in rows], dtype=np.float64)
    phases = np.array([str(row.get("phase") or "") for row in rows], dtype=object)
    names = dict.fromkeys(name for row in rows for name in row)
    found, odd = {}, []
    for name in names:
        if name in KEYS:
            continue
        chosen = [number for number, row in enumerate(rows) if name in row]
        try:
            values = np.array([rows[number][name] for number in chosen], dtype=np.float64)
        except (TypeError, ValueError):
            odd.append(name)
            continue
        values[~np.isfinite(values)] = np.nan
        found[name] = Series(steps[chosen], seconds[chosen], values, phases[chosen])
    return found, odd


def _or_nan(value: Any) -> float:
    return value if is_number(value) else math.nan


@dataclass(frozen=True)
class Repeated:
    """A resume in a log whose steps go back from `reached` to after `step`; `old` and `new` are the rows of step `at`."""

    reached: int
    step: int
    at: int | None
    old: Row
    new: Row


def repeats(row: Row, last: Row) -> bool:
    """Whether a row does not go on from the one before it."""
    if row["step"] != last["step"]:
        return row["step"] < last["step"]
    return bool((row.keys() & last.keys()).difference(KEYS))


def cut_back(rows: Iterable[Row]) -> tuple[list[Row], list[Repeated]]:
    """Rows in rising order of steps: where they go back or log a metric of a step again, what is repeated is dropped."""
    kept: list[Row] = []
    resumes: list[Repeated] = []
    for row in rows:
        if kept and repeats(row, kept[-1]):
            again, reached = {}, kept[-1]["step"]
            while kept and kept[-1]["step"] >= row["step"]:
                old = kept.pop()
                again = old | again if old["step"] == row["step"] else again
            before = kept[-1]["step"] if kept else 0
            resumes.append(Repeated(reached, before, row["step"] if again else None, again, row))
        kept.append(row)
    return kept, resumes
