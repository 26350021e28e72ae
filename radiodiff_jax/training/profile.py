"""A trace of a few updates that Perfetto opens."""

from pathlib import Path

import jax

from radiodiff_jax.training.task import Tree

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
