"""Packs a RadioMapSeer folder into ArrayRecord files that TFDS reads, without TensorFlow (see `contents`).

Images go in as PNG bytes: TFDS needs TensorFlow only to encode arrays. Records keep the order (map, transmitter), so
that reading in order needs no index; the shuffle is the pipeline's. Sets that belong together, such as two simulations
of a mixture, lie side by side. Which records are in which file is planned beforehand, so that any process can write any
file, in any order.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from tensorflow_datasets.core.example_serializer import ExampleSerializer
from tqdm import tqdm

from radiodiff_jax.data.packed.contents import (
    DESCRIPTION_FILE,
    FORMAT,
    NAME,
    VERSION,
    Contents,
    Key,
    MissingBuildings,
    RadioMaps,
    forget_folders,
    read_facts,
)
from radiodiff_jax.data.splits import Split, chosen_rule, split_maps
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import output_folder, working_folder, write_json, write_whole
from radiodiff_jax.radiomapseer import RadioMapFolder
from radiodiff_jax.reading import file_digests

SHARD_MEGABYTES = 200
"""Usual size of a file: large enough for object stores, small enough to be written and copied by many workers."""
AT_ONCE = 256  # records that are read before they are written


@dataclass(frozen=True)
class Shard:
    """One file to write: the records of `keys`, in that order."""

    path: Path
    split: str
    contents: Contents
    keys: tuple[Key, ...]


WriteShards = Callable[[list[Shard], tqdm], None]
"""Writes all files; the bar counts records."""


def write_in_turn(shards: list[Shard], bar: tqdm) -> None:
    """Write the files here, one after the other."""
    for shard in shards:
        write_shard(shard, wrote=bar.update)


def build(
    root: str | Path, out: str | Path, simulation: str = "DPM", cars: bool = False, rule: str = "auto",
    shard_megabytes: float = SHARD_MEGABYTES, write: WriteShards = write_in_turn,
) -> Path:  # fmt: skip
    """Pack one simulation of the folder `root` below `out`; returns the finished version folder.

    Everything is written under a temporary name in `out` and renamed at the end. A folder that is there already and
    was built from the same content is kept. Raises UserError for faulty images, missing cars, or a different data set
    in the same place.
    """
    return _build(RadioMaps(Path(root), simulation, cars), simulation, Path(out), rule, shard_megabytes, write)


def build_masks(
    root: str | Path, out: str | Path, kind: str, simulation: str = "DPM", rule: str = "auto",
    shard_megabytes: float = SHARD_MEGABYTES, write: WriteShards = write_in_turn,
) -> Path:  # fmt: skip
    """Pack the building masks of a kind (`radiomapseer.MISSING`) for the maps that have gains of `simulation`; as `build`."""
    return _build(MissingBuildings(Path(root), kind, simulation), simulation, Path(out), rule, shard_megabytes, write)


def _build(
    contents: Contents, simulation: str, out: Path, rule: str, shard_megabytes: float, write: WriteShards
) -> Path:
    forget_folders()
    maps = RadioMapFolder(contents.root, simulation).maps
    contents.check()
    parts = split_maps(maps, rule)
    finished = out / NAME / contents.name / VERSION
    facts = description(contents, parts, chosen_rule(maps, rule))
    if finished.exists():
        known = read_facts(finished)
        if {name: value for name, value in known.items() if name != "files"} == facts:
            return finished
        raise UserError(f"{finished} was built from other data or by another split; remove it or choose another --out")
    output_folder(out).mkdir(parents=True, exist_ok=True)
    with working_folder(out, ".building-") as temporary:
        folder = temporary / VERSION
        folder.mkdir()
        shards = plan_shards(contents, parts, folder, int(shard_megabytes * 2**20))
        with tqdm(total=sum(facts["records"].values()), desc=f"packing {contents.name}", unit="record") as bar:
            write(shards, bar)
        write_metadata(contents, shards, folder)
        found = file_digests([shard.path for shard in shards])
        write_json(folder / DESCRIPTION_FILE, facts | {"files": {path.name: digest for path, digest in found.items()}})
        finished.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(finished)
    return finished


def description(contents: Contents, parts: Split, rule: str) -> dict[str, Any]:
    """What radiodiff.json says about a built data set."""
    return {"version": VERSION} | contents.facts() | {
        "image_size": list(contents.size),
        "rule": rule,
        "records": {name: len(contents.keys(maps)) for name, maps in parts.items()},
        "maps": parts,
    }  # fmt: skip


def plan_shards(contents: Contents, parts: Split, folder: Path, shard_bytes: int) -> list[Shard]:
    """The files of a data set below `folder`, of about `shard_bytes` each, by the sizes of the images on disk."""
    shards = []
    for split, maps in parts.items():
        keys = contents.keys(maps)
        if not keys:
            continue
        with ThreadPoolExecutor(8) as pool:
            total = sum(pool.map(lambda key: sum(map(bytes_of, contents.files(key))), keys))
        count = min(len(keys), max(1, round(total / shard_bytes)))
        bounds = [round(len(keys) * number / count) for number in range(count + 1)]
        for number in range(count):
            path = folder / f"{NAME}-{split}.{FORMAT}-{number:05d}-of-{count:05d}"
            shards.append(Shard(path, split, contents, tuple(keys[bounds[number] : bounds[number + 1]])))
    return shards


def write_shard(shard: Shard, wrote: Callable[[], object] = lambda: None) -> None:
    """Write one file, whole or not at all; `wrote` is called after every record. Raises UserError for faulty images."""
    features = features_of(shard.contents)
    serializer = ExampleSerializer(features.get_serialized_info())

    def write(temporary: Path) -> None:
        writer = array_record_module.ArrayRecordWriter(os.fspath(temporary), "group_size:1")  # as TFDS writes them
        try:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for start in range(0, len(shard.keys), AT_ONCE):
                    for record in pool.map(shard.contents.record, shard.keys[start : start + AT_ONCE]):
                        example = serializer.get_tf_example(features.encode_example(record))
                        writer.write(example.SerializeToString(deterministic=True))  # else its order differs by process
                        wrote()
        finally:
            writer.close()

    write_whole(shard.path, write)


def features_of(contents: Contents) -> tfds.features.FeaturesDict:
    """The TFDS features of a record."""
    image = tfds.features.Image(shape=(*contents.size, 1), dtype=np.uint8, encoding_format="png")
    numbers = {name: tfds.features.Scalar(np.int32) for name in contents.scalars}
    return tfds.features.FeaturesDict(numbers | {name: image for name in contents.images})


def write_metadata(contents: Contents, shards: list[Shard], folder: Path) -> None:
    """Write what `tfds.builder_from_directory` reads: features.json and dataset_info.json."""
    identity = tfds.core.dataset_info.DatasetIdentity(
        name=NAME, version=tfds.core.Version(VERSION), data_dir=os.fspath(folder), module_name=__name__,
        config_name=contents.name,
    )  # fmt: skip
    info = tfds.core.DatasetInfo(
        builder=identity,
        features=features_of(contents),
        description="Path gain of radio maps or masks of buildings, 8-bit grey; 1 pixel is 1 m.",
        disable_shuffling=True,
    )
    info.set_file_format(tfds.core.FileFormat.ARRAY_RECORD)
    info.set_splits(tfds.core.splits.SplitDict([_split_info(split, shards, folder) for split in splits_of(shards)]))
    info.write_to_directory(folder)


def splits_of(shards: list[Shard]) -> list[str]:
    """The splits that have records, in order."""
    return list(dict.fromkeys(shard.split for shard in shards))


def _split_info(split: str, shards: list[Shard], folder: Path) -> tfds.core.SplitInfo:
    own = [shard for shard in shards if shard.split == split]
    template = tfds.core.ShardedFileTemplate(data_dir=folder, dataset_name=NAME, split=split, filetype_suffix=FORMAT)
    return tfds.core.SplitInfo(
        name=split,
        shard_lengths=[len(shard.keys) for shard in own],
        num_bytes=sum(shard.path.stat().st_size for shard in own),
        filename_template=template,
    )


def bytes_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0  # missing files are told when they are read
