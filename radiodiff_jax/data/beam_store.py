"""For Beam workers that share no file system with us: images come from an object store, finished files go there.

The store (gs://, s3:// or a folder, whatever Beam's file systems read) holds a copy of the RadioMapSeer folder.
"""

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from radiodiff_jax.data.contents import forget_folders
from radiodiff_jax.data.shards import FAULT, Shard, fault_path, write_shard
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_whole

BUILT = "built"
AT_ONCE = 16  # images that are fetched at once


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
    parent = os.path.dirname(address)
    if not FileSystems.exists(parent):
        try:
            FileSystems.mkdirs(parent)
        except OSError:
            pass  # another worker made it, or the store knows no folders
    with path.open("rb") as here, FileSystems.create(address, compression_type=CompressionTypes.UNCOMPRESSED) as there:
        shutil.copyfileobj(here, there)


def _address(store: str, *parts: str) -> str:
    return FileSystems.join(store, *parts)
