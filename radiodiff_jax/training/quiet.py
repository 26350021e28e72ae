"""Keeps tracebacks off the screen for faults that are raised as well, and told in a sentence by whoever catches them."""

import functools
import logging
import sys


@functools.cache
def silence_orbax() -> None:
    """When a read or write fails, Orbax logs what it then raises, and asyncio and TensorStore complain of the rest."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    before = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        # TensorStore reports late to the event loop of an operation that has failed already.
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    sys.unraisablehook = hook
