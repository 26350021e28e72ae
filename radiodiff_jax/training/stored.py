"""Weights in a folder of their own inside a run, with the digests by which damage is told.

    FOLDER/config.yaml, *.json     settings and facts, by the caller
    FOLDER/weights/                a tree of arrays (Orbax)
    FOLDER/digests.json            {"files": {name: SHA-256}}, of all of these

They are verified before anything is loaded, in one to five seconds a gigabyte. Folders that an older version wrote have no digests;
there it is only looked whether all weights are finite.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NotRequired

import jax
import numpy as np
import orbax.checkpoint as ocp
from typing_extensions import TypedDict

from radiodiff_jax.config import Config
from radiodiff_jax.config_files import write_config
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_json
from radiodiff_jax.reading import OPEN, check_digests, file_digests, is_there, read_json
from radiodiff_jax.training.digest import leaves_by_path

Tree = Any
DIGESTS = "digests.json"
COPY = "copy the run again, whole"


class DigestRecord(TypedDict):
    """The schema of digests.json."""

    __pydantic_config__ = OPEN
    files: dict[str, str]


class SourceRecord(TypedDict):
    """The schema of source.json: where weights came from, and at which step or by which `--from-checkpoint`."""

    __pydantic_config__ = OPEN
    source: str
    step: NotRequired[int]
    checkpoint: NotRequired[str]
    digest: NotRequired[str]


def stored_folder(run: Path, name: str) -> Path:
    """RUN/NAME. Raises UserError if it is missing, or one of its files is not as it was written."""
    folder = Path(os.path.realpath(run / name))
    if not folder.is_dir():
        raise UserError(f"{run} has no folder {name}, which its settings need; {COPY}")
    if is_there(folder / DIGESTS):
        told = read_json(folder / DIGESTS, DigestRecord, COPY)["files"]
        check_digests({folder / file: digest for file, digest in told.items()}, COPY)
    return folder


def store(folder: Path, config: Config, tree: Tree, name: str, told: dict[str, Any]) -> None:
    """Write a part of a run whole: settings, `told` as the JSON file `name`, weights, digests."""
    with whole_folder(folder) as temporary:
        write_config(temporary / "config.yaml", config)
        write_json(temporary / name, told)
        save(temporary, tree)


def save(folder: Path, tree: Tree) -> None:
    """Write FOLDER/weights, by this process alone, and then FOLDER/digests.json of all files that are there."""
    alone = ocp.options.MultiprocessingOptions(active_processes={0}, barrier_sync_key_prefix=folder.name)
    with ocp.StandardCheckpointer(multiprocessing_options=alone) as checkpointer:
        checkpointer.save(folder / "weights", jax.tree.map(np.asarray, tree))
        checkpointer.wait_until_finished()
    write_digests(folder)


def write_digests(folder: Path) -> None:
    """Write FOLDER/digests.json of all files that are there."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    told = {path.relative_to(folder).as_posix(): digest for path, digest in file_digests(paths).items()}
    write_json(folder / DIGESTS, {"files": told})


def restore(folder: Path, shapes: Tree) -> Tree:
    """Read the weights of a `stored_folder` onto the first local device. Raises UserError if they do not fit."""
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    placed = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding), shapes)
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            tree = checkpointer.restore(folder / "weights", placed)
    except Exception as error:  # damage shows as any of a dozen exceptions
        raise UserError(f"the weights in {folder} cannot be read ({type(error).__name__}); {COPY}") from error
    if not is_there(folder / DIGESTS):
        odd = [name for name, leaf in leaves_by_path(tree).items() if not np.isfinite(np.asarray(leaf)).all()]
        if odd:
            raise UserError(f"the weights in {folder} are damaged ({odd[0]} is not finite); {COPY}")
    return tree


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that becomes `folder` at the end, or nothing."""
    folder = folder.resolve()
    temporary = folder.with_name(f".writing-{os.getpid()}-{folder.name}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
