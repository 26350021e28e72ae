"""Records of a built TFDS folder: raw PNG bytes from ArrayRecord, decoded here so that repeated masks decode once."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from radiodiff_jax.data.builder import DESCRIPTION_FILE, NAME, VERSION, config_name, image_names
from radiodiff_jax.data.grey_images import decode_grey
from radiodiff_jax.data.layout import MAPS_KEPT
from radiodiff_jax.data.source import Record, check_not_empty
from radiodiff_jax.errors import UserError


class BuiltSource:
    """Records of one split of a folder that `dataset build` wrote."""

    def __init__(self, data_path: Path, split: str, simulation: str, cars: bool, rule: str):
        facts = read_description(data_path, simulation, cars)
        if rule not in ("auto", facts["rule"]):
            raise UserError(
                f"{data_path} was built with the split {facts['rule']}, not {rule}; set data.split to "
                f"{facts['rule']} or build it again with --split {rule}"
            )
        check_not_empty(facts["maps"], split, facts["rule"], data_path)
        self.size = tuple(facts["image_size"])
        self.maps = facts["maps"][split]
        self.cars = cars
        self._folder = version_folder(data_path, simulation, facts["cars"])
        skip = {name: tfds.decode.SkipDecoding() for name in image_names(facts["cars"])}
        self._source = tfds.builder_from_directory(self._folder).as_data_source(split, decoders=skip)
        # Masks repeat over the transmitters of a map: equal bytes are decoded once.
        self._mask = lru_cache(2 * MAPS_KEPT)(decode_grey)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Record:
        try:
            stored = self._source[index]
        except RuntimeError as error:  # what ArrayRecord raises for missing, cut and altered files alike
            raise UserError(
                f"{self._folder} is damaged ({error}); remove it and build it again with "
                "`python -m experiments.dataset build`"
            ) from error
        record = {name: int(stored[name]) for name in ("map", "transmitter", "row", "column")}
        record["buildings"] = self._mask(stored["buildings"])
        if self.cars:
            record["cars"] = self._mask(stored["cars"])
        record["gain"] = decode_grey(stored["gain"])
        return record


def version_folder(data_path: Path, simulation: str, cars: bool) -> Path:
    """Where `dataset build` puts the files of this version."""
    return data_path / NAME / config_name(simulation, cars) / VERSION


def read_description(data_path: Path, simulation: str, cars: bool) -> dict[str, Any]:
    """radiodiff.json of a built folder; without `cars`, a build that has cars as well will do.

    Raises UserError if there is no such build, or only one of another version.
    """
    folders = [version_folder(data_path, simulation, with_cars) for with_cars in ([True] if cars else [False, True])]
    for folder in folders:
        path = folder / DESCRIPTION_FILE
        if path.is_file():
            try:
                return json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise UserError(f"{path} is damaged; remove {folder} and build it again") from error
    wanted = f"simulation {simulation}{' with cars' if cars else ''}"
    for folder in folders:
        others = [path.name for path in folder.parent.glob("*.*.*")]
        if others:
            raise UserError(
                f"{folder.parent} was built as version {', '.join(sorted(others))}, but this program reads {VERSION}; "
                "build it again with `python -m experiments.dataset build`"
            )
    there = ", ".join(sorted(path.name for path in (data_path / NAME).iterdir() if path.is_dir())) or "none"
    raise UserError(
        f"{data_path} has no {wanted}, only {there}; add it with `python -m experiments.dataset build`"
    )
