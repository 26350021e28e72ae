"""TensorBoard event files as a run, by the `tensorboard` package (which needs no TensorFlow)."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from radiodiff_jax.errors import UserError
from radiodiff_jax.reporting.runs.read_folder import written
from radiodiff_jax.reporting.runs.read_text_log import LONGEST_PAUSE_S, kind_of, our_name
from radiodiff_jax.reporting.runs.run import Row, Run, Series


def read_tensorboard(path: Path, name: str) -> Run:
    """The scalars of an event file, or of a folder of them. A later session's values replace those it repeats.

    Raises UserError without the package, and for a file that holds no scalars; FileNotFoundError if there is none.
    """
    path.stat()
    try:
        from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator
    except ImportError as error:
        raise UserError(
            f"{path} is a TensorBoard file, and the package that reads it is not installed: type "
            "`pip install 'radiodiff-jax[tensorboard]'`"
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
        written=max(map(written, path.rglob("*tfevents*") if path.is_dir() else [path]), default=0.0),
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
