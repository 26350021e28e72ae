"""A training as its page needs it, and a run folder (see training/run_folder.py) read as one.

Readers never raise for what a file holds: what cannot be read is a sentence in `Run.problems`.
"""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from radiodiff_jax.config import CONFIG_TYPES
from radiodiff_jax.config_files import field_types, read_yaml, section_types
from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.evaluation_files import is_number
from radiodiff_jax.limits import LINES_BYTES
from radiodiff_jax.reading import (
    DamagedFileError,
    MissingFileError,
    is_there,
    is_value,
    read_bytes,
    read_json,
    read_text,
)
from radiodiff_jax.reporting.markdown import as_text
from radiodiff_jax.training.run_files import EventRecord, RunRecord

Row = dict[str, Any]
KINDS = {"vae": "autoencoder", "generator": "generator", "ldm": "diffusion model", "unknown": "other"}
"""What a run trains; "ldm" is what the first versions called their latent diffusion."""
KEYS = ("step", "phase", "time_s", "planned", "when", "bar", "after")  # of a row; every other key is a metric
RUN_FOLDER = "run folder"  # origin of a run of ours


@dataclass(frozen=True)
class Series:
    """One metric: `values` [n] after `steps` [n] updates and `seconds` [n] of training (NaN: not known), in `phases` [n].

    Values that are no finite number are NaN.
    """

    steps: np.ndarray
    seconds: np.ndarray
    values: np.ndarray
    phases: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    def where(self, chosen: np.ndarray) -> "Series":
        """The entries that a mask or slice chooses."""
        return Series(self.steps[chosen], self.seconds[chosen], self.values[chosen], self.phases[chosen])

    def finite(self) -> "Series":
        """Without NaN."""
        return self.where(np.isfinite(self.values))


@dataclass(frozen=True)
class Sample:
    """What the model made of the fixed validation maps after `step` updates: a picture and, where there are, arrays."""

    step: int
    picture: Path
    arrays: Path | None


@dataclass(frozen=True)
class Run:
    """One training. Everything that could not be read is a sentence in `problems`."""

    name: str
    path: Path
    origin: str  # RUN_FOLDER, "text log" or "TensorBoard file"
    kind: str = "unknown"  # one of KINDS
    series: dict[str, Series] = field(default_factory=dict)
    events: tuple[Row, ...] = ()
    settings: dict[str, Any] | None = None  # as in config.yaml
    details: dict[str, Any] = field(default_factory=dict)  # as in run.json
    planned: int | None = None  # steps
    last_step: int = 0
    seconds: float | None = None  # of training, all sessions
    samples: tuple[Sample, ...] = ()
    evaluations: tuple[Path, ...] = ()
    written: float = 0.0  # when its newest line was written, seconds since 1970
    notes: str = ""  # what somebody wrote about it, paragraphs with empty lines between
    problems: tuple[str, ...] = ()

    def metric(self, name: str) -> Series:
        """The finite values of a metric; an empty series if there are none."""
        return self.series[name].finite() if name in self.series else EMPTY

    @property
    def parameters(self) -> int | None:
        """Number of parameters of all networks that are trained."""
        counts = self.details.get("parameters")
        total = counts.get("total") if isinstance(counts, dict) else None
        return int(total) if is_number(total) else None

    def with_problems(self, *sentences: str) -> "Run":
        """The run with further problems."""
        return replace(self, problems=(*self.problems, *sentences))


EMPTY = Series(*(np.empty(0) for _ in range(3)), np.empty(0, dtype=object))


def columns(rows: list[Row]) -> tuple[dict[str, Series], list[str]]:
    """({metric: Series} of rows that all have a "step", names of metrics that hold something else than numbers)."""
    steps = np.array([row["step"] for row in rows], dtype=np.float64)
    seconds = np.array([_or_nan(row.get("time_s")) for row in rows], dtype=np.float64)
    phases = np.array([str(row.get("phase") or "") for row in rows], dtype=object)
    names = dict.fromkeys(name for row in rows for name in row)
    found, odd = {}, []
    for name in names:
        if name in KEYS:
            continue
        chosen = [number for number, row in enumerate(rows) if name in row]
        try:
            values = np.array([rows[number][name] for number in chosen], dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            odd.append(name)
            continue
        values[~np.isfinite(values)] = np.nan
        found[name] = Series(steps[chosen], seconds[chosen], values, phases[chosen])
    return found, odd


def _or_nan(value: Any) -> float:
    return value if is_number(value) else math.nan


@dataclass(frozen=True)
class Repeated:
    """A resume in a log whose steps go back from `reached` to after `step`; `old` and `new` are the rows of step `at`."""

    reached: int
    step: int
    at: int | None
    old: Row
    new: Row


def repeats(row: Row, last: Row) -> bool:
    """Whether a row does not go on from the one before it."""
    if row["step"] != last["step"]:
        return row["step"] < last["step"]
    return bool((row.keys() & last.keys()).difference(KEYS))


def cut_back(rows: Iterable[Row]) -> tuple[list[Row], list[Repeated]]:
    """Rows in rising order of steps: where they go back or log a metric of a step again, what is repeated is dropped."""
    kept: list[Row] = []
    resumes: list[Repeated] = []
    for row in rows:
        if kept and repeats(row, kept[-1]):
            again, reached = {}, kept[-1]["step"]
            while kept and kept[-1]["step"] >= row["step"]:
                old = kept.pop()
                again = old | again if old["step"] == row["step"] else again
            before = kept[-1]["step"] if kept else 0
            resumes.append(Repeated(reached, before, row["step"] if again else None, again, row))
        kept.append(row)
    return kept, resumes


GROWING = ("metrics.jsonl", "events.jsonl")
FILES = ("config.yaml", *GROWING, "run.json")
NOTES = "notes.txt"  # of people, about the run; its page shows them
NO_CURE = "leave it"  # taken off again: the page has no advice
SECTIONS = {
    name for root in CONFIG_TYPES.values() for name, kind in field_types(root).items() if section_types(kind)
}
LINES_NAMED = 3  # damaged lines whose numbers are given


def is_run_folder(path: Path) -> bool:
    """Whether there is anything of a run in a folder."""
    return path.is_dir() and any((path / name).is_file() for name in FILES)


def input_files(path: Path) -> list[Path]:
    """Every file that the page of a run folder is made from."""
    single = [path / name for name in (*FILES, NOTES)]
    many = [path.glob("samples/[0-9]*.*"), path.glob("evaluation/*.*")]
    return [*(one for one in single if one.is_file()), *sorted(one for some in many for one in some)]


def read_folder(path: Path) -> Run:
    """Read everything but pictures."""
    rows, problems = read_records(path / "metrics.jsonl")
    told, more = read_records(path / "events.jsonl")
    problems += more
    events = [event for event in told if is_value(event, EventRecord)]
    if len(events) < len(told):
        problems.append(f"{_lines(len(told) - len(events))} of events.jsonl are no events and were left out.")
    usable = [row for row in rows if is_number(row.get("step"))]
    if len(usable) < len(rows):
        problems.append(f"{_lines(len(rows) - len(usable))} of metrics.jsonl name no step and were left out.")
    rows, backwards = cut_back(usable)
    if backwards:
        problems.append(f"The steps in metrics.jsonl go back {len(backwards)} times; what is repeated was left out.")
    series, odd = columns(rows)
    if odd:
        problems.append(f"Left out, because they are no numbers: {', '.join(odd)}.")
    settings, sentence = read_settings(path / "config.yaml")
    problems += sentence
    details, sentence = read_details(path / "run.json")
    problems += sentence
    notes, sentence = read_notes(path / NOTES)
    problems += sentence
    steps = [row["step"] for row in rows] + [event["step"] for event in events if is_number(event.get("step"))]
    seconds = [row["time_s"] for row in rows if is_number(row.get("time_s"))]
    return Run(
        name=as_text(path.name),
        path=path,
        origin=RUN_FOLDER,
        kind=next((kind for kind in (details.get("kind"), (settings or {}).get("kind")) if kind in KINDS), "unknown"),
        series=series,
        events=tuple(events),
        settings=settings,
        details=details,
        planned=planned_steps(settings, events),
        last_step=int(max(steps, default=0)),
        seconds=max(seconds, default=None),
        samples=find_samples(path / "samples"),
        evaluations=tuple(sorted((path / "evaluation").glob("*.json"))),
        written=written_at(path, events),
        notes=notes,
        problems=tuple(problems),
    )


def read_records(path: Path) -> tuple[list[Row], list[str]]:
    """(the objects of a JSON lines file, sentences about what is missing or damaged)."""
    try:
        lines = read_bytes(path, NO_CURE, most=LINES_BYTES).split(b"\n")
    except MissingFileError:
        return [], [f"There is no {path.name} yet."]
    except DamagedFileError as error:
        return [], [as_problem(path, error)]
    last, lines = lines[-1], [line for line in lines[:-1] if line.strip()]
    problems = [f"The last line of {path.name} is unfinished and was left out."] if last.strip() else []
    try:
        found = json.loads(b"[" + b",".join(lines) + b"]")  # one call: several times as quick as one a line
    except (ValueError, RecursionError):
        found = []
    if len(found) != len(lines):
        found = [_parsed(line) for line in lines]
    bad = [number for number, value in enumerate(found, start=1) if not isinstance(value, dict)]
    if bad:
        named = ", ".join(map(str, bad[:LINES_NAMED])) + (", ..." if len(bad) > LINES_NAMED else "")
        problems.append(f"{_lines(len(bad))} of {path.name} ({named}) could not be read and were left out.")
    return [value for value in found if isinstance(value, dict)], problems


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"


def read_settings(path: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """(config.yaml as nested mappings, or None, with a sentence why)."""
    if not is_there(path):
        return None, ["There is no config.yaml, so the settings are not known."]
    try:
        found = read_yaml(path)
    except UserError as error:
        return None, [f"{error}."]
    odd = [name for name in sorted(SECTIONS & found.keys()) if not isinstance(found[name], dict)]
    return (None, [f"config.yaml is damaged: {odd[0]} is no section of settings."]) if odd else (found, [])


def read_details(path: Path) -> tuple[dict[str, Any], list[str]]:
    """(run.json, or nothing, with a sentence why)."""
    try:
        return read_json(path, RunRecord, NO_CURE), []
    except MissingFileError:
        return {}, ["There is no run.json, so the environment is not known."]
    except DamagedFileError as error:
        return {}, [as_problem(path, error)]


def as_problem(path: Path, error: UserError) -> str:
    """What is wrong with a file of the run, as a sentence of its page."""
    text = str(error).removesuffix(f"; {NO_CURE}").replace(f"{path} is damaged", f"{path.name} cannot be read")
    return f"{text.replace(str(path), path.name)}."


def read_notes(path: Path) -> tuple[str, list[str]]:
    """(notes.txt, a sentence where it cannot be read)."""
    try:
        return (read_text(path, NO_CURE).strip(), []) if is_there(path) else ("", [])
    except UserError as error:
        return "", [as_problem(path, error)]


def written_at(path: Path, events: list[Row]) -> float:
    """When a run was finished, seconds since 1970, else when its files changed last: a copy's files are all new."""
    try:
        if events and events[-1]["event"] == "finished":
            return datetime.fromisoformat(events[-1]["time"]).timestamp()
    except (KeyError, TypeError, ValueError, OverflowError):
        pass
    return max((modified(path / name) for name in GROWING), default=0.0)


def planned_steps(settings: dict[str, Any] | None, events: list[Row]) -> int | None:
    """Steps that the newest session was to reach, else those in the settings."""
    planned = [event["steps"] for event in events if is_number(event.get("steps"))]
    training = (settings or {}).get("training")
    configured = training.get("steps") if isinstance(training, dict) else None
    if planned:
        return int(planned[-1])
    return int(configured) if is_number(configured) else None


def find_samples(folder: Path) -> tuple[Sample, ...]:
    """The samples by step; arrays lie beside the picture as STEP.npz."""
    found = [
        Sample(int(picture.stem), picture, arrays if (arrays := picture.with_suffix(".npz")).is_file() else None)
        for picture in folder.glob("*.png")
        if re.fullmatch("[0-9]{1,18}", picture.stem)
    ]
    return tuple(sorted(found, key=lambda sample: sample.step))


def modified(path: Path) -> float:
    """When a file changed last, seconds since 1970; 0 if there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
