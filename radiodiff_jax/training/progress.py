"""What is seen of a training while it goes on, and what may stop it.

Progress bar, means of metrics between two logged steps, speed; traces for Perfetto; TensorBoard files; signals.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from tqdm import tqdm

from radiodiff_jax.errors import UserError
from radiodiff_jax.settings import TrainingConfig
from radiodiff_jax.training.run_folder import RunFolder
from radiodiff_jax.training.task import Metrics, Tree

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


UPDATES = 3


class Profile:
    """Traces three updates from update number `first` on into RUN/profile/FIRST; nothing where `first` is None.

    The folder holds perfetto_trace.json.gz, for ui.perfetto.dev, and what TensorBoard's profiler reads.
    """

    def __init__(self, run: Path, first: int | None):
        self._first = first
        self._folder = run / "profile" / str(first)
        self._running = False

    def before(self, step: int) -> None:
        """Called before update number `step` (from 1)."""
        if step == self._first:
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
            self._running = True

    def after(self, step: int, state: Tree) -> None:
        """Called after update number `step`, whose result is `state`."""
        if self._running and step >= self._first + UPDATES - 1:
            jax.block_until_ready(state)
            self.end()

    def end(self) -> None:
        """Write what was traced, if a trace is under way."""
        if self._running:
            self._running = False
            jax.profiler.stop_trace()
            for trace in self._folder.rglob("perfetto_trace.json.gz"):
                trace.replace(self._folder / trace.name)


class NoBoard:
    """Writes nothing."""

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Take the metrics of a step."""

    def close(self) -> None:
        """Let go of the file."""


class Board(NoBoard):
    """Appends scalars to RUN/tensorboard; what an earlier session wrote after `step` is no longer shown."""

    def __init__(self, folder: str, step: int):
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._writer = EventFileWriter(folder)
        if step:
            status = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._writer.add_event(self._event(step=step + 1, session_log=status))

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Add one point to the curve of every metric."""
        values = [self._summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._writer.add_event(self._event(step=step, wall_time=time.time(), summary=self._summary(value=values)))

    def close(self) -> None:
        """Write what is still in memory."""
        self._writer.close()


def board_writer(folder: RunFolder, settings: TrainingConfig, step: int) -> NoBoard:
    """The writer that the settings ask for, of a session that begins after `step` updates.

    Raises UserError where the library is missing.
    """
    if not (settings.tensorboard and folder.writes):
        return NoBoard()
    try:
        return Board(str(folder.path / "tensorboard"), step)
    except ImportError as error:
        raise UserError(
            "training.tensorboard needs the package tensorboard; install the extra with "
            "`python -m pip install -e '.[tensorboard]'`, or set it to false"
        ) from error


EVENTS = {signal.SIGINT: "interrupted", signal.SIGTERM: "preempted"}
WISHES = [None, *EVENTS.values()]


class Interrupts:
    """While entered, the first signal is only noted; a second one ends the process at once.

    Python delivers signals to the main thread only, so elsewhere nothing is caught.
    """

    def __init__(self):
        self.event: str | None = None
        self._before = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in EVENTS}
        return self

    def stop(self, step: int, every: int) -> bool:
        """Whether to stop after `step` updates.

        Several processes must stop at the same one: they ask each other every so many updates.
        """
        if jax.process_count() == 1:
            return self.event is not None
        if step % every:
            return False
        wishes = multihost_utils.process_allgather(np.int32(WISHES.index(self.event)))
        self.event = WISHES[int(np.max(wishes))]
        return self.event is not None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.event is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.event = EVENTS[number]
