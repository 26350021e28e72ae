"""Writes the files of a packed data set with Apache Beam: on the cores of this machine, on Dataflow, Spark or Flink.

Each file is one element of the pipeline. Workers see the folder of PNG files and the output folder under the same paths
as the program that starts them, or else a store (gs://, s3:// or a folder, whatever Beam's file systems read) that holds
a copy of the RadioMapSeer folder: they fetch images from it and put finished files there.

Apache Beam is an extra, so it is imported where it is used.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from radiodiff_jax.beam_pipeline import Watch, beam_calls
from radiodiff_jax.data.packed.builder import Shard, WriteShards, write_shard
from radiodiff_jax.data.packed.contents import forget_folders
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_text, write_whole

FAULT = ".fault"
BUILT = "built"
AT_ONCE = 16  # images that are fetched at once


def beam_writer(options: Sequence[str] = (), store: str | None = None) -> WriteShards:
    """Writer for `builder.build` that runs a Beam pipeline; `options` are words as `runner=FlinkRunner`.

    `store` is the address of a copy of the folder, for workers that do not see ours. Raises UserError as `beam_calls`.
    """
    call_each = beam_calls(options)

    def write(shards: list[Shard], bar: tqdm) -> None:
        records = {shard.path: len(shard.keys) for shard in shards}
        with Watch(list(records), records.__getitem__, bar):
            call_each(partial(write_or_tell, store=store), shards)
            collect(shards, store)

    return write


def write_or_tell(shard: Shard, store: str | None) -> None:
    """Write a file; a fault in the data is written beside it, because Beam would try again and hide the sentence."""
    try:
        write_shard(shard) if store is None else write_to_store(shard, store)
    except UserError as error:
        write_text(fault_path(shard), str(error)) if store is None else tell_in_store(shard, store, str(error))


def fault_path(shard: Shard) -> Path:
    """Where a worker on another machine says why it could not write a file."""
    return shard.path.with_name(shard.path.name + FAULT)


def collect(shards: list[Shard], store: str | None) -> None:
    """Bring the files of a store here. Raises UserError for the first fault that a worker told, or a missing file."""
    if store is not None:
        for shard in shards:
            fetch_built(shard, store)
    for shard in shards:
        if fault_path(shard).is_file():
            raise UserError(fault_path(shard).read_text(encoding="utf-8"))
        if not shard.path.is_file():
            raise UserError(
                f"{shard.path} was not written by the Beam workers; they must see {shard.path.parent.parent.parent} under "
                "this path, or else a store (--beam-store)"
            )


def write_to_store(shard: Shard, store: str) -> None:
    """Fetch the images of a file's records, write it on this worker's disk, and put it into the store.

    Raises UserError for faulty images and for those that the store lacks.
    """
    root = shard.contents.root
    with tempfile.TemporaryDirectory() as temporary:
        copied = Path(temporary) / "maps"
        names = {path.relative_to(root) for key in shard.keys for path in shard.contents.files(key)}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda name: fetch(_address(store, *name.parts), copied / name), sorted(names)))
        here = replace(shard, path=Path(temporary) / shard.path.name, contents=replace(shard.contents, root=copied))
        try:
            write_shard(here)
            put(here.path, built_address(store, shard))
        except UserError as error:
            raise UserError(str(error).replace(str(copied), store)) from error
        finally:
            forget_folders()


def tell_in_store(shard: Shard, store: str, fault: str) -> None:
    """Put into the store why a file could not be written."""
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "fault"
        path.write_text(fault, encoding="utf-8")
        put(path, built_address(store, shard) + FAULT)


def fetch_built(shard: Shard, store: str) -> None:
    """Bring a file from the store to where it belongs, or its fault, and remove it there."""
    from apache_beam.io.filesystems import FileSystems

    address, path = built_address(store, shard), shard.path
    if FileSystems.exists(address + FAULT):
        address, path = address + FAULT, fault_path(shard)
    write_whole(path, lambda temporary: fetch(address, temporary))
    FileSystems.delete([address])


def built_address(store: str, shard: Shard) -> str:
    """Where in the store a file goes: its temporary folder's name keeps builds apart."""
    return _address(store, BUILT, shard.path.parent.parent.name, shard.path.name)


def fetch(address: str, path: Path) -> None:
    """Copy a file of the store. Raises UserError if it is not there."""
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            FileSystems.open(address, compression_type=CompressionTypes.UNCOMPRESSED) as there,
            path.open("wb") as here,
        ):
            shutil.copyfileobj(there, here)
    except OSError as error:  # what Beam raises for missing files, and a local store too
        raise UserError(f"{address} cannot be read ({error}); copy the whole folder there") from error


def put(path: Path, address: str) -> None:
    """Copy a file into the store, over what is there."""
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    parent = os.path.dirname(address)
    if not FileSystems.exists(parent):
        try:
            FileSystems.mkdirs(parent)
        except OSError:
            pass  # another worker made it, or the store knows no folders
    with path.open("rb") as here, FileSystems.create(address, compression_type=CompressionTypes.UNCOMPRESSED) as there:
        shutil.copyfileobj(here, there)


def _address(store: str, *parts: str) -> str:
    from apache_beam.io.filesystems import FileSystems

    return FileSystems.join(store, *parts)
