"""A run folder (see training/run_folder.py) as a Run, whatever state its files are in: this never raises for content."""

import json
from pathlib import Path
from typing import Any

from radiodiff_jax.config_files import read_yaml
from radiodiff_jax.errors import UserError
from radiodiff_jax.reporting.runs.run import Row, Run, Sample, columns, cut_back, is_number
from radiodiff_jax.reporting.runs.words import KINDS

GROWING = ("metrics.jsonl", "events.jsonl")
MARKS = ("config.yaml", *GROWING, "run.json")
SHOWN = 3  # damaged lines that are named


def is_run_folder(path: Path) -> bool:
    """Whether there is anything of a run in a folder."""
    return path.is_dir() and any((path / name).is_file() for name in MARKS)


def input_files(path: Path) -> list[Path]:
    """Every file that the page of a run folder is made from."""
    single = [path / name for name in MARKS]
    many = [path.glob("samples/[0-9]*.*"), path.glob("evaluation/*.*")]
    return [*(one for one in single if one.is_file()), *sorted(one for some in many for one in some)]


def read_folder(path: Path) -> Run:
    """Read everything but pictures."""
    rows, problems = read_records(path / "metrics.jsonl")
    events, more = read_records(path / "events.jsonl")
    problems += more
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
    steps = [row["step"] for row in rows] + [event["step"] for event in events if is_number(event.get("step"))]
    seconds = [row["time_s"] for row in rows if is_number(row.get("time_s"))]
    return Run(
        name=path.name,
        path=path,
        origin="run folder",
        kind=next((kind for kind in (details.get("kind"), (settings or {}).get("kind")) if kind in KINDS), "unknown"),
        series=series,
        events=tuple(event for event in events if isinstance(event.get("event"), str)),
        settings=settings,
        details=details,
        planned=planned_steps(settings, events),
        last_step=int(max(steps, default=0)),
        seconds=max(seconds, default=None),
        samples=find_samples(path / "samples"),
        evaluations=tuple(sorted((path / "evaluation").glob("*.json"))),
        written=max((written(path / name) for name in GROWING), default=0.0),
        problems=tuple(problems),
    )


def read_records(path: Path) -> tuple[list[Row], list[str]]:
    """(the objects of a JSON lines file, sentences about what is missing or damaged)."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], [f"There is no {path.name} yet."]
    except OSError as error:
        return [], [f"{path.name} cannot be read ({error.strerror})."]
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
        named = ", ".join(map(str, bad[:SHOWN])) + (", ..." if len(bad) > SHOWN else "")
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
    if not path.is_file():
        return None, ["There is no config.yaml, so the settings are not known."]
    try:
        return read_yaml(path), []
    except UserError as error:
        return None, [f"{error}."]


def read_details(path: Path) -> tuple[dict[str, Any], list[str]]:
    """(run.json, or nothing, with a sentence why)."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}, ["There is no run.json, so the environment is not known."]
    except (OSError, ValueError, RecursionError) as error:
        return {}, [f"run.json cannot be read ({error})."]
    return (found, []) if isinstance(found, dict) else ({}, ["run.json holds no object."])


def planned_steps(settings: dict[str, Any] | None, events: list[Row]) -> int | None:
    """Steps that the newest session was asked for, else those in the settings."""
    asked = [event["steps"] for event in events if is_number(event.get("steps"))]
    training = (settings or {}).get("training")
    configured = training.get("steps") if isinstance(training, dict) else None
    if asked:
        return int(asked[-1])
    return int(configured) if is_number(configured) else None


def find_samples(folder: Path) -> tuple[Sample, ...]:
    """The samples by step; arrays lie beside the picture as STEP.npz."""
    found = [
        Sample(int(picture.stem), picture, arrays if (arrays := picture.with_suffix(".npz")).is_file() else None)
        for picture in folder.glob("*.png")
        if picture.stem.isdecimal()
    ]
    return tuple(sorted(found, key=lambda sample: sample.step))


def written(path: Path) -> float:
    """When a file changed last, seconds since 1970; 0 if there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
