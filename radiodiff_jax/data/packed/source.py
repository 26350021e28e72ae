"""Records of a packed folder, read from its ArrayRecord files.

TFDS would read them too, at five times the cost a record (0.1 of now 0.02 ms), as it looks every value up in its schema.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource
from tensorflow_datasets.proto import tf_example_pb2

from radiodiff_jax.data.packed.contents import (
    MissingBuildings,
    RadioMaps,
    masks_folder,
    read_description,
    read_masks_description,
    version_folder,
)
from radiodiff_jax.data.packed.metadata import check_metadata, shard_paths
from radiodiff_jax.data.records import Record
from radiodiff_jax.data.splits import check_not_empty
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import Grey, Mask, decode_grey
from radiodiff_jax.radiomapseer import MAPS_KEPT


class PackedSource:
    """Records of one split of a folder that `dataset build` wrote. Safe to read from several threads."""

    def __init__(self, data_path: Path, split: str, simulation: str, cars: bool, rule: str):
        facts = read_description(data_path, simulation, cars)
        check_rule(facts, rule, data_path)
        check_not_empty(facts["maps"], split, facts["rule"], data_path)
        self.size = tuple(facts["image_size"])
        self.maps = facts["maps"][split]
        self.cars = cars
        self._stored = StoredRecords(version_folder(data_path, simulation, facts["cars"]), split, facts)
        # Masks repeat over the transmitters of a map: equal bytes are decoded once.
        self._mask = lru_cache(2 * MAPS_KEPT)(decode_mask)

    def __len__(self) -> int:
        return len(self._stored)

    def __getitem__(self, index: int) -> Record:
        stored = self._stored[index]
        map_, transmitter, *position = self._stored.numbers(stored, RadioMaps.scalars)
        record = {
            "map": np.int32(map_),
            "transmitter": np.int32(transmitter),
            "position": np.array(position, np.int32),
            "buildings": self._stored.decode(stored, "buildings", self._mask),
        }
        if self.cars:
            record["cars"] = self._stored.decode(stored, "cars", self._mask)
        record["gain"] = self._stored.image(stored, "gain")
        return record


class PackedMasks:
    """Building masks with missing buildings of one split, which `dataset build --buildings` wrote."""

    def __init__(self, data_path: Path, split: str, kind: str, rule: str):
        facts = read_masks_description(data_path, kind)
        check_rule(facts, rule, data_path)
        self._places = {number: place for place, number in enumerate(facts["maps"][split])}
        self._folder = masks_folder(data_path, kind)
        self._stored = StoredRecords(self._folder, split, facts)
        self._mask = lru_cache(2 * MAPS_KEPT)(self._read)

    def __call__(self, number: int, variant: int) -> Mask:
        """The mask of a map in one of its variants 1..6 (kept in memory)."""
        return self._mask(number, variant)

    def _read(self, number: int, variant: int) -> Mask:
        if number not in self._places:
            raise UserError(f"{self._folder} has no map {number}; build it again from the folder of the radio maps")
        return self._stored.image(self._stored[self._places[number]], MissingBuildings.images[variant - 1]) != 0


class StoredRecords:
    """Random access to the features (of a tf.train.Example) of the records of a split, in a version folder."""

    def __init__(self, folder: Path, split: str, facts: dict[str, Any]):
        self._folder = folder
        check_metadata(folder, facts)
        paths = [str(path) for path in shard_paths(folder, split, facts)]
        self._size = tuple(facts["image_size"])
        self._source: Sequence[bytes] = self._call(lambda: ArrayRecordDataSource(paths)) if paths else []
        if len(self._source) != facts["records"][split]:
            raise self._damage(f"it holds {len(self._source)} of {facts['records'][split]} records")

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Any:
        place = range(len(self))[index]  # beyond the end an IndexError, as iterating needs it
        return self._call(lambda: tf_example_pb2.Example.FromString(self._source[place]).features.feature)

    def numbers(self, stored: Any, names: Sequence[str]) -> list[int]:
        """Numbers among the features of a record. Raises UserError where they are not there."""
        return self._call(lambda: [stored[name].int64_list.value[0] for name in names])

    def image(self, stored: Any, name: str) -> Grey:
        """Grey levels among the features of a record. Raises UserError for none, or those of another size."""
        return self._call(lambda: self._sized(decode_grey(png_of(stored, name))))

    def decode(self, stored: Any, name: str, mask: Callable[[bytes], Mask]) -> Mask:
        """The same of a mask, by a function that remembers."""
        return self._call(lambda: self._sized(mask(png_of(stored, name))))

    def _sized(self, image: np.ndarray) -> np.ndarray:
        if image.shape != self._size:
            raise ValueError(f"an image is {image.shape}, not {self._size}")
        return image

    def _call(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except UserError:
            raise
        except Exception as error:  # what ArrayRecord, protocol buffers, zlib and Pillow raise for damage of all kinds
            raise self._damage(" ".join(str(error).split())[:200] or type(error).__name__) from error

    def _damage(self, sentence: str) -> UserError:
        return UserError(
            f"{self._folder} is damaged ({sentence}); remove it and build it again with "
            "`python -m experiments.dataset build`"
        )


def png_of(stored: Any, name: str) -> bytes:
    """An image among the features of a record."""
    return stored[name].bytes_list.value[0]


def decode_mask(png: bytes) -> Mask:
    """The mask in an encoded 8-bit grey PNG."""
    return decode_grey(png) != 0


def check_rule(facts: dict[str, Any], rule: str, data_path: Path) -> None:
    """Raise UserError if the set was built with another split rule."""
    if rule not in ("auto", facts["rule"]):
        raise UserError(
            f"{data_path} was built with the split {facts['rule']}, not {rule}; set data.split to "
            f"{facts['rule']} or build it again with --split {rule}"
        )
