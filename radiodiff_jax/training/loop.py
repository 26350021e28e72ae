"""The one training loop: any task, any run folder, resumed to the same bits; and a check that it is so.

`train` goes on from the newest checkpoint; `replay` does some updates of a run again and compares them with its log.
"""

import contextlib
import errno
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grain

from radiodiff_jax.config import Config
from radiodiff_jax.errors import UserError
from radiodiff_jax.settings import TrainingConfig
from radiodiff_jax.training.checkpoint_files import read_meta, saved_steps
from radiodiff_jax.training.checkpoints import Checkpoints, Restored
from radiodiff_jax.training.compiled import compile_task
from radiodiff_jax.training.devices import barrier, check_batch_size, device_mesh, is_main_process, replicate
from radiodiff_jax.training.flat import host_shapes
from radiodiff_jax.training.progress import TIMED, Interrupts
from radiodiff_jax.training.run_files import Record, read_metrics
from radiodiff_jax.training.run_folder import RunFolder, check_folder, open_run, provenance
from radiodiff_jax.training.run_lock import run_lock
from radiodiff_jax.training.session import PLAIN, DrawSamples, Inputs, Session, SessionOptions, Summary
from radiodiff_jax.training.task import Task, Tree
from radiodiff_jax.training.validation import BatchSource, Patience


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
        facts = {"kind": config.kind, **provenance(host_shapes(compiled.shapes["params"])), "data_fingerprint": data_fingerprint}
        folder.write_details(facts | (extras or {}))
        checkpoints = Checkpoints(folder.checkpoints, settings.checkpoints_kept)
        with contextlib.closing(checkpoints):
            restored = checkpoints.restore(compiled.shapes, batches)
            done = already_finished(folder, restored, settings)
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


def already_finished(folder: RunFolder, restored: Restored | None, settings: TrainingConfig) -> Summary | None:
    """The outcome of a run that has nothing left to do."""
    if restored is None:
        return None
    if restored.meta["step"] < settings.steps and not Patience(settings.patience, restored.meta.get("patience")).ended:
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


COPIED = ("config.yaml", "run.json", "metrics.jsonl", "events.jsonl")


@dataclass(frozen=True)
class Replay:
    """A copy of a run as it was after `start` updates, to be trained until `end`."""

    original: Path
    folder: Path
    start: int
    end: int

    def differences(self) -> list[str]:
        """Sentences about metrics and states that differ between the run and its copy, by rising step."""
        before, after = (self._metrics(path) for path in (self.original, self.folder))
        found = [
            (step, f"{name} of update {step} was {before[step].get(name)}, now {after.get(step, {}).get(name)}")
            for step, record in before.items()
            for name in record
            if after.get(step, {}).get(name) != record[name]
        ]
        for step in saved_steps(self.folder / "checkpoints"):
            saved, made = (path / "checkpoints" / str(step) for path in (self.original, self.folder))
            if step > self.start and saved.is_dir() and read_meta(saved)["digests"] != read_meta(made)["digests"]:
                found.append((step, f"the state after update {step} has another digest"))
        return [sentence for _, sentence in sorted(found)]

    def _metrics(self, run: Path) -> dict[int, Record]:
        """Step -> all that was logged of it, but for what depends on the clock."""
        found: dict[int, Record] = {}
        for record in read_metrics(run):
            if self.start < record["step"] <= self.end:
                kept = {name: value for name, value in record.items() if name not in TIMED}
                found[record["step"]] = found.get(record["step"], {}) | kept
        return found


@contextlib.contextmanager
def replay(run: Path, updates: int | None = None) -> Iterator[Replay]:
    """A copy of `run`, beside it, that stands at one of its checkpoints; removed afterwards.

    It is to be trained for `updates` more updates, or up to the newest checkpoint. Raises UserError where the run
    keeps no checkpoint with so many logged updates after it.
    """
    steps = saved_steps(run / "checkpoints")
    if not steps:
        raise UserError(f"{run} has no checkpoint, so nothing can be replayed; train it first")
    logged = [record["step"] for record in read_metrics(run)]
    last = max([*steps, *logged])
    starts = [step for step in steps if step < steps[-1]] if updates is None else [s for s in steps if s + updates <= last]
    if not starts:
        wanted = "two checkpoints" if updates is None else f"a checkpoint with {updates} logged updates after it"
        raise UserError(
            f"{run} does not keep {wanted} (it keeps {', '.join(map(str, steps))}, and its log ends with update {last}); "
            "ask for fewer updates, or train on"
        )
    start = starts[-1]
    with tempfile.TemporaryDirectory(dir=run.parent, prefix=".writing-replay-") as name:
        folder = Path(name) / run.name
        folder.mkdir()
        for part in COPIED:
            shutil.copyfile(run / part, folder / part)
        for part in ("autoencoder", "base", "start", "encoder"):
            if (run / part).is_dir():
                shutil.copytree(run / part, folder / part)
        shutil.copytree(run / "checkpoints" / str(start), folder / "checkpoints" / str(start))
        yield Replay(run, folder, start, steps[-1] if updates is None else start + updates)
