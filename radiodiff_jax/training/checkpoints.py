"""Checkpoints of a run: saved in the background, checked when restored, the newest few and the best one kept.

    checkpoints/STEP/state     the training's whole state (Orbax)
    checkpoints/STEP/data      where the data iterator is (Grain)
    checkpoints/STEP/meta      {"step", "digests": one of each top-level part of the state, "data": the iterator's
                               state again, "rmse": of the validation at this step or null, ...}

A file system may flip bits without telling, and so may Orbax restore them; the digests tell.
"""

import contextlib
import errno
import json
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from radiodiff_jax.errors import UserError
from radiodiff_jax.reading import check_value
from radiodiff_jax.training.checkpoint_files import (
    best_step,
    check_integrity,
    reason,
    recorded_rmse,
    silence_orbax,
)
from radiodiff_jax.training.devices import put
from radiodiff_jax.training.digest import quick_digests, whole
from radiodiff_jax.training.flat import by_name, host_shapes, is_flat, like
from radiodiff_jax.training.run_files import MetaRecord
from radiodiff_jax.training.task import State, Tree


@dataclass
class LatestAndBest(preservation_policy.PreservationPolicy):
    """Keeps the `latest` newest checkpoints and the one with the lowest validation RMSE of those that have one."""

    latest: int
    rmse: dict[int, float] = field(default_factory=dict)

    def should_preserve(
        self, checkpoints: Sequence[preservation_policy.PolicyCheckpointInfo], *, context: Any
    ) -> list[bool]:
        """Whether to keep each of the checkpoints, which are in rising order."""
        steps = [checkpoint.step for checkpoint in checkpoints]
        keep = {*steps[-self.latest :], *best_step(steps, self.rmse)}
        return [step in keep for step in steps]


@dataclass(frozen=True)
class Restored:
    """What was found: the state, its meta, and (step, reason) of newer checkpoints that were damaged and deleted."""

    state: State
    meta: dict[str, Any]
    damaged: list[tuple[int, str]]


class Checkpoints:
    """Saves and restores (state, data iterator, meta) under a folder."""

    def __init__(self, folder: Path, kept: int):
        self.folder = Path(os.path.realpath(folder))
        silence_orbax()
        self._policy = LatestAndBest(kept, recorded_rmse(self.folder))
        options = ocp.CheckpointManagerOptions(
            preservation_policy=self._policy, cleanup_tmp_directories=True, lightweight_initialize=True
        )
        self._manager = ocp.CheckpointManager(self.folder, options=options)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._saving: int | None = None
        self._ending: Future | None = None
        self._failed = False

    @property
    def latest(self) -> int | None:
        """The newest step there is, damaged or not, or on its way."""
        return self._manager.latest_step() if self._saving is None else self._saving

    def save(self, step: int, state: State, batches: grain.DatasetIterator, meta: dict[str, Any], rmse: float | None):
        """Begin to save; the state may be donated as soon as this returns. `finished` and `wait` tell of the end.

        What takes time (digests, and Orbax's work on every array) is done by a thread, on a copy in the host's memory, so
        that training goes on at once. With several processes Orbax makes them wait for each other, which is done here.
        """
        place = batches.get_state()
        meta = {"step": step, "data": place, "rmse": rmse, **meta}
        if rmse is not None:
            self._policy.rmse[step] = rmse
        self._saving = step
        if jax.process_count() == 1:
            copy = jax.tree.map(np.array, jax.device_get(state))  # on CPUs what device_get returns is no copy
            self._ending = self._thread.submit(self._save_whole, step, by_name(copy), FrozenPlace(place), meta)
        else:
            self._begin(step, on_host(state), batches, meta)
            self._ending = self._thread.submit(self._end, step)

    def _save_whole(self, step: int, state: State, place: "FrozenPlace", meta: dict[str, Any]) -> None:
        self._begin(step, state, place, meta)
        self._end(step)

    def _begin(self, step: int, state: State, place: Any, meta: dict[str, Any]) -> None:
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state),
            data=grain.checkpoint.CheckpointSave(place),
            meta=ocp.args.JsonSave({**meta, "digests": quick_digests(state)}),
        )
        try:
            begun = self._manager.save(step, args=items)
        except Exception as error:  # anything that Orbax, TensorStore or the system raise
            self._failed = True
            raise save_error(self.folder, step, error) from error
        if not begun:
            raise UserError(f"cannot save step {step} in {self.folder}: a newer checkpoint is there; move it away")

    def _end(self, step: int) -> None:
        try:
            self._manager.wait_until_finished()
        except Exception as error:  # as above
            self._failed = True
            raise save_error(self.folder, step, error) from error

    def finished(self) -> int | None:
        """The step whose save has ended since the last question, if any. Raises UserError if it failed."""
        return self.wait() if self._ending is not None and self._ending.done() else None

    def wait(self) -> int | None:
        """As `finished`, after waiting for the save in progress."""
        if self._ending is None:
            return None
        ending, step, self._ending, self._saving = self._ending, self._saving, None, None
        ending.result()
        return step

    def restore(self, shapes: Tree, batches: grain.DatasetIterator) -> Restored | None:
        """The newest good checkpoint, into arrays like `shapes` (with shardings), and the iterator set to its place.

        None if there is no checkpoint. Newer ones that are damaged are deleted once a good one is found, so that a
        state that does not fit for another reason costs nothing. Raises UserError if none can be restored.
        """
        damaged: list[tuple[int, str]] = []
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                state, meta = self._restore_step(step, shapes, batches)
            except Exception as error:  # damage shows as any of a dozen exceptions
                damaged.append((step, reason(error)))
                continue
            for bad, _ in damaged:
                self._manager.delete(bad)
                self._policy.rmse.pop(bad, None)
            return Restored(state, meta, damaged)
        if damaged:
            raise UserError(
                f"no checkpoint in {self.folder} can be restored (step {damaged[0][0]}: {damaged[0][1]}); "
                "put back a copy of the folder, or start a new run"
            )
        return None

    def _restore_step(self, step: int, shapes: Tree, batches: grain.DatasetIterator) -> tuple[State, dict[str, Any]]:
        items = ocp.args.Composite(state=ocp.args.StandardRestore(host_shapes(shapes)), meta=ocp.args.JsonRestore())
        found = self._manager.restore(step, args=items)
        check_value(found.meta, MetaRecord, "what is recorded beside it", "take another")
        check_integrity(step, found.meta, found.state)
        state = placed(like(shapes, found.state), shapes)
        if found.meta.get("processes", 1) == jax.process_count():
            place = ocp.args.Composite(data=grain.checkpoint.CheckpointRestore(batches))
            self._manager.restore(step, args=place)
            if found.meta["data"] != batches.get_state():
                raise ValueError("the data iterator's state is not the one that was saved")
        else:  # there is one file a process; but all are at the same place, which does not depend on their number
            batches.set_state(found.meta["data"])
        return state, found.meta

    def close(self) -> None:
        """Let go of the folder, after the save in progress."""
        self._thread.shutdown()
        with contextlib.suppress(*[Exception] if self._failed else []):  # told already
            self._manager.close()


def on_host(state: State) -> State:
    """The state by name; every `Flat` is copied into the host's memory for that. All processes must ask for it."""
    copied = jax.tree.map(
        lambda node: jax.tree.map(lambda vector: np.array(whole(vector)), node) if is_flat(node) else node,
        state,
        is_leaf=is_flat,
    )
    return by_name(copied)


def placed(state: State, shapes: Tree) -> State:
    """The inverse: the vectors of every `Flat` on the devices, as `shapes` says."""

    def place(node: Tree, shape: Tree) -> Tree:
        return put(node, jax.tree.map(lambda leaf: leaf.sharding, shape)) if is_flat(node) else node

    return jax.tree.map(place, state, shapes, is_leaf=is_flat)


@dataclass(frozen=True)
class FrozenPlace:
    """A data iterator as Grain's checkpoints know it, at the place where it was."""

    state: dict[str, Any]

    def get_state(self) -> bytes:
        """What is written."""
        return json.dumps(self.state, indent=4).encode()


def save_error(folder: Path, step: int, error: Exception) -> UserError:
    """What to tell when a save fails."""
    full = getattr(error, "errno", None) == errno.ENOSPC or "RESOURCE_EXHAUSTED" in str(error)
    if full or "No space left" in str(error):
        return UserError(
            f"the disk is full: step {step} could not be saved in {folder}; make room and give the same command again, "
            "which goes on from the checkpoint before"
        )
    return UserError(f"step {step} could not be saved in {folder} ({reason(error)}); mend that and go on")
