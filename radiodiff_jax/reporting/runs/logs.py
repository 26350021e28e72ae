"""Logs of other trainings as runs: text logs of the PyTorch original, and TensorBoard event files.

What counts in a text log is `[Train Step] 100/150000: train/total_loss: 1.23, train/kl_loss: ...`, wherever it stands in
a line: logger prefixes, progress bars (carriage returns), tracebacks and other noise around it are passed over. A step
that is lower than the one before is a resume; a start from the beginning, or with other metrics or another number of
steps, is a new training. Event files are read by the `tensorboard` package (which needs no TensorFlow).
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from radiodiff_jax.errors import UserError
from radiodiff_jax.limits import LINES_BYTES
from radiodiff_jax.reading import check_file, read_bytes
from radiodiff_jax.reporting.runs.run import KEYS, Row, Run, Series, columns, cut_back, modified

STEP = re.compile(r"\[(?:Train|Training) Step\]\s*(\d+)\s*/\s*(\d+)\s*:", re.IGNORECASE)
NUMBER = r"[-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|nan|inf)"
PAIR = re.compile(rf"([A-Za-z_][\w/.]*)\s*[:=]\s*(?:tensor\(\s*)?({NUMBER})(?![\w%.])")
TIME = re.compile(r"(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})(?:[.,](\d{1,6}))?")
ERROR = re.compile(r"^(\w+(?:\.\w+)*(?:Error|Exception|Interrupt)\b.*)$")
RANK = re.compile(r"^\[?rank ?\d+\]?:\s*", re.IGNORECASE)  # what a launcher of several processes sets before a line
TRACEBACK = "Traceback (most recent call last)"
KILLED = re.compile(
    r"out of memory|OutOfMemory|RESOURCE_EXHAUSTED|oom[-_]kill|Segmentation fault|core dumped|Bus error|No space left on device|"
    r"DUE TO TIME LIMIT|CANCELLED AT|^Killed\b", re.IGNORECASE,
)  # fmt: skip
"""What a training is ended by without an exception of its own, or whatever stands before it."""
BAR = "%|"  # what a progress bar has behind its description
NAMES = {"total_loss": "loss", "lr": "learning_rate", "Learning_Rate": "learning_rate"}
LONGEST_PAUSE_S = 3600.0  # between two logged lines; a longer one is no training time


def our_name(name: str) -> str:
    """`train/total_loss` -> `loss`: the name under which we log the same thing."""
    name = re.sub(r"^val(?:idation)?/", "validation/", name.removeprefix("train/"))
    return NAMES.get(name, name)


def read_text_log(path: Path, name: str) -> list[Run]:
    """Every training in a file. Raises UserError if there is none, MissingFileError if there is no file."""
    content = read_bytes(path, "name a text log or a TensorBoard file as --log", most=LINES_BYTES)
    trainings = parse_lines(re.split(r"[\r\n]+", content.decode("utf-8", errors="replace")))
    if not trainings:
        raise UserError(
            f"{path} holds no line such as `[Train Step] 100/150000: train/total_loss: 1.23`; give a log of the PyTorch "
            "original, or a TensorBoard file whose name contains `tfevents`, as --log"
        )
    if len(trainings) == 1:
        return [as_run(name, path, trainings[0])]
    runs = []
    for number, training in enumerate(trainings, start=1):
        if number < len(trainings) and training.error is None:
            training.events.append({"step": training.rows[-1]["step"], "event": "followed", "time": None})
        sentence = f"{path.name} holds {len(trainings)} trainings; this is part {number}."
        runs.append(as_run(f"{name}, part {number}", path, training).with_problems(sentence))
    return runs


@dataclass
class Training:
    """Rows of one training in a log, and the exception that was printed after the last of them, if any."""

    rows: list[Row]
    error: str | None = None
    events: list[Row] = field(default_factory=list)


def parse_lines(lines: list[str]) -> list[Training]:
    """The trainings in the order of the file.

    Progress bars count only where no logger wrote: they say the same again, and may come out of turn.
    """
    entries = [entry for line in lines for entry in parse_line(line)]
    if any(isinstance(entry, dict) and not entry["bar"] for entry in entries):
        entries = [entry for entry in entries if isinstance(entry, str) or not entry["bar"]]
    trainings: list[Training] = []
    for entry in entries:
        if isinstance(entry, dict):
            if not trainings or starts_anew(trainings[-1].rows, entry):
                trainings.append(Training([]))
            add_row(trainings[-1], entry)
        elif trainings and not (trainings[-1].error and KILLED.search(trainings[-1].error)):
            trainings[-1].error = entry  # a killed training's launcher prints errors of its own after it
    return trainings


def parse_line(line: str) -> list[Row | str]:
    """The rows in a line, or the exception that it names, or nothing."""
    found = list(STEP.finditer(line))
    if not found:
        told = RANK.sub("", line.strip())
        return [told] if ERROR.match(told) or KILLED.search(told) or TRACEBACK in told else []
    when, rows = _seconds(TIME.search(line[: found[0].start()])), []
    for one, following in pairwise([*found, None]):
        text = line[one.end() : following.start() if following else None]
        row = parse_row(one, text)
        if row is not None:
            rows.append(row | {"when": when, "bar": BAR in text})
    return rows


def add_row(training: Training, row: Row) -> None:
    """Append; what only repeats or completes the last row is merged with it."""
    if training.error is not None:  # it went on
        row, training.error = row | {"after": training.error}, None
    last = training.rows[-1] if training.rows else {}
    shared = metrics(last).keys() & metrics(row).keys()
    if last and last["step"] == row["step"] and all(last[name] == row[name] for name in shared):
        training.rows[-1] = row | last
    else:
        training.rows.append(row)


def parse_row(found: re.Match, text: str) -> Row | None:
    """The metrics behind a step; None if there are none (a line that was cut off)."""
    values = {our_name(name): float(value) for name, value in PAIR.findall(text)}
    return {"step": int(found[1]), "planned": int(found[2]), **values} if values else None


def metrics(row: Row) -> Row:
    """A row without what is no metric."""
    return {name: value for name, value in row.items() if name not in KEYS}


def starts_anew(rows: list[Row], row: Row) -> bool:
    """Whether a row belongs to another training than the rows before it: other plan and metrics, or from the start."""
    last, first = rows[-1], rows[0]
    if row["planned"] != last["planned"]:
        return True
    return row["step"] < last["step"] and (
        row["step"] <= first["step"] or not metrics(row).keys() & metrics(last).keys()
    )


def as_run(name: str, path: Path, training: Training) -> Run:
    """One training as a run; the time is what the logger's stamps add up to, without long pauses."""
    planned = training.rows[-1]["planned"]
    rows, resumes = cut_back(training.rows)
    times = _training_times([row["when"] for row in rows])
    kind = kind_of({key for row in rows for key in row})
    timed = [row | {"time_s": seconds, "phase": phase_of(row, kind)} for row, seconds in zip(rows, times, strict=True)]
    begun = training.rows[0]
    events: list[Row] = [{"step": 0, "time": _iso(begun["when"]), "event": "started", "steps": planned}]
    for one in resumes:
        again = {key: (one.old[key], one.new[key]) for key in metrics(one.old).keys() & metrics(one.new).keys()}
        reason = {"reason": one.new["after"]} if "after" in one.new else {}
        events.append({"step": one.reached, "time": None, "event": "broke off", **reason})
        event = {"step": one.step, "time": _iso(one.new["when"]), "event": "resumed", "steps": planned}
        events.append(event | ({"repeated": {"step": one.at, **again}} if again else {}))
    events += training.events
    if training.error is not None:
        events.append({"step": rows[-1]["step"], "event": "failed", "reason": training.error, "time": None})
    return Run(
        name=name, path=path, origin="text log", kind=kind, series=columns(timed)[0], events=tuple(events), planned=planned,
        last_step=rows[-1]["step"], seconds=next((s for s in reversed(times) if s is not None), None),
        written=path.stat().st_mtime,
    )  # fmt: skip


def phase_of(row: Row, kind: str) -> str:
    """The original logs by `disc_factor` whether the discriminator takes part."""
    if kind == "vae":
        return "vae_gan" if row.get("disc_factor", 0.0) > 0 else "vae"
    return kind if kind == "ldm" else ""


def kind_of(names: set[str]) -> str:
    """ "vae" or "ldm" by the names of what is logged."""
    if names & {"kl_loss", "disc_loss", "nll_loss"}:
        return "vae"
    return "ldm" if names & {"loss_simple", "loss_vlb", "loss_c", "loss_noise"} else "unknown"


def _seconds(found: re.Match | None) -> float | None:
    if found is None:
        return None
    try:
        when = datetime.fromisoformat(f"{found[1]}T{found[2]}").replace(tzinfo=UTC)
    except ValueError:
        return None
    return when.timestamp() + float(f"0.{found[3] or 0}")


def _iso(seconds: float | None) -> str | None:
    # Stamps of a log have no time zone, so none is claimed.
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()


def _training_times(stamps: list[float | None]) -> list[float | None]:
    """Seconds since the first stamp, without pauses and without going back; None where there is no stamp."""
    total, before, found = 0.0, None, []
    for stamp in stamps:
        if stamp is not None:
            step = 0.0 if before is None else stamp - before
            total += step if 0 <= step <= LONGEST_PAUSE_S else 0.0
            before = stamp
        found.append(None if stamp is None else total)
    return found


def read_tensorboard(path: Path, name: str) -> Run:
    """The scalars of an event file, or of a folder of them. A later session's values replace those it repeats.

    Raises UserError without the package, and for a file that holds no scalars; MissingFileError if there is none.
    """
    for file in sorted(path.rglob("*tfevents*")) if path.is_dir() else [path]:
        check_file(file, "name a text log or a TensorBoard file as --log")
    try:
        from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator
    except ImportError as error:
        raise UserError(
            f"{path} is a TensorBoard file, and the package that reads it is not installed: type "
            "`pip install -e '.[tensorboard]'`"
        ) from error
    reader = EventAccumulator(str(path), size_guidance={SCALARS: 0}, purge_orphaned_data=False)
    try:
        reader.Reload()
        scalars: dict[str, list[Any]] = {tag: reader.Scalars(tag) for tag in reader.Tags()[SCALARS]}
    except Exception as error:  # the package raises many kinds
        raise UserError(f"{path} cannot be read as a TensorBoard file ({error})") from error
    if not scalars:
        raise UserError(
            f"{path} holds no TensorBoard scalars; give a file that the training's SummaryWriter has written"
        )
    begin = min(events[0].wall_time for events in scalars.values())
    series, resumes = {}, {}
    for tag, events in scalars.items():
        series[our_name(tag)], found = as_series(events, begin)
        resumes |= {step: 0 for step in found}
    return Run(
        name=name,
        path=path,
        origin="TensorBoard file",
        kind=kind_of(set(series)),
        series=series,
        events=(_event(0, "started", begin), *(_event(step, "resumed") for step in sorted(resumes))),
        last_step=int(max(one.steps[-1] for one in series.values())),
        seconds=float(max(one.seconds[-1] for one in series.values())),
        written=max(map(modified, path.rglob("*tfevents*") if path.is_dir() else [path]), default=0.0),
    )


def _event(step: int, name: str, seconds: float | None = None) -> Row:
    when = None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
    return {"step": step, "event": name, "time": when}


def as_series(events: list[Any], begin: float) -> tuple[Series, list[int]]:
    """(values by rising steps, steps after which the training went on from an earlier one)."""
    kept: list[Any] = []
    resumes = []
    for event in sorted(events, key=lambda event: event.wall_time):
        if kept and event.step <= kept[-1].step:
            while kept and kept[-1].step >= event.step:
                kept.pop()
            resumes.append(kept[-1].step if kept else 0)
        kept.append(event)
    times = np.array([event.wall_time - begin for event in kept])
    pauses = np.diff(times, prepend=0.0)
    steps = np.array([event.step for event in kept], dtype=np.float64)
    values = np.array([event.value for event in kept], dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    seconds = np.cumsum(np.where(pauses > LONGEST_PAUSE_S, 0.0, pauses))
    return Series(steps, seconds, values, np.full(len(kept), "", dtype=object)), resumes
