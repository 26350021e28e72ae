"""What the training loop adds to the bare compiled update, and how long a checkpoint holds it up."""

import contextlib
import io
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import grain
import numpy as np

from radiodiff_jax.benchmark.job import Job, Row
from radiodiff_jax.benchmark.updates import Update, ldm_update, vae_update, whole_batches
from radiodiff_jax.benchmark.weights import random_batch, random_frozen
from radiodiff_jax.config import Config
from radiodiff_jax.training.ldm_task import make_ldm_task
from radiodiff_jax.training.loop import train
from radiodiff_jax.training.task import Task, Tree
from radiodiff_jax.training.vae_task import make_vae_task

SECONDS = 30.0  # that the updates of a loop may take
FEWEST, MOST = 16, 200
NEVER = 10**9


def measure_loop_overhead(job: Job) -> dict[str, Row]:
    """The loop of both trainings on maps in memory, against the same update called on one batch again and again."""
    vae, ldm = whole_batches(job.vae), whole_batches(job.ldm)
    vae_batch, ldm_batch = job.update_batch(vae), job.update_batch(ldm)
    frozen = random_frozen(ldm, vae, encoder=True)
    return {
        "loop, vae": overhead(make_vae_task(vae), vae, job, {}, vae_update(vae, ldm, vae_batch), vae_batch),
        "loop, ldm": overhead(
            make_ldm_task(ldm, vae), ldm, job, frozen, ldm_update(ldm, vae, ldm_batch, cached=False), ldm_batch
        ),
    }


def overhead(task: Task, config: Config, job: Job, frozen: Tree, update: Update, batch: int) -> Row:
    """The bare update before and after, the loop in between; medians of updates.

    Four checkpoints begin during the loop. What one adds is the time of the update before and of the one after, less
    two median updates: the loop waits there for the update that the device is still at work on.
    """
    before = update.measure(FEWEST)["median_s"]
    updates = int(min(max(SECONDS / before, FEWEST), MOST))
    settings = replace(
        config.training, steps=updates, batch_size=batch, log_every=min(50, updates // 2),
        validate_every=NEVER, sample_every=NEVER, checkpoint_every=updates // 4,
    )  # fmt: skip
    config = replace(config, training=settings)
    begun: dict[int, float] = {}

    def phase(number: int) -> str:  # the loop asks at the beginning of every update
        begun.setdefault(number, time.perf_counter())
        return task.phase(number)

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        source = random_batch(config, job.ldm, batch)
        train(replace(task, phase=phase), config, Path(folder) / "run", batches=in_memory(source, batch), frozen=frozen)
    after = update.measure(FEWEST)["median_s"]
    return loop_row(begun, settings.checkpoint_every, (before + after) / 2) | {"batch": batch}


def loop_row(begun: dict[int, float], every: int, bare: float) -> Row:
    """The row, from when each update began, how often a checkpoint was saved, and seconds of the bare update."""
    times = [begun[number] for number in sorted(begun)]
    # The first update compiles, and the one after it finds the device idle.
    taken = [later - earlier for earlier, later in zip(times[2:], times[3:], strict=False)]
    median = statistics.median(taken)
    saves = [n for n in range(every, len(times) - 1, every) if n > 2]
    stalls = [times[n + 1] - times[n - 1] - 2 * median for n in saves]
    return {
        "bare_s": bare, "looped_s": median, "overhead_share": median / bare - 1,
        "stall_s": statistics.median(stalls), "longest_stall_s": max(stalls), "updates": len(times),
    }  # fmt: skip


def in_memory(batch: dict[str, np.ndarray], count: int) -> grain.DatasetIterator:
    """The examples of a batch over and over, read ahead by one thread."""
    records = [{name: part[index] for name, part in batch.items()} for index in range(count)]
    batches = grain.MapDataset.source(records).seed(0).shuffle().repeat().batch(count)
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)))
