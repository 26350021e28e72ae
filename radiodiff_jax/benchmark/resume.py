"""From the start of a process that goes on with a run to its first finished update.

Run as a program, `python -m radiodiff_jax.benchmark.resume RUN CONFIG.yaml UPDATES` trains the autoencoder on maps in
memory until so many updates are done.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from radiodiff_jax.benchmark.job import Job, Row
from radiodiff_jax.config_files import read_config, write_config


def measure_resume(job: Job) -> dict[str, Row]:
    """Two processes one after the other, of one update each; the second is timed. This process leaves devices alone."""
    config, batch = job.vae, job.batch or (1 if job.heavy else job.vae.training.batch_size)
    with tempfile.TemporaryDirectory() as name:
        run, settings = Path(name) / "run", Path(name) / "settings.yaml"
        training = replace(config.training, steps=2, batch_size=batch, log_every=1)
        write_config(settings, replace(config, training=training, optimizer=replace(config.optimizer, accumulate=1)))
        for updates in ("1", "2"):
            start = time.time()
            command = [sys.executable, "-m", "radiodiff_jax.benchmark.resume", str(run), str(settings), updates]
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        # The loop writes a line of metrics as soon as an update is done, and here no other line after it.
        return {"resume, vae": {"resume_s": os.stat(run / "metrics.jsonl").st_mtime - start, "batch": batch}}


def main(run: str, settings: str, updates: str) -> None:
    """Train as the settings say, until so many updates are done."""
    from radiodiff_jax.benchmark.loop import in_memory
    from radiodiff_jax.benchmark.weights import random_batch
    from radiodiff_jax.config import LDMConfig
    from radiodiff_jax.training.loop import train
    from radiodiff_jax.training.session import Ways
    from radiodiff_jax.training.vae_task import make_vae_task

    config = read_config(Path(settings))
    batch = config.training.batch_size
    maps = random_batch(config, LDMConfig(image_size=config.image_size), batch)
    until = Ways(until=int(updates))
    train(make_vae_task(config), config, Path(run), batches=in_memory(maps, batch), ways=until)


if __name__ == "__main__":
    main(*sys.argv[1:])
