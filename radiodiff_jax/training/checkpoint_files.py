"""Checkpoints as they lie on disk: which there are, what is recorded beside them, a state read back for inference."""

import functools
import logging
import math
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from radiodiff_jax.config_files import read_yaml
from radiodiff_jax.errors import UserError
from radiodiff_jax.reading import read_json
from radiodiff_jax.training.digest import quick_digests
from radiodiff_jax.training.run_files import BEST, LATEST, MetaRecord
from radiodiff_jax.training.task import State


def check_integrity(step: int, meta: dict[str, Any], parts: State) -> None:
    """Raise ValueError unless `parts` are, bit for bit, what was saved at `step`."""
    if meta["step"] != step:
        raise ValueError(f"it says that it is of step {meta['step']}")
    for name, found in quick_digests(parts).items():
        if meta["digests"][name] != found:
            raise ValueError(f"the digest of its {name} is not the one that was saved")


def load_for_inference(run: Path, which: str | int = LATEST) -> tuple[State, int]:
    """(state without the optimizer's part, step) of a run, on the first local device; nothing is changed on disk.

    `which` is "best", the checkpoint with the lowest validation RMSE of those kept, "latest", or a step. Where the best
    or the latest is damaged, the newest good one is taken, with a note on stderr. Raises UserError if the run has no
    checkpoint, no good one, or none of that step.
    """
    silence_orbax()
    folder = Path(os.path.realpath(run / "checkpoints"))
    steps = saved_steps(folder)
    if not steps:
        told = read_yaml(run / "config.yaml") if (run / "config.yaml").is_file() else {}
        command = "vae" if told.get("kind") == "vae" else "train"
        raise UserError(
            f"{run} has no checkpoint yet; train it first with `python -m experiments.{command} --data DIR --run {run}`"
        )
    if isinstance(which, int):
        if which not in steps:
            kept = ", ".join(map(str, steps))
            raise UserError(f"{run} keeps no checkpoint of step {which}; choose one of {kept}, or `best` or `latest`")
        candidates = [which]
    else:
        candidates = [*(best_step(steps, recorded_rmse(folder)) if which == BEST else []), *reversed(steps)]
    for step in candidates:
        try:
            return restore_without_optimizer(folder / str(step), step), step
        except Exception as error:  # as above
            print(f"note: checkpoint {step} of {run} is damaged ({reason(error)})", file=sys.stderr)
    damaged = f"checkpoint {which}" if isinstance(which, int) else "every checkpoint"
    raise UserError(f"{damaged} of {run} is damaged; put back a copy of {folder}, or train the run again")


def restore_without_optimizer(checkpoint: Path, step: int) -> State:
    """The parts of one checkpoint that inference may need. Raises one of many exceptions if it is damaged."""
    meta = read_meta(checkpoint)
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    with ocp.PyTreeCheckpointer() as checkpointer:
        saved = checkpointer.metadata(checkpoint / "state").item_metadata.tree
        chosen = {name: part for name, part in saved.items() if name != "optimizer"}
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), chosen)
        restore = ocp.args.PyTreeRestore(
            item=shapes, restore_args=ocp.checkpoint_utils.construct_restore_args(shapes), partial_restore=True
        )
        state = checkpointer.restore(checkpoint / "state", args=restore)
    check_integrity(step, meta, state)
    return state


def saved_steps(folder: Path) -> list[int]:
    """The steps that have a checkpoint under a folder, in rising order."""
    numbered = (path for path in folder.glob("*") if re.fullmatch(r"0|[1-9]\d{0,17}", path.name, re.ASCII))
    return sorted(int(path.name) for path in numbered if path.is_dir())


def read_meta(checkpoint: Path) -> dict[str, Any]:
    """What is recorded beside a state. Raises UserError if it is damaged."""
    return read_json(checkpoint / "meta" / "metadata", MetaRecord, "put back a copy of it")


def recorded_rmse(folder: Path) -> dict[int, float]:
    """Step -> validation RMSE, where a checkpoint records one that can be read."""
    found = {}
    for step in saved_steps(folder):
        try:
            rmse = read_meta(folder / str(step))["rmse"]
        except UserError:
            continue
        if rmse is not None and math.isfinite(rmse):
            found[step] = rmse
    return found


def best_step(steps: Sequence[int], rmse: dict[int, float]) -> list[int]:
    """The step with the lowest RMSE, or nothing if none has one."""
    return sorted((step for step in steps if step in rmse), key=rmse.__getitem__)[:1]


def reason(error: Exception) -> str:
    """The first line of an exception, shortened."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else f"{text[:160]}..."


@functools.cache
def silence_orbax() -> None:
    """When a read or write fails, Orbax logs what it then raises, and asyncio and TensorStore complain of the rest."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    before = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        # TensorStore reports late to the event loop of an operation that has failed already.
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    sys.unraisablehook = hook
