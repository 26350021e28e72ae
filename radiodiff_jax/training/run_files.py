"""The files of a run: their schemas, and those that grow by one JSON object a line and survive being cut off anywhere."""

import json
import math
import os
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from radiodiff_jax.files import telling_what_is_in_the_way, write_text
from radiodiff_jax.limits import LINES_BYTES
from radiodiff_jax.reading import (
    OPEN,
    AnyNumber,
    AnyObject,
    Count,
    Finite,
    is_there,
    read_bytes,
    read_json,
    read_json_lines,
)

Record = dict[str, Any]
LATEST, BEST = "latest", "best"  # of a run's checkpoints


class MetricRecord(TypedDict):
    """The schema of a line of metrics.jsonl; every further key is a metric, a number or null."""

    __pydantic_config__ = OPEN
    step: Count


class EventRecord(TypedDict):
    """The schema of a line of events.jsonl."""

    __pydantic_config__ = OPEN
    step: Count
    event: str
    time: NotRequired[str | None]
    steps: NotRequired[Count | None]
    seconds: NotRequired[AnyNumber | None]
    flops: NotRequired[AnyNumber | None]
    digest: NotRequired[str]
    reason: NotRequired[str]
    phase: NotRequired[str]
    changed: NotRequired[list[str]]
    devices: NotRequired[list[str]]
    repeated: NotRequired[AnyObject]


class IntervalRecord(TypedDict):
    """Of the metrics since the last logged step, see `progress.MetricAverager`."""

    count: Count
    sums: dict[str, AnyNumber]
    skipped: Count
    in_a_row: Count


class PatienceRecord(TypedDict):
    """Of early stopping, see `validation.Patience`."""

    best: AnyNumber | None
    step: Count
    count: Count


class MetaRecord(TypedDict):
    """The schema of what is recorded beside the state in a checkpoint, checkpoints/STEP/meta."""

    __pydantic_config__ = OPEN
    step: Count
    digests: dict[str, str]
    data: AnyObject
    rmse: AnyNumber | None
    settings: NotRequired[str]
    time_s: NotRequired[Finite]
    interval: NotRequired[IntervalRecord]
    patience: NotRequired[PatienceRecord]
    devices: NotRequired[list[str]]
    processes: NotRequired[Count]


class RunRecord(TypedDict):
    """The schema of run.json."""

    __pydantic_config__ = OPEN
    data_fingerprint: NotRequired[str | None]
    kind: NotRequired[str]
    command: NotRequired[str]
    started: NotRequired[str]
    git_commit: NotRequired[str | None]
    versions: NotRequired[dict[str, str]]
    devices: NotRequired[list[str]]
    processes: NotRequired[Count]
    parameters: NotRequired[dict[str, int]]


def read_metrics(run: Path) -> list[Record]:
    """The lines of RUN/metrics.jsonl. Raises UserError for a damaged one before the last."""
    return read_json_lines(run / "metrics.jsonl", MetricRecord)


def read_events(run: Path) -> list[Record]:
    """The lines of RUN/events.jsonl. Raises UserError for a damaged one before the last."""
    return read_json_lines(run / "events.jsonl", EventRecord)


def read_run_json(run: Path) -> dict[str, Any]:
    """RUN/run.json, nothing where there is none. Raises UserError for a damaged one."""
    path = run / "run.json"
    return read_json(path, RunRecord, "delete it to have it written again") if is_there(path) else {}


class JsonLines:
    """Appends to such a file; every line is whole and handed to the system when `append` returns."""

    def __init__(self, path: Path):
        self.path = path
        content = read_bytes(path, "move it away", most=LINES_BYTES) if is_there(path) else b""
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)

    def append(self, record: Record) -> None:
        """Add one object; numbers that are not finite become null."""
        with telling_what_is_in_the_way(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(_line(record))

    def cut_back(self, step: int) -> None:
        """Drop every object whose "step" is greater; the file is replaced whole."""
        kept = [record for record in read_json_lines(self.path, MetricRecord) if record["step"] <= step]
        write_text(self.path, "".join(map(_line, kept)))


def _line(record: Record) -> str:
    return json.dumps(_finite(record), allow_nan=False, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
