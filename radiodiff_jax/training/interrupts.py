"""Ctrl-C and SIGTERM as wishes that the loop grants after the update at hand."""

import os
import signal
import threading
from types import FrameType, TracebackType

import jax
import numpy as np
from jax.experimental import multihost_utils

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
