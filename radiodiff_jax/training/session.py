"""One session of a training: from the newest checkpoint, update after update, with periodic actions in between."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grain
import jax
from jax.sharding import Mesh

from radiodiff_jax.config import Config
from radiodiff_jax.errors import UserError
from radiodiff_jax.training.checkpoints import Checkpoints, Restored, on_host
from radiodiff_jax.training.compiled import CompiledTask, MeasuredStep
from radiodiff_jax.training.devices import describe_devices, put_batch
from radiodiff_jax.training.digest import parameters_digest
from radiodiff_jax.training.progress import (
    Interrupts,
    MetricAverager,
    Profile,
    Throughput,
    TooManySkippedError,
    board_writer,
    progress_bar,
)
from radiodiff_jax.training.run_folder import RunFolder, settings_fingerprint
from radiodiff_jax.training.task import Task, Tree
from radiodiff_jax.training.validation import BatchSource, Patience, validate

DrawSamples = Callable[..., Any]  # (path, truth, output, buildings, title); arrays are [maps, height, width]


@dataclass(frozen=True)
class Inputs:
    """What a training is fed with, see `loop.train`; `frozen` is on the devices."""

    batches: grain.DatasetIterator
    frozen: Tree
    validation_batches: BatchSource | None
    draw_samples: DrawSamples | None


@dataclass(frozen=True)
class SessionOptions:
    """How a session differs from a plain one."""

    until: int | None = None
    """Stop after this update, as if interrupted, without an event or a message."""
    profile_from: int | None = None
    """Trace three updates from this one on."""


PLAIN = SessionOptions()


@dataclass(frozen=True)
class Summary:
    """How a training ended: finished updates, seconds of training over all sessions, digest where it is finished."""

    run: Path
    step: int
    seconds: float
    finished: bool
    digest: str | None


class Session:
    """The state on the devices, and everything that is written on the way."""

    def __init__(
        self, task: Task, config: Config, folder: RunFolder, checkpoints: Checkpoints, compiled: CompiledTask,
        mesh: Mesh, inputs: Inputs, restored: Restored | None, options: SessionOptions = PLAIN,
    ):  # fmt: skip
        """Go on from what was restored, or initialise; cut the metrics back to there and write the event."""
        self.options = options
        self.task, self.settings, self.folder, self.checkpoints = task, config.training, folder, checkpoints
        self.compiled, self.mesh, self.inputs = compiled, mesh, inputs
        self.fingerprint = settings_fingerprint(config)
        if restored is not None:
            self._check(restored)
        self.state = compiled.initialise() if restored is None else restored.state
        meta = {} if restored is None else restored.meta
        self.step: int = meta.get("step", 0)
        self.averager = MetricAverager(self.settings.most_skipped_in_a_row, meta.get("interval"))
        self.throughput = Throughput(meta.get("time_s", 0.0))
        self.measured = MeasuredStep(compiled.step, config.precision.compute)
        self.profile = Profile(folder.path, options.profile_from)
        self.bar = progress_bar(task.name, self.settings.steps, self.step, shown=folder.writes)
        self.rmse: float | None = None  # of the validation at this very step
        self.patience = Patience(self.settings.patience, meta.get("patience"))
        folder.cut_back(-1 if restored is None else self.step)
        self.board = board_writer(folder, self.settings, self.step)
        self._tell_start(meta)

    def _check(self, restored: Restored) -> None:
        if restored.meta.get("settings") != self.fingerprint:
            raise UserError(
                f"{self.folder.path / 'config.yaml'} was edited since its checkpoints were made; undo that, or name a "
                "new folder as --run"
            )
        step = restored.meta["step"]
        for bad, reason in restored.damaged:
            self.folder.event(bad, "checkpoint_damaged", reason=reason, restored=step)
            self._print(f"checkpoint {bad} of {self.folder.path} is damaged ({reason}); going on from step {step}")

    def _tell_start(self, meta: dict[str, Any]) -> None:
        devices = describe_devices()
        facts: dict[str, Any] = {"steps": self.settings.steps, "devices": devices, "processes": jax.process_count()}
        if not meta:
            self.folder.event(0, "started", **facts)
            self.folder.event(0, "phase", phase=self.task.phase(0))
            return
        if meta.get("devices", devices) != devices:
            facts["devices_before"] = meta["devices"]
        if self.folder.changed:
            facts["changed"] = self.folder.changed
        self.folder.event(self.step, "resumed", **facts)

    def run(self, interrupts: Interrupts) -> None:
        """Update until all steps are done or somebody asks to stop, and save."""
        self._show("waiting for the first batch", refresh=True)
        last = self.settings.steps if self.options.until is None else self.options.until
        if self.settings.patience is not None and self.checkpoints.latest is None:
            # What a training starts from may be better than all that it makes of it.
            self._validate(validating=True, sampling=False)
            self._save()
        try:
            while self.step < last and not self.patience.ended and not interrupts.stop(self.step, self.settings.log_every):
                self._update()
                self._run_periodic_actions()
            self.averager.fetch()
        except TooManySkippedError as error:
            raise self._diverged(error) from None
        finally:
            self.profile.end()
            self._tell_skipped()
            self.board.close()
        if self.checkpoints.latest != self.step and self.step > 0:
            self._save()
        self._tell_saved(self.checkpoints.wait())

    def _update(self) -> None:
        with self.throughput.waiting():
            batch = next(self.inputs.batches)
        phase, before = self.task.phase(self.step), self.task.phase(max(self.step - 1, 0))
        if phase != before:
            self.folder.event(self.step, "phase", phase=phase, previous=before)
        self.profile.before(self.step + 1)
        on_devices = put_batch(batch, self.mesh)
        if not self.measured.compiled:
            seconds = self.measured.compile(self.state, self.inputs.frozen, on_devices, partial(self._show, refresh=True))
            self.folder.event(self.step, "compiled", seconds=seconds, flops=self.measured.flops)
            self._show(f"compiled in {seconds:.0f} s", refresh=True)
            self.throughput.restart()  # compilation is no training speed
        self.state, metrics = self.measured(self.state, self.inputs.frozen, on_devices)
        self.step += 1
        self.rmse = None
        # The metrics of the update before are fetched while the device works on this one.
        self.averager.add(self.step, metrics)
        self.throughput.update(jax.process_count() * len(next(iter(batch.values()))))
        self.bar.update()
        self.profile.after(self.step, self.state)

    def _due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.settings.steps

    def _run_periodic_actions(self) -> None:
        logging, validating = self._due(self.settings.log_every), self._due(self.settings.validate_every)
        sampling, saving = self._due(self.settings.sample_every), self._due(self.settings.checkpoint_every)
        if not (logging or validating or sampling or saving):
            return
        self.averager.fetch()
        self._tell_skipped()
        if logging:
            self._log()
            self._tell_saved(self.checkpoints.finished())
        if validating or sampling:
            improved = self._validate(validating, sampling)
            saving = saving or (improved and self.settings.patience is not None)
        if saving:
            self._save()
        if validating or sampling or saving:
            self.throughput.restart()

    def _log(self) -> None:
        speed = self.throughput.speed()
        means = self.averager.close()
        self._write(speed | self.measured.utilisation(speed.get("step_ms")) | means)
        if "loss" in means:
            self._show(f"loss {means['loss']:.4g}")

    def _validate(self, validating: bool, sampling: bool) -> bool:
        """Whether this validation is the best so far."""
        source, draw = self.inputs.validation_batches, self.inputs.draw_samples
        examples = self.settings.sample_maps if sampling and draw else 0
        if source is None or not (validating or examples):
            return False
        figures, pairs = validate(
            self.compiled, self.state, self.inputs.frozen, source, self.mesh, figures=validating, examples=examples
        )
        if figures:
            self._write(figures)
            self.rmse = figures["validation/rmse"]
        if pairs is not None and self.folder.writes:
            title = f"{self.task.name}, validation maps after {self.step} updates"
            draw(self.folder.sample(self.step), pairs.truth, pairs.output, pairs.buildings, title)
        return self.rmse is not None and bool(figures) and self.patience.judge(self.step, self.rmse)

    def _save(self) -> None:
        self._tell_saved(self.checkpoints.wait())
        meta = {
            "settings": self.fingerprint,
            "time_s": self.throughput.seconds(),
            "interval": self.averager.saved(),
            "patience": self.patience.saved(),
            "devices": describe_devices(),
            "processes": jax.process_count(),
        }
        self.checkpoints.save(self.step, self.state, self.inputs.batches, meta, self.rmse)

    def _tell_saved(self, step: int | None) -> None:
        if step is not None:
            self.folder.event(step, "saved")

    def _tell_skipped(self) -> None:
        for step, event, values in self.averager.skipped():
            self.folder.event(step, event, **{name: values[name] for name in ("loss", "grad_norm") if name in values})

    def _write(self, metrics: dict[str, float]) -> None:
        phase = self.task.phase(max(self.step - 1, 0))
        self.folder.log({"step": self.step, "phase": phase, "time_s": self.throughput.seconds(), **metrics})
        self.board.write(self.step, metrics)

    def _print(self, text: str) -> None:
        if self.folder.writes:
            print(text)

    def _show(self, text: str, refresh: bool = False) -> None:
        self.bar.set_postfix_str(f"{self.task.phase(max(self.step - 1, 0))}, {text}", refresh=refresh)

    def _diverged(self, error: TooManySkippedError) -> UserError:
        """Write what is known, and make the exception to raise."""
        self._tell_skipped()
        self.step = error.step
        self._write(self.averager.close())
        self._tell_saved(self.checkpoints.wait())
        last = self.checkpoints.latest
        self.folder.event(error.step, "failed", reason=str(error), checkpoint=last)
        kept = "there is no checkpoint yet" if last is None else f"the last good checkpoint is step {last}"
        return UserError(
            f"{self.folder.path}: {error} ({kept}); start a new run "
            "with a lower optimizer.learning_rate or optimizer.clip_norm, or raise training.most_skipped_in_a_row"
        )

    def end(self, interrupts: Interrupts) -> Summary:
        """Write the last event and say where the run is and how to go on."""
        path, seconds = self.folder.path, self.throughput.seconds()
        if self.options.until is not None:
            return Summary(path, self.step, seconds, False, None)
        early = self.patience.ended and self.step < self.settings.steps
        if self.step < self.settings.steps and not early:
            self.folder.event(self.step, interrupts.event, seconds=seconds)
            self._print(f"{path}: {interrupts.event} after {self.step} updates, all saved; give the same command to go on")
            return Summary(path, self.step, seconds, False, None)
        found = parameters_digest(on_host(self.state))
        stopped = {"stopped_early": True, "best": self.patience.step} if early else {}
        self.folder.event(self.step, "finished", seconds=seconds, digest=found, **stopped)
        self._print(f"{path}: finished {self.step} updates in {seconds:.0f} s; checkpoints, metrics and samples are in there")
        if early:
            self._print(f"stopped early: no lower validation RMSE than {self.patience.best:.4f} after update {self.patience.step}, "
                        "which `--checkpoint best` takes")  # fmt: skip
        return Summary(path, self.step, seconds, True, found)
