"""The one training loop: any task, any run folder, resumed to the same bits."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grain

from radiodiff_jax.config import Config
from radiodiff_jax.errors import UserError
from radiodiff_jax.training.checkpoints import Checkpoints, Restored
from radiodiff_jax.training.compiled import compile_task
from radiodiff_jax.training.devices import check_batch_size, device_mesh, replicate
from radiodiff_jax.training.distributed import barrier, is_main_process
from radiodiff_jax.training.interrupts import Interrupts
from radiodiff_jax.training.provenance import provenance
from radiodiff_jax.training.run_folder import RunFolder, check_folder, open_run
from radiodiff_jax.training.run_lock import run_lock
from radiodiff_jax.training.session import PLAIN, DrawSamples, Inputs, Session, SessionOptions, Summary
from radiodiff_jax.training.task import Task, Tree
from radiodiff_jax.training.validation import BatchSource


def train(
    task: Task,
    config: Config,
    run: Path,
    *,
    batches: grain.DatasetIterator,
    frozen: Tree | None = None,
    validation_batches: BatchSource | None = None,
    data_fingerprint: str | None = None,
    draw_samples: DrawSamples | None = None,
    extras: dict[str, Any] | None = None,
    options: SessionOptions = PLAIN,
) -> Summary:
    """Train `task` in the folder `run` until `config.training.steps` updates are done, going on from where it stands.

    `batches` is a Grain iterator of dictionaries of NumPy arrays, one of which makes an update; `frozen` is what the
    task reads and does not train; `validation_batches()` gives the fixed validation maps (see `validation.validate`);
    `draw_samples(path, truth, output, buildings, title)` makes a picture of some of them; `extras` go into run.json.

    Of several processes the first one writes. The first Ctrl-C or SIGTERM ends it after the update at hand, with a
    checkpoint. Raises UserError for a run folder that does not fit or that another process trains in, too many updates
    in a row without a finite loss, a full disk, or checkpoints none of which is good.
    """
    mesh = device_mesh()
    check_batch_size(config.training.batch_size, mesh)
    with disk_full_told(run), opened(run, config, data_fingerprint) as folder:
        settings = config.training
        compiled = compile_task(task, settings.seed, mesh, fsdp=settings.fsdp)
        facts = {"kind": config.kind, **provenance(compiled.shapes["params"]), "data_fingerprint": data_fingerprint}
        folder.write_details(facts | (extras or {}))
        checkpoints = Checkpoints(folder.checkpoints, settings.checkpoints_kept)
        with contextlib.closing(checkpoints):
            restored = checkpoints.restore(compiled.shapes, batches)
            done = already_finished(folder, restored, settings.steps)
            if done is not None:
                print(f"{run} is finished already ({done.step} updates in {done.seconds:.0f} s); nothing was trained")
                return done
            inputs = Inputs(batches, replicate(frozen or {}, mesh), validation_batches, draw_samples)
            with Interrupts() as interrupts:
                session = Session(task, config, folder, checkpoints, compiled, mesh, inputs, restored, options)
                with session.bar:
                    session.run(interrupts)
                return session.end(interrupts)


@contextlib.contextmanager
def opened(run: Path, config: Config, data_fingerprint: str | None) -> Iterator[RunFolder]:
    """The run folder, with its lock; of several processes the first one makes it before the others look."""
    with contextlib.ExitStack() as held:
        if is_main_process():
            check_folder(run)
            run.mkdir(parents=True, exist_ok=True)
            stale = held.enter_context(run_lock(run))
            folder = open_run(run, config, data_fingerprint)
            if stale is not None:
                print(f"the process that trained in {run} ({stale.get('pid')} on {stale.get('host')}) is gone; going on")
        barrier("run folder")
        yield folder if is_main_process() else open_run(run, config, data_fingerprint, writes=False)


def already_finished(folder: RunFolder, restored: Restored | None, steps: int) -> Summary | None:
    """The outcome of a run that has nothing left to do."""
    if restored is None or restored.meta["step"] < steps:
        return None
    step = restored.meta["step"]
    event = folder.find_event("finished", step)
    return Summary(folder.path, step, event["seconds"], True, event["digest"]) if event else None


@contextlib.contextmanager
def disk_full_told(run: Path) -> Iterator[None]:
    """Turn the system's error into a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise UserError(f"the disk is full: {run} cannot be written; make room and give the command again") from error
