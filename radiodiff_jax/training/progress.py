"""What is seen of a training while it goes on: the progress bar, the speed, the metrics between two logged steps."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import jax
from tqdm import tqdm

from radiodiff_jax.training.task import Metrics

PACE_IN_FILES = 30.0  # seconds between two states of the bar where it is written to a file
TIMED = (
    "time_s", "examples_per_s", "step_ms", "input_wait_ms", "input_wait_share", "teraflops_per_s", "mfu", "device_memory_gb",
)  # fmt: skip
"""Metrics that depend on the clock or on the machine; all others come back bit for bit."""


class TooManySkippedError(Exception):
    """More updates in a row than allowed were skipped; `step` is the last of them."""

    def __init__(self, step: int, count: int):
        super().__init__(f"{count} updates in a row, up to update {step}, were skipped for losses or gradients that are not "
                         "finite or jumped")  # fmt: skip
        self.step = step


class MetricAverager:
    """Means of metrics over the updates since the last logged step.

    Metrics of an update are fetched only once the next update is under way, so that the device never waits. Updates
    that the step has skipped (see `guard`) are counted, and their metrics left out.
    """

    def __init__(self, most_in_a_row: int, saved: dict[str, Any] | None = None):
        saved = saved or {"count": 0, "sums": {}, "skipped": 0, "in_a_row": 0}
        self._count: int = saved["count"]
        self._sums: dict[str, float] = dict(saved["sums"])
        self._skipped: int = saved["skipped"]
        self._in_a_row: int = saved["in_a_row"]
        self._most_in_a_row = most_in_a_row
        self._pending: tuple[int, Metrics] | None = None
        self._untold: list[tuple[int, str, dict[str, float]]] = []

    def add(self, step: int, metrics: Metrics) -> None:
        """Take the metrics of update `step`, which may still be under way, and fetch those of the one before."""
        before, self._pending = self._pending, (step, metrics)
        if before is not None:
            self._fetch(*before)

    def fetch(self) -> None:
        """Wait for the last update. Raises TooManySkippedError where it is one too many."""
        before, self._pending = self._pending, None
        if before is not None:
            self._fetch(*before)

    def _fetch(self, step: int, metrics: Metrics) -> None:
        values = {name: float(value) for name, value in jax.device_get(metrics).items()}
        not_finite, spike = (values.pop(name, 0.0) for name in ("skipped", "skipped_spike"))
        if not_finite or spike:
            self._untold.append((step, "skipped_spike" if spike else "skipped_nonfinite", values))
            self._skipped += 1
            self._in_a_row += 1
            if self._in_a_row > self._most_in_a_row:
                raise TooManySkippedError(step, self._in_a_row)
            return
        self._in_a_row = 0
        self._count += 1
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in values.items()}

    def skipped(self) -> list[tuple[int, str, dict[str, float]]]:
        """(update, name of the event, metrics) of those found to be skipped since the last question."""
        untold, self._untold = self._untold, []
        return untold

    def close(self) -> dict[str, float]:
        """The means, and "skipped_updates" where there are any; a new interval begins."""
        means = {name: round_to_float32(total / self._count) for name, total in self._sums.items()}
        if self._skipped:
            means["skipped_updates"] = float(self._skipped)
        self._count, self._sums, self._skipped = 0, {}, 0
        return means

    def saved(self) -> dict[str, Any]:
        """All there is to know for going on, after `fetch`."""
        return {"count": self._count, "sums": self._sums, "skipped": self._skipped, "in_a_row": self._in_a_row}


class Throughput:
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

        "examples_per_s"; "step_ms" and "input_wait_ms" an update; "input_wait_share", the share of all time.
        """
        updates, seconds = self._updates, time.monotonic() - self._since
        examples, waited = self._examples, self._waited
        self.restart()
        if not updates:
            return {}
        found = {
            "examples_per_s": examples / seconds,
            "step_ms": 1000 * seconds / updates,
            "input_wait_ms": 1000 * waited / updates,
            "input_wait_share": waited / seconds,
        }
        return {name: four_digits(value) for name, value in found.items()}


def four_digits(value: float) -> float:
    """What is worth reading of a measured time or speed."""
    return float(f"{value:.4g}")


def round_to_float32(value: float) -> float:
    """The 7 decimal digits that a float32 holds."""
    return float(f"{value:.7g}")


def progress_bar(kind: str, total: int, done: int, shown: bool = True) -> tqdm:
    """A bar with updates a second and the time left; in a file, a line's worth every half minute."""
    pace = {} if sys.stderr.isatty() else {"mininterval": PACE_IN_FILES, "maxinterval": 2 * PACE_IN_FILES}
    return tqdm(total=total, initial=done, desc=kind, unit="update", dynamic_ncols=True, disable=not shown, **pace)
