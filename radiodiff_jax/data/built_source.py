"""Records of a built TFDS folder: raw PNG bytes from ArrayRecord, decoded here so that repeated masks decode once."""

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from radiodiff_jax.data.builder import DESCRIPTION_FILE
from radiodiff_jax.data.contents import MissingBuildings, RadioMaps
from radiodiff_jax.data.grey_images import Mask, decode_grey, decode_mask
from radiodiff_jax.data.layout import MAPS_KEPT
from radiodiff_jax.data.shards import NAME, VERSION
from radiodiff_jax.data.source import Record, check_not_empty
from radiodiff_jax.errors import UserError


class BuiltSource:
    """Records of one split of a folder that `dataset build` wrote."""

    def __init__(self, data_path: Path, split: str, simulation: str, cars: bool, rule: str):
        facts = read_description(data_path, simulation, cars)
        check_rule(facts, rule, data_path)
        check_not_empty(facts["maps"], split, facts["rule"], data_path)
        self.size = tuple(facts["image_size"])
        self.maps = facts["maps"][split]
        self.cars = cars
        self._folder = version_folder(data_path, simulation, facts["cars"])
        images = RadioMaps(data_path, simulation, facts["cars"]).images
        self._source = open_stored(self._folder, split, images)
        # Masks repeat over the transmitters of a map: equal bytes are decoded once.
        self._mask = lru_cache(2 * MAPS_KEPT)(decode_mask)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Record:
        stored = read_stored(self._source, index, self._folder)
        record = {
            "map": np.int32(stored["map"]),
            "transmitter": np.int32(stored["transmitter"]),
            "position": np.array([stored["row"], stored["column"]], np.int32),
            "buildings": self._mask(stored["buildings"]),
        }
        if self.cars:
            record["cars"] = self._mask(stored["cars"])
        record["gain"] = decode_grey(stored["gain"])
        return record


class BuiltMasks:
    """Building masks with missing buildings of one split, which `dataset build --buildings` wrote."""

    def __init__(self, data_path: Path, split: str, kind: str, rule: str):
        facts = read_masks_description(data_path, kind)
        check_rule(facts, rule, data_path)
        self._places = {number: place for place, number in enumerate(facts["maps"][split])}
        self._folder = masks_folder(data_path, kind)
        self._source = open_stored(self._folder, split, MissingBuildings.images)
        self._mask = lru_cache(2 * MAPS_KEPT)(self._read)

    def __call__(self, number: int, variant: int) -> Mask:
        """The mask of a map in one of its variants 1..6 (kept in memory)."""
        return self._mask(number, variant)

    def _read(self, number: int, variant: int) -> Mask:
        if number not in self._places:
            raise UserError(f"{self._folder} has no map {number}; build it again from the folder of the radio maps")
        stored = read_stored(self._source, self._places[number], self._folder)
        return decode_mask(stored[MissingBuildings.images[variant - 1]])


def open_stored(folder: Path, split: str, images: Sequence[str]) -> Any:
    """TFDS's random access to the records of a version folder; images stay PNG bytes."""
    skip = {name: tfds.decode.SkipDecoding() for name in images}
    return tfds.builder_from_directory(folder).as_data_source(split, decoders=skip)


def read_stored(source: Any, index: int, folder: Path) -> dict[str, Any]:
    """A stored record. Raises UserError if the files are damaged."""
    try:
        return source[index]
    except RuntimeError as error:  # what ArrayRecord raises for missing, cut and altered files alike
        raise UserError(
            f"{folder} is damaged ({error}); remove it and build it again with `python -m experiments.dataset build`"
        ) from error


def check_rule(facts: dict[str, Any], rule: str, data_path: Path) -> None:
    """Raise UserError if the set was built with another split rule."""
    if rule not in ("auto", facts["rule"]):
        raise UserError(
            f"{data_path} was built with the split {facts['rule']}, not {rule}; set data.split to "
            f"{facts['rule']} or build it again with --split {rule}"
        )


def version_folder(data_path: Path, simulation: str, cars: bool) -> Path:
    """Where `dataset build` puts the radio maps of this version."""
    return data_path / NAME / RadioMaps(data_path, simulation, cars).name / VERSION


def masks_folder(data_path: Path, kind: str) -> Path:
    """Where `dataset build --buildings` puts the masks of this version."""
    return data_path / NAME / MissingBuildings(data_path, kind).name / VERSION


def read_description(data_path: Path, simulation: str, cars: bool) -> dict[str, Any]:
    """radiodiff.json of built radio maps; without `cars`, a build that has cars as well will do.

    Raises UserError if there is no such build, or only one of another version.
    """
    folders = [version_folder(data_path, simulation, with_cars) for with_cars in ([True] if cars else [False, True])]
    return _first_description(data_path, folders, f"simulation {simulation}{' with cars' if cars else ''}", "")


def read_masks_description(data_path: Path, kind: str) -> dict[str, Any]:
    """radiodiff.json of built masks with missing buildings. Raises UserError as `read_description` does."""
    return _first_description(data_path, [masks_folder(data_path, kind)], f"masks {kind}", f" --buildings {kind}")


def read_json(folder: Path) -> dict[str, Any]:
    """radiodiff.json of a version folder. Raises UserError if it is missing or damaged."""
    path = folder / DESCRIPTION_FILE
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged; remove {folder} and build it again") from error


def _first_description(data_path: Path, folders: list[Path], wanted: str, words: str) -> dict[str, Any]:
    for folder in folders:
        if (folder / DESCRIPTION_FILE).is_file():
            return read_json(folder)
    for folder in folders:
        others = [path.name for path in folder.parent.glob("*.*.*")]
        if others:
            raise UserError(
                f"{folder.parent} was built as version {', '.join(sorted(others))}, but this program reads {VERSION}; "
                "build it again with `python -m experiments.dataset build`"
            )
    there = ", ".join(sorted(path.name for path in (data_path / NAME).iterdir() if path.is_dir())) or "none"
    raise UserError(
        f"{data_path} has no {wanted}, only {there}; add it with `python -m experiments.dataset build{words}`"
    )
