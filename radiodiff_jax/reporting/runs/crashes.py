"""What a training that failed was ended by, and what to do about it."""

import re

from radiodiff_jax.reporting.runs.run import Run

CAUSES: tuple[tuple[str, re.Pattern, str], ...] = (
    ("out of memory", re.compile(r"out of memory|OutOfMemory|RESOURCE_EXHAUSTED|oom|MemoryError|^Killed", re.IGNORECASE),
     "Halve `training.batch_size` and double `optimizer.accumulate`: an update then sees as many maps with half of the memory."),
    ("numbers that are not finite", re.compile(r"not finite|\bnan\b|infinite", re.IGNORECASE),
     "Lower `optimizer.learning_rate` or `optimizer.clip_norm`, and start again from the last checkpoint."),
    ("time limit", re.compile(r"time ?limit|CANCELLED|SIGTERM", re.IGNORECASE),
     "Give the same command again: it goes on from the last checkpoint."),
    ("disk full", re.compile(r"No space left|disk quota", re.IGNORECASE),
     "Make room where the run is written, then give the same command again: it goes on from the last checkpoint."),
)  # fmt: skip
"""(what a crash was by its message, the words that tell, what to do about it in our settings)."""


def crash_cause(reason: str) -> tuple[str, str]:
    """(cause in words, what to do) of the message that a training ended with."""
    found = next(((words, cure) for words, pattern, cure in CAUSES if pattern.search(reason)), None)
    return found or ("error", "Mend what the message names, then give the same command again: it goes on from the last "
                              "checkpoint.")  # fmt: skip


LONGEST = 300  # characters of a message that are shown


def last_words(run: Run) -> str:
    """The message that a failed training ended with, without its full stop; "" for one that did not fail."""
    event = next((event for event in reversed(run.events) if event["event"] == "failed"), None)
    return "" if event is None else str(event.get("reason", "no reason given"))[:LONGEST].rstrip(". ")
