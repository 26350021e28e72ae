"""What can be said about a run from its numbers alone: state, phases, sessions, best figures, speed, trend."""

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from radiodiff_jax.reporting.markdown import counted
from radiodiff_jax.reporting.runs.run import EMPTY, Row, Run, Series, is_number
from radiodiff_jax.reporting.runs.words import change, count, duration, meaning, moment, number

SILENT_AFTER_S = 1800.0  # a training that writes nothing for so long is not called running any more
ENDINGS = ("finished", "failed", "interrupted", "preempted", "followed", "broke off")
SKIPPED = ("skipped_nonfinite", "skipped_spike")  # events of updates that were left out
QUARTERS = 4
TREND_VALUES = 8  # fewer are compared first with last
RECENT_ROWS = 50  # rows that the time left is estimated from
DONE_WITHIN = 1.5  # log intervals before the planned end at which a log without a last word counts as finished


class State(NamedTuple):
    """`word`: running, finished, stopped, failed, silent or empty; and the same as a sentence."""

    word: str
    sentence: str


def state(run: Run, now: float | None = None) -> State:
    """How the run stands at the time `now` (seconds since 1970)."""
    age = (time.time() if now is None else now) - run.written
    last = next((event for event in reversed(run.events) if event["event"] in (*ENDINGS, "started", "resumed")), None)
    word, place = last["event"] if last else None, f"after {count(run.last_step)} of {_planned(run)} steps"
    when = f" on {moment(last['time'])}" if last and last.get("time") else ""
    if word == "finished":
        return State("finished", f"Finished{when} {place}.")
    if word == "failed":
        return State("failed", f"Failed{when} {place}: {str(last.get('reason', 'no reason given')).rstrip('.')}.")
    if word == "preempted":
        return State("stopped", f"Stopped{when} {place} by the system (SIGTERM); the same command goes on from there.")
    if word == "interrupted":
        return State("stopped", f"Stopped{when} {place} by hand (Ctrl-C); the same command goes on from there.")
    if not run.series and word is None:
        return State("empty", "Nothing has been logged yet.")
    if run.origin != "run folder" and ends_as_planned(run):
        return State("finished", f"Finished {place}.")
    if word == "followed":
        return State("stopped", f"Stopped {place}: the log goes on with another training.")
    if age < SILENT_AFTER_S:
        return State("running", f"Running: {place}; last line written on {moment(run.written)}.")
    return State("silent", f"Silent: {place}; nothing was written since {moment(run.written)}, and no line says that it "
                           "ended.")  # fmt: skip


def ends_as_planned(run: Run) -> bool:
    """Whether a log's last step is the planned one, give or take one log interval (logs count from 0)."""
    steps = longest(run).steps
    return (
        bool(run.planned) and len(steps) > 1 and run.last_step + DONE_WITHIN * np.median(np.diff(steps)) >= run.planned
    )


def _planned(run: Run) -> str:
    return count(run.planned) if run.planned else "an unknown number of"


def longest(run: Run) -> Series:
    """The metric with most entries: the rows of the log."""
    return max(run.series.values(), key=len, default=EMPTY)


class Phase(NamedTuple):
    """A part of a training: updates `first` to `last`."""

    name: str
    first: int
    last: int
    seconds: float | None


def phases(run: Run) -> list[Phase]:
    """The phases that were entered, in order, from the events or, without them, from the logged rows."""
    starts: dict[str, int] = {}
    for event in run.events:
        if event["event"] == "phase" and is_number(event.get("step")):
            starts.setdefault(str(event.get("phase")), int(event["step"]))
    rows = longest(run)
    if not starts:
        for name in dict.fromkeys(rows.phases):
            if name:
                starts[name] = int(rows.steps[np.argmax(rows.phases == name)])
    if not starts:
        return []
    ordered = sorted(starts.items(), key=lambda item: item[1])
    ends = [first for _, first in ordered[1:]] + [run.last_step]
    return [
        Phase(name, first, end, _seconds_between(rows, first, end))
        for (name, first), end in zip(ordered, ends, strict=True)
    ]


def _seconds_between(rows: Series, first: int, last: int) -> float | None:
    known = rows.where(np.isfinite(rows.seconds))
    if not len(known):
        return None
    at = np.interp([first, last], [0, *known.steps], [0.0, *known.seconds])
    return float(at[1] - at[0])


class Session(NamedTuple):
    """One start of the command: from update `first` to `last`; `event` is how it began, `end` how it ended."""

    event: Row
    first: int
    last: int
    end: str


def sessions(run: Run) -> list[Session]:
    """Start, and every resume."""
    begun = [number for number, event in enumerate(run.events) if event["event"] in ("started", "resumed")]
    found = []
    for place, following in pairwise([*begun, len(run.events)]):
        inside = run.events[place:following]
        last_word = next((event for event in reversed(inside) if event["event"] in ENDINGS), None)
        end = ": ".join(str(last_word[key]) for key in ("event", "reason") if key in last_word) if last_word else ""
        steps = [int(event["step"]) for event in inside if is_number(event.get("step"))]
        is_last = following == len(run.events)
        last = run.last_step if is_last else max(steps, default=0)
        found.append(Session(inside[0], steps[0] if steps else 0, last, end or ("" if is_last else "killed")))
    return found


def marked_steps(run: Run, *names: str) -> list[int]:
    """Steps of the events of these names."""
    return [int(event["step"]) for event in run.events if event["event"] in names and is_number(event.get("step"))]


def counting(run: Run, name: str) -> Series:
    """The finite values of a metric in the phase in which it counts."""
    series, phase = run.metric(name), meaning(name).phase
    return series.where(series.phases == phase) if phase and phase in set(series.phases) else series


class Best(NamedTuple):
    """The best value of a metric and its step."""

    value: float
    step: int


def best(run: Run, name: str) -> Best | None:
    """By the metric's own sense of better; None without values or sense."""
    series, better = counting(run, name), meaning(name).better
    if not len(series) or not better:
        return None
    place = int(np.argmin(series.values) if better == "lower" else np.argmax(series.values))
    return Best(float(series.values[place]), int(series.steps[place]))


def seconds_per_step(run: Run) -> float | None:
    """Over the newest rows, with validation and saving; a pause between sessions does not count."""
    rows = longest(run)
    recent = rows.where(np.isfinite(rows.seconds)).where(slice(-RECENT_ROWS, None))
    if len(recent) < 2 or recent.steps[-1] <= recent.steps[0] or recent.seconds[-1] <= recent.seconds[0]:
        return None
    return float((recent.seconds[-1] - recent.seconds[0]) / (recent.steps[-1] - recent.steps[0]))


def seconds_left(run: Run) -> float | None:
    """At the speed of the newest rows."""
    pace = seconds_per_step(run)
    return None if pace is None or not run.planned else max(run.planned - run.last_step, 0) * pace


def trend(run: Run, name: str) -> str:
    """One sentence: the median of the last quarter of a metric's values against the quarter before."""
    series = counting(run, name)
    label, size = meaning(name).label, len(series) // QUARTERS
    if len(series) < 2:
        return ""
    if len(series) < TREND_VALUES:
        told = change(float(series.values[0]), float(series.values[-1]))
        return f"The {label} {told} from the first of its {len(series)} values to the last."
    before, after = (float(np.median(part)) for part in (series.values[-2 * size : -size], series.values[-size:]))
    return (
        f"The {label} {change(before, after)} over the last quarter (median {number(after)} of {size} values, steps "
        f"{count(series.steps[-size])} to {count(series.steps[-1])}, against {number(before)} in the quarter before)."
    )


@dataclass(frozen=True)
class Continuity:
    """The loss either side of a resume: the last value logged before it and the first after it."""

    step: int
    before: Best
    after: Best
    typical: float  # median |difference| of neighbouring logged values of the whole run
    same_step: tuple[int, float, float] | None  # a step that was logged by both sessions: (step, old, new)

    @property
    def difference(self) -> float:
        """After minus before."""
        return self.after.value - self.before.value


def continuity(run: Run, name: str = "loss") -> list[Continuity]:
    """Every resume that has a logged value on either side."""
    series = run.metric(name)
    typical = float(np.median(np.abs(np.diff(series.values)))) if len(series) > 1 else 0.0
    found = []
    for event in run.events:
        if event["event"] != "resumed" or not is_number(event.get("step")):
            continue
        place = int(np.searchsorted(series.steps, event["step"], side="right"))
        if 0 < place < len(series):
            sides = (Best(float(series.values[i]), int(series.steps[i])) for i in (place - 1, place))
            again = event.get("repeated", {})
            same = (int(again["step"]), *again[name]) if name in again else None
            found.append(Continuity(int(event["step"]), *sides, typical, same))
    return found


def non_finite(run: Run) -> dict[str, int]:
    """{what: how often}: skipped updates, metrics that were no finite numbers, a training that ended by it."""
    found = {
        "skipped update": len(marked_steps(run, "skipped_nonfinite")),
        "logged value that is no finite number": sum(int(np.isnan(one.values).sum()) for one in run.series.values()),
        "failure": sum(event["event"] == "failed" and "finite" in str(event.get("reason")) for event in run.events),
    }
    return {what: times for what, times in found.items() if times}


def eta_sentence(run: Run) -> str:
    """How long the rest takes, if that can be told."""
    left = seconds_left(run)
    if left is None:
        return ""
    return f"About {duration(left)} are left at the speed of the newest {counted(RECENT_ROWS, 'row')}."
