"""Ctrl-C and SIGTERM as wishes that the loop grants after the update at hand."""

import os
import signal
import threading
from types import FrameType, TracebackType

EVENTS = {signal.SIGINT: "interrupted", signal.SIGTERM: "preempted"}


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

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.event is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.event = EVENTS[number]
