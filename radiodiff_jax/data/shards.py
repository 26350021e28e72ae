"""ArrayRecord files of a built data set, and the metadata by which TFDS reads them; no TensorFlow is needed.

Which records are in which file is planned beforehand, so that any process can write any file, in any order.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from tensorflow_datasets.core.example_serializer import ExampleSerializer

from radiodiff_jax.data.contents import Contents, Key
from radiodiff_jax.data.splits import Split
from radiodiff_jax.files import write_whole

NAME = "radio_maps"
VERSION = "1.0.0"
FORMAT = "array_record"
FAULT = ".fault"
AT_ONCE = 256  # records that are read before they are written


@dataclass(frozen=True)
class Shard:
    """One file to write: the records of `keys`, in that order."""

    path: Path
    split: str
    contents: Contents
    keys: tuple[Key, ...]


def plan_shards(contents: Contents, parts: Split, folder: Path, shard_bytes: int) -> list[Shard]:
    """The files of a data set below `folder`, of about `shard_bytes` each, by the sizes of the images on disk."""
    shards = []
    for split, maps in parts.items():
        keys = contents.keys(maps)
        if not keys:
            continue
        with ThreadPoolExecutor(8) as pool:
            total = sum(pool.map(lambda key: sum(map(_bytes_of, contents.files(key))), keys))
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
                        writer.write(serializer.serialize_example(features.encode_example(record)))
                        wrote()
        finally:
            writer.close()

    write_whole(shard.path, write)


def fault_path(shard: Shard) -> Path:
    """Where a worker on another machine says why it could not write a file."""
    return shard.path.with_name(shard.path.name + FAULT)


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


def _bytes_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0  # missing files are told when they are read
