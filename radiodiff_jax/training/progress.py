"""What is seen of a training while it goes on: the progress bar, the speed, the metrics between two logged steps."""

import contextlib
import math
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
from tqdm import tqdm

from radiodiff_jax.training.task import Metrics

MUST_BE_FINITE = ("loss", "grad_norm")
PACE_IN_FILES = 30.0  # seconds between two states of the bar where it is written to a file


class NotFiniteError(Exception):
    """A loss or gradient is no finite number; `step` is the update that gave it."""

    def __init__(self, step: int, name: str):
        super().__init__(f"{name} of update {step} is not finite")
        self.step = step
        self.name = name


class Interval:
    """Means of metrics over the updates since the last logged step.

    Metrics of an update are fetched only once the next update is under way, so that the device never waits.
    """

    def __init__(self, saved: dict[str, Any] | None = None):
        self._count: int = saved["count"] if saved else 0
        self._sums: dict[str, float] = dict(saved["sums"]) if saved else {}
        self._pending: tuple[int, Metrics] | None = None

    def add(self, step: int, metrics: Metrics) -> None:
        """Take the metrics of update `step`, which may still be under way, and fetch those of the one before."""
        before, self._pending = self._pending, (step, metrics)
        if before is not None:
            self._fetch(*before)

    def fetch(self) -> None:
        """Wait for the last update. Raises NotFiniteError if its loss or gradient is not finite."""
        before, self._pending = self._pending, None
        if before is not None:
            self._fetch(*before)

    def _fetch(self, step: int, metrics: Metrics) -> None:
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        self._count += 1
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in values.items()}
        for name in MUST_BE_FINITE:
            if not math.isfinite(values.get(name, 0.0)):
                raise NotFiniteError(step, name)

    def close(self) -> dict[str, float]:
        """The means; a new interval begins."""
        means = {name: round_to_float32(total / self._count) for name, total in self._sums.items()}
        self._count, self._sums = 0, {}
        return means

    def saved(self) -> dict[str, Any]:
        """All there is to know for going on, after `fetch`."""
        return {"count": self._count, "sums": self._sums}


class Clock:
    """Seconds of training over all sessions, and examples a second without what is not training."""

    def __init__(self, seconds_before: float):
        self._zero = time.monotonic() - seconds_before
        self.restart()

    def seconds(self) -> float:
        """Seconds of this session, and of earlier ones up to the checkpoint that it goes on from."""
        return round(time.monotonic() - self._zero, 3)

    def restart(self) -> None:
        """Measure speed from here on."""
        self._since, self._updates, self._examples, self._waited = time.monotonic(), 0, 0, 0.0

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Time spent inside is waiting for data."""
        start = time.monotonic()
        yield
        self._waited += time.monotonic() - start

    def update(self, examples: int) -> None:
        """Count an update."""
        self._updates += 1
        self._examples += examples

    def speed(self) -> dict[str, float]:
        """Speed and waiting for data since the last restart, or nothing if there was no update; restarts.

        "examples_per_s"; "input_wait_ms" an update; "input_wait_share", the share of all time.
        """
        updates, seconds = self._updates, time.monotonic() - self._since
        examples, waited = self._examples, self._waited
        self.restart()
        if not updates:
            return {}
        found = {
            "examples_per_s": examples / seconds,
            "input_wait_ms": 1000 * waited / updates,
            "input_wait_share": waited / seconds,
        }
        return {name: float(f"{value:.4g}") for name, value in found.items()}


def round_to_float32(value: float) -> float:
    """The 7 decimal digits that a float32 holds."""
    return float(f"{value:.7g}")


def progress_bar(kind: str, total: int, done: int) -> tqdm:
    """A bar with updates a second and the time left; in a file, a line's worth every half minute."""
    pace = {} if sys.stderr.isatty() else {"mininterval": PACE_IN_FILES, "maxinterval": 2 * PACE_IN_FILES}
    return tqdm(total=total, initial=done, desc=kind, unit="update", dynamic_ncols=True, **pace)
