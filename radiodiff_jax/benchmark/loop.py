"""What the training loop adds to the bare compiled update, and how long a checkpoint holds it up."""

import contextlib
import io
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import grain
import jax
import numpy as np

from radiodiff_jax.benchmark.job import Job, Row
from radiodiff_jax.benchmark.updates import Update, vae_update, whole_batches
from radiodiff_jax.benchmark.weights import random_batch
from radiodiff_jax.training.loop import train
from radiodiff_jax.training.vae_task import make_vae_task

SECONDS = 30.0  # that the updates of a loop may take
FEWEST, MOST = 16, 200
NEVER = 10**9


def measure_loop_overhead(job: Job) -> dict[str, Row]:
    """The autoencoder's training on maps in memory, against the same update called on one batch again and again.

    Four checkpoints begin during the loop, and half-way between them the loop is held for some bare updates, so that
    both are timed under the same load.
    """
    config = whole_batches(job.vae)
    batch = job.update_batch(config)
    update, task = vae_update(config, job.ldm, batch), make_vae_task(config)
    updates = int(min(max(SECONDS / update.measure(3)["median_s"], FEWEST), MOST))
    every = updates // 4
    settings = replace(
        config.training, steps=updates, batch_size=batch, log_every=min(50, updates // 2),
        validate_every=NEVER, sample_every=NEVER, checkpoint_every=every,
    )  # fmt: skip
    config = replace(config, training=settings)
    bare: list[float] = []
    begun: dict[int, float] = {}
    ended: dict[int, float] = {}

    def phase(number: int) -> str:  # the loop asks at the beginning of every update
        if number not in begun:
            ended[number - 1] = time.perf_counter()
            if number % every == every // 2:
                update()
                bare.extend(seconds_of(update) for _ in range(max(every // 4, 2)))
            begun[number] = time.perf_counter()
        return task.phase(number)

    unseen = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(unseen), contextlib.redirect_stderr(unseen):
        batches = in_memory(random_batch(config, job.ldm, batch), batch)
        done = train(replace(task, phase=phase), config, Path(folder) / "run", batches=batches)
    if not done.finished:  # the loop takes Ctrl-C for a wish to save
        raise KeyboardInterrupt
    taken = [ended[number] - begun[number] for number in range(updates - 1)]
    return {"loop, vae": loop_row(taken, every, bare) | {"batch": batch}}


def seconds_of(update: Update) -> float:
    """How long one bare update takes."""
    start = time.perf_counter()
    jax.block_until_ready(update())
    return time.perf_counter() - start


def loop_row(taken: list[float], every: int, bare: list[float]) -> Row:
    """The row, from the seconds of each update, after how many a checkpoint begins, and seconds of bare updates.

    What a checkpoint adds is the time of the update that it follows and of the next one, less two median updates: the
    loop waits there for the update that the device is still at work on, and not in the next one.
    """
    alone, median = statistics.median(bare), statistics.median(taken[2:])  # the first one compiles
    stalls = [taken[saved - 1] + taken[saved] - 2 * median for saved in range(every, len(taken), every)]
    return {
        "bare_s": alone, "looped_s": median, "overhead_share": median / alone - 1,
        "stall_s": statistics.median(stalls), "longest_stall_s": max(stalls), "updates": len(taken) + 1,
    }  # fmt: skip


def in_memory(batch: dict[str, np.ndarray], count: int) -> grain.DatasetIterator:
    """The examples of a batch over and over, read ahead by one thread."""
    records = [{name: part[index] for name, part in batch.items()} for index in range(count)]
    batches = grain.MapDataset.source(records).seed(0).shuffle().repeat().batch(count)
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)))
