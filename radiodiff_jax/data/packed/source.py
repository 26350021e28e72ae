"""Records of a packed folder, read from its ArrayRecord files.

TFDS would read them too, at five times the cost a record (0.1 of now 0.02 ms), as it looks every value up in its schema.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource
from tensorflow_datasets.proto import tf_example_pb2

from radiodiff_jax.data.packed.contents import (
    FORMAT,
    NAME,
    MissingBuildings,
    masks_folder,
    read_description,
    read_masks_description,
    version_folder,
)
from radiodiff_jax.data.records import Record
from radiodiff_jax.data.splits import check_not_empty
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import Mask, decode_grey
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
        map_, transmitter, *position = (stored[name].int64_list.value[0] for name in ("map", "transmitter", "row", "column"))
        record = {
            "map": np.int32(map_),
            "transmitter": np.int32(transmitter),
            "position": np.array(position, np.int32),
            "buildings": self._mask(png_of(stored, "buildings")),
        }
        if self.cars:
            record["cars"] = self._mask(png_of(stored, "cars"))
        record["gain"] = decode_grey(png_of(stored, "gain"))
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
        return decode_mask(png_of(self._stored[self._places[number]], MissingBuildings.images[variant - 1]))


class StoredRecords:
    """Random access to the features (of a tf.train.Example) of the records of a split, in a version folder."""

    def __init__(self, folder: Path, split: str, facts: dict[str, Any]):
        self._folder = folder
        paths = sorted(str(path) for path in folder.glob(f"{NAME}-{split}.{FORMAT}-*-of-*"))
        self._source: Sequence[bytes] = self._call(lambda: ArrayRecordDataSource(paths)) if paths else []
        if len(self._source) != facts["records"][split]:
            raise self._damage(f"it holds {len(self._source)} of {facts['records'][split]} records")

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Any:
        return self._call(lambda: tf_example_pb2.Example.FromString(self._source[range(len(self))[index]])).features.feature

    def _call(self, call: Any) -> Any:
        try:
            return call()
        except RuntimeError as error:  # what ArrayRecord raises for missing, cut and altered files alike
            raise self._damage(str(error)) from error

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
