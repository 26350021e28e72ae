"""Packs a RadioMapSeer folder into ArrayRecord files with TFDS, without TensorFlow.

    OUT/radio_maps/{simulation}[_with_cars]/{version}/    TFDS files and radiodiff.json (see `description`)

Images go in as PNG bytes: TFDS needs TensorFlow only to encode arrays. Records keep the order (map, transmitter), so
that reading in order needs no index; the shuffle is the pipeline's.
"""

import contextlib
import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from radiodiff_jax.data.grey_images import encode_grey
from radiodiff_jax.data.layout import SIMULATIONS, RadioMapFolder
from radiodiff_jax.data.source import Record
from radiodiff_jax.data.splits import Split, chosen_rule, split_maps
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_json

NAME = "radio_maps"
VERSION = "1.0.0"
DESCRIPTION_FILE = "radiodiff.json"
KEY_SPACE = 2**128  # TFDS sorts keys of up to 128 bits in buckets of equal ranges


@dataclass(eq=False)
class RadioMapsConfig(tfds.core.BuilderConfig):
    """One simulation, with or without car masks."""

    simulation: str = "DPM"
    cars: bool = False


def config_name(simulation: str, cars: bool) -> str:
    """Name of the TFDS configuration, and of its folder."""
    return f"{simulation}_with_cars" if cars else simulation


class RadioMaps(tfds.core.GeneratorBasedBuilder):
    """TFDS builder of radio maps; `folder` and `parts` are needed for writing only."""

    name = NAME
    code_path = None  # where TFDS would look for checksums of downloads, with a package that it forgets to require
    VERSION = tfds.core.Version(VERSION)
    BUILDER_CONFIGS = [
        RadioMapsConfig(name=config_name(simulation, cars), version=VERSION, simulation=simulation, cars=cars)
        for simulation in SIMULATIONS
        for cars in (False, True)
    ]

    def __init__(self, *, folder: RadioMapFolder, parts: Split, **settings: Any):
        self._folder, self._parts = folder, parts
        super().__init__(file_format="array_record", **settings)

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Image(shape=(*self._folder.size, 1), dtype=np.uint8, encoding_format="png")
        features = {name: tfds.features.Scalar(np.int32) for name in ("map", "transmitter", "row", "column")}
        features |= {name: image for name in image_names(self.builder_config.cars)}
        return tfds.core.DatasetInfo(
            builder=self,
            description="Path gain of radio maps, 8-bit grey, with buildings and transmitter; 1 pixel is 1 m.",
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    def _split_generators(self, download_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        del download_manager  # nothing is downloaded
        return {name: self._generate_examples(name, maps) for name, maps in self._parts.items() if maps}

    def _generate_examples(self, split: str, maps: list[int]) -> Iterator[tuple[int, Record]]:
        chosen = set(maps)
        pairs = [pair for pair in self._folder.pairs if pair[0] in chosen]
        masks: dict[str, bytes] = {}
        packed_map = None
        for index, pair in enumerate(tqdm(pairs, desc=f"packing {split}", unit="map")):
            record = self._folder.record(*pair, cars=self.builder_config.cars)
            if pair[0] != packed_map:  # pairs are sorted, so the masks of a map are encoded once
                packed_map = pair[0]
                masks = {name: encode_grey(record[name]) for name in ("buildings", "cars") if name in record}
            yield index * (KEY_SPACE // len(pairs)), record | masks | {"gain": encode_grey(record["gain"])}


def image_names(cars: bool) -> tuple[str, ...]:
    """Images of a record."""
    return ("buildings", "cars", "gain") if cars else ("buildings", "gain")


def build(root: str | Path, out: str | Path, simulation: str = "DPM", cars: bool = False, rule: str = "auto") -> Path:
    """Pack one simulation of the folder `root` below `out`; returns the finished version folder.

    Everything is written under a temporary name in `out` and renamed at the end. A folder that is there already and
    was built from the same content is kept. Raises UserError for faulty images, missing cars, or a different data set
    in the same place.
    """
    folder = RadioMapFolder(root, simulation)
    if cars and not folder.has_cars:
        raise UserError(f"{folder.root} has no car masks (png/cars); leave out --cars or add them")
    parts = split_maps(folder.maps, rule)
    finished = Path(out) / NAME / config_name(simulation, cars) / VERSION
    facts = description(folder, parts, cars, rule)
    if finished.exists():
        from radiodiff_jax.data.built_source import read_description

        if read_description(Path(out), simulation, cars) == facts:
            return finished
        raise UserError(f"{finished} was built from other data or by another split; remove it or choose another --out")
    Path(out).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".building-") as temporary, _quiet_tfds():
        builder = RadioMaps(folder=folder, parts=parts, config=config_name(simulation, cars), data_dir=temporary)
        builder.download_and_prepare()
        written = Path(builder.data_dir)
        write_json(written / DESCRIPTION_FILE, facts)
        finished.parent.mkdir(parents=True, exist_ok=True)
        written.rename(finished)
    return finished


def description(folder: RadioMapFolder, parts: Split, cars: bool, rule: str) -> dict[str, Any]:
    """What radiodiff.json says about a built data set."""
    counts = {name: sum(pair[0] in set(maps) for pair in folder.pairs) for name, maps in parts.items()}
    return {
        "version": VERSION,
        "simulation": folder.simulation,
        "cars": cars,
        "fingerprint": folder.fingerprint(),
        "image_size": list(folder.size),
        "rule": chosen_rule(folder.maps, rule),
        "records": counts,
        "maps": parts,
    }


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[None]:
    """Without TFDS's own notes and bars; ours say more."""
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        yield
