"""Run pages that follow their runs: made anew while these are written."""

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from radiodiff_jax.reporting.runs.refresh import (
    ReportSettings,
    Source,
    attempt,
    is_stale,
    read_summaries,
    source_digest,
    write_overviews,
)
from radiodiff_jax.reporting.runs.run import input_files, modified

POLL_S = 3.0
REST = 9.0  # times as long as its page took to make, a run is left alone: watching takes a tenth of a core at most
CURVES_REST_S = 60.0  # and so long where only logged steps were added: the curves of an open page follow by themselves


def watch(find_sources: Callable[[], list[Source]], settings: ReportSettings, polls: int | None = None) -> None:
    """Poll, refresh, print a line a refresh; `polls` ends it after so many (for ever without).

    A source that vanishes, also while it is read, is passed over.
    """
    due: dict[Path, float] = {}
    drawn: dict[Path, tuple[float, list]] = {}
    reported: dict[Path, str] = {}
    done = 0
    while polls is None or done < polls:
        done += 1
        changed, kept = False, read_summaries(settings.folder)
        for source in find_sources():
            begin = time.monotonic()
            if begin < due.get(source.path, 0.0) or not needs_refresh(source, settings, kept):
                continue
            beside = other_files(source)
            before, shown = drawn.get(source.path, (-CURVES_REST_S, []))
            if beside == shown and begin < before + CURVES_REST_S:
                continue
            summaries, sentence = attempt(source, settings)
            took = time.monotonic() - begin
            due[source.path] = begin + took * (1 + REST)
            if source.kind == "folder" and any(summary["curves"] for summary in summaries):
                drawn[source.path] = (begin, beside)
            changed = changed or bool(summaries)
            for summary in summaries:
                print(f"{datetime.now():%H:%M:%S}  {describe(summary)}, page made in {took:.1f} s", flush=True)
            if sentence and reported.get(source.path) != sentence:
                print(f"{datetime.now():%H:%M:%S}  {sentence}", flush=True)
                reported[source.path] = sentence
        if changed:
            write_overviews(settings)
        if polls is None or done < polls:
            time.sleep(POLL_S)


def other_files(source: Source) -> list[tuple[str, float]]:
    """Names and times of what a run's page shows beside logged steps: events, samples, evaluations, settings."""
    return [(str(path), modified(path)) for path in input_files(source.path) if path.name != "metrics.jsonl"]


def needs_refresh(source: Source, settings: ReportSettings, kept: dict[str, dict[str, Any]]) -> bool:
    """Whether its pages are out of date; not if it is gone."""
    try:
        digest = source_digest(source, settings.presets)
    except FileNotFoundError:
        return False
    return is_stale(source, digest, kept, settings.folder, time.time())


def describe(summary: dict[str, Any]) -> str:
    """`vae: running, step 120 of 500`."""
    planned = f" of {summary['planned']}" if summary["planned"] else ""
    return f"{summary['name']}: {summary['state']}, step {summary['step']}{planned}"
