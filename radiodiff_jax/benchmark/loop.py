"""What the training loop adds to the bare compiled update, how long a checkpoint holds it up, and going on with a run.

Run as a program, `python -m radiodiff_jax.benchmark.loop RUN SETTINGS UPDATES` trains the generator whose settings are
in that folder on maps in memory until so many updates are done.
"""

import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import grain
import jax
import numpy as np

from radiodiff_jax.benchmark.job import Job, Update, random_batch, simplified
from radiodiff_jax.benchmark.measure import Row
from radiodiff_jax.config_files import read_config, write_config
from radiodiff_jax.training.loop import train
from radiodiff_jax.training.session import SessionOptions
from radiodiff_jax.training.update import make_update

SECONDS = 30.0  # that the updates of a loop may take
FEWEST, MOST = 16, 240
HOLDS = 4
NEVER = 10**9


def measure_loop_overhead(job: Job) -> dict[str, Row]:
    """The generator's training on maps in memory, against the same update called on one batch again and again.

    The loop is held four times for some bare updates, so that both are timed under the same load; the half of the
    updates that follow, up to a logged step, are compared with them. Then a checkpoint begins.
    """
    config, batch = simplified(job.config), job.update_batch(job.config)
    update, task = job.generator_update(), make_update(job.composition)
    quarter = round(min(max(SECONDS / update.measure(3)["median_s"], FEWEST), MOST) / 4 / HOLDS)
    every = 4 * quarter
    settings = replace(
        config.training, steps=HOLDS * every + quarter, batch_size=batch, log_every=quarter,
        validate_every=NEVER, sample_every=NEVER, checkpoint_every=every,
    )  # fmt: skip
    config = replace(config, training=settings)
    times = Times(begun={}, ended={}, logged={}, bare=[])

    def phase(number: int) -> str:  # the loop asks at the beginning of every update, and again when it logs
        if number not in times.begun:
            times.ended[number - 1] = time.perf_counter()
            if number % every == quarter:
                jax.block_until_ready(update())
                times.bare.append(statistics.fmean(seconds_of(update) for _ in range(2 * quarter)))
            times.begun[number] = time.perf_counter()
        elif number + 1 not in times.begun:
            times.logged.setdefault(number, time.perf_counter())
        return task.phase(number)

    unseen = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(unseen), contextlib.redirect_stderr(unseen):
        batches = in_memory(random_batch(config, batch), batch)
        done = train(replace(task, phase=phase), config, Path(folder) / "run", batches=batches, frozen=job.frozen)
    if not done.finished:  # the loop takes Ctrl-C for a wish to save
        raise KeyboardInterrupt
    return {"loop": loop_row(times, quarter) | {"batch": batch}}


@dataclass(frozen=True)
class Times:
    """When (seconds) the loop began and ended each update by its number, when it had logged it; means of bare updates."""

    begun: dict[int, float]
    ended: dict[int, float]
    logged: dict[int, float]
    bare: list[float]


def seconds_of(update: Update) -> float:
    """How long one bare update takes."""
    start = time.perf_counter()
    jax.block_until_ready(update())
    return time.perf_counter() - start


def loop_row(times: Times, quarter: int) -> Row:
    """The row, where the loop was held at every 4th `quarter` from the first on, and saved half-way between.

    The loop fetches the metrics of an update while the next one is under way, so that single updates cannot be told
    apart; but nothing is under way after a hold, nor once a step is logged. What a checkpoint adds is the time of the
    update that it follows, which is waited for, and of the next one, less two updates of the loop.
    """
    holds = [number for number in times.begun if number % (4 * quarter) == quarter and number + 2 * quarter in times.begun]
    looped = [(times.logged[held + 2 * quarter - 1] - times.begun[held]) / (2 * quarter) for held in holds]
    shares = [loop / bare - 1 for loop, bare in zip(looped, times.bare, strict=False)]
    alone = statistics.median(looped)
    stalls = [
        times.ended[saved] - times.begun[saved - 1] - 2 * alone
        for saved in range(4 * quarter, len(times.begun) - 1, 4 * quarter)
    ]  # fmt: skip
    return {
        "bare_s": statistics.median(times.bare), "looped_s": alone, "overhead_share": statistics.median(shares),
        "stall_s": statistics.median(stalls), "longest_stall_s": max(stalls), "updates": len(times.begun),
    }  # fmt: skip


def in_memory(batch: dict[str, np.ndarray], count: int) -> grain.DatasetIterator:
    """The examples of a batch over and over, read ahead by one thread."""
    records = [{name: part[index] for name, part in batch.items()} for index in range(count)]
    batches = grain.MapDataset.source(records).seed(0).shuffle().repeat().batch(count)
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)))


def measure_resume(job: Job) -> dict[str, Row]:
    """From the start of a process that goes on with a run to its first finished update.

    Two processes one after the other, of one update each; the second is timed. This process leaves devices alone.
    """
    batch = job.batch or (1 if job.large else job.config.training.batch_size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        training = replace(job.config.training, steps=2, batch_size=batch, log_every=1)
        write_config(folder / "generator.yaml", simplified(replace(job.config, training=training)))
        if job.autoencoder is not None:
            write_config(folder / "vae.yaml", job.autoencoder)
        for updates in ("1", "2"):
            start = time.time()
            command = [sys.executable, "-m", "radiodiff_jax.benchmark.loop", str(folder / "run"), name, updates]
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        # The loop writes a line of metrics as soon as an update is done, and here no other line after it.
        return {"resume": {"resume_s": os.stat(folder / "run" / "metrics.jsonl").st_mtime - start, "batch": batch}}


def main(run: str, settings: str, updates: str) -> None:
    """Train as the settings say, until so many updates are done."""
    config, vae = read_config(Path(settings) / "generator.yaml"), Path(settings) / "vae.yaml"
    job, count = Job(config, read_config(vae) if vae.is_file() else None), config.training.batch_size
    train(
        make_update(job.composition), config, Path(run), batches=in_memory(random_batch(config, count), count),
        frozen=job.frozen, options=SessionOptions(until=int(updates)),
    )  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
