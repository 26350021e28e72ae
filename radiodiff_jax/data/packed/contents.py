"""What a packed data set holds, and where it lies.

    OUT/radio_maps/{simulation}[_with_cars]/{version}/    TFDS files and radiodiff.json, which describes them
    OUT/radio_maps/buildings_missing{1..4}/{version}/     the same for building masks with missing buildings

Contents are of two kinds: the radio maps of a simulation, and the building masks with missing buildings (one record a
map). They are values that travel between processes and machines: they hold the path of a RadioMapSeer folder, and open
it where they are used. A record holds numbers and images as PNG bytes.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from radiodiff_jax.errors import UserError
from radiodiff_jax.images import encode_unfiltered, mask_to_grey
from radiodiff_jax.limits import SIDE
from radiodiff_jax.radiomapseer import (
    MISSING_VARIANTS,
    Pair,
    RadioMapFolder,
    antenna_path,
    buildings_path,
    cars_path,
    content_digest,
    gain_path,
    missing_buildings_path,
    missing_buildings_paths,
    read_missing_buildings,
)
from radiodiff_jax.reading import OPEN, Count, DamagedFileError, is_there, read_json

NAME = "radio_maps"
VERSION = "1.0.0"
FORMAT = "array_record"
DESCRIPTION_FILE = "radiodiff.json"

Side = Annotated[int, Field(gt=0, le=SIDE)]


class PackedRecord(TypedDict):
    """The schema of radiodiff.json; radio maps have "simulation" and "cars", masks have "buildings"."""

    __pydantic_config__ = OPEN
    version: Literal["1.0.0"]
    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    image_size: Annotated[list[Side], Field(min_length=2, max_length=2)]
    rule: Literal["radiounet", "radiodiff", "by_map"]
    records: dict[str, Count]
    maps: dict[str, list[Count]]
    simulation: NotRequired[str]
    cars: NotRequired[bool]
    buildings: NotRequired[str]
    files: NotRequired[dict[str, str]]


Key = Any
Record = dict[str, int | bytes]
open_folder = lru_cache(4)(RadioMapFolder)


@dataclass(frozen=True)
class RadioMaps:
    """The radio maps of a simulation, keyed by (map, transmitter), with or without car masks."""

    root: Path
    simulation: str = "DPM"
    cars: bool = False

    scalars = ("map", "transmitter", "row", "column")

    @property
    def name(self) -> str:
        """Name of the TFDS configuration, and of its folder."""
        return f"{self.simulation}_with_cars" if self.cars else self.simulation

    @property
    def images(self) -> tuple[str, ...]:
        """Images of a record."""
        return ("buildings", "cars", "gain") if self.cars else ("buildings", "gain")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of every image."""
        return open_folder(self.root, self.simulation).size

    def keys(self, maps: list[int]) -> list[Pair]:
        """(map, transmitter) of the radio maps of some maps, in rising order."""
        chosen = set(maps)
        return [pair for pair in open_folder(self.root, self.simulation).pairs if pair[0] in chosen]

    def files(self, key: Pair) -> list[Path]:
        """The image files that a record is made of."""
        masks = [buildings_path(self.root, key[0]), *([cars_path(self.root, key[0])] if self.cars else [])]
        return [*masks, antenna_path(self.root, *key), gain_path(self.root, self.simulation, *key)]

    def record(self, key: Pair) -> Record:
        """Numbers and PNG bytes of a radio map. Raises UserError for faulty images."""
        folder = open_folder(self.root, self.simulation)
        row, column = folder.transmitter(*key)
        record: Record = {"map": key[0], "transmitter": key[1], "row": row, "column": column}
        for name in self.images[:-1]:
            record[name] = _mask_png(self, name, key[0])
        return record | {"gain": encode_unfiltered(folder.gain(*key))}

    def names(self) -> dict[str, Any]:
        """What tells these contents from others."""
        return {"simulation": self.simulation, "cars": self.cars}

    def facts(self) -> dict[str, Any]:
        """What describes the contents."""
        return self.names() | {"fingerprint": open_folder(self.root, self.simulation).fingerprint()}

    def check(self) -> None:
        """Raise UserError if there is nothing to pack."""
        if self.cars and not open_folder(self.root, self.simulation).has_cars:
            raise UserError(f"{self.root} has no car masks (png/cars); leave out --cars or add them")


@lru_cache(64)  # keys are sorted, so the masks of a map are encoded once
def _mask_png(contents: RadioMaps, name: str, number: int) -> bytes:
    return encode_unfiltered(mask_to_grey(getattr(open_folder(contents.root, contents.simulation), name)(number)))


def forget_folders() -> None:
    """Open folders anew: what is on disk may have changed since."""
    open_folder.cache_clear()
    _mask_png.cache_clear()


@dataclass(frozen=True)
class MissingBuildings:
    """Building masks with some buildings left out, keyed by map; `maps` are those of the radio maps of a simulation."""

    root: Path
    kind: str
    simulation: str = "DPM"

    scalars = ("map",)
    images = tuple(f"variant_{variant}" for variant in range(1, MISSING_VARIANTS + 1))

    @property
    def name(self) -> str:
        """Name of the TFDS configuration, and of its folder."""
        return f"buildings_{self.kind}"

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of every image."""
        return open_folder(self.root, self.simulation).size

    def keys(self, maps: list[int]) -> list[int]:
        """Some maps."""
        return list(maps)

    def files(self, key: int) -> list[Path]:
        """The image files that a record is made of."""
        return [missing_buildings_path(self.root, self.kind, variant + 1, key) for variant in range(MISSING_VARIANTS)]

    def record(self, key: int) -> Record:
        """Number and PNG bytes of the masks of a map. Raises UserError for faulty images."""
        masks = (
            read_missing_buildings(self.root, self.kind, variant + 1, key, self.size)
            for variant in range(MISSING_VARIANTS)
        )
        images = (encode_unfiltered(mask_to_grey(mask)) for mask in masks)
        return {"map": key} | dict(zip(self.images, images, strict=True))

    def names(self) -> dict[str, Any]:
        """What tells these contents from others."""
        return {"buildings": self.kind}

    def facts(self) -> dict[str, Any]:
        """What describes the contents."""
        return self.names() | {"fingerprint": content_digest(self.root, missing_buildings_paths(self.root, self.kind))}

    def check(self) -> None:
        """Raise UserError if there is nothing to pack."""
        if not missing_buildings_paths(self.root, self.kind):
            raise UserError(f"{self.root} has no masks in png/buildings_{self.kind}/1 to {MISSING_VARIANTS}; add them")


Contents = RadioMaps | MissingBuildings


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
    contents = [RadioMaps(data_path, simulation, with_cars) for with_cars in ([True] if cars else [False, True])]
    return _first_description(data_path, contents, f"simulation {simulation}{' with cars' if cars else ''}", "")


def read_masks_description(data_path: Path, kind: str) -> dict[str, Any]:
    """radiodiff.json of built masks with missing buildings. Raises UserError as `read_description` does."""
    return _first_description(data_path, [MissingBuildings(data_path, kind)], f"masks {kind}", f" --buildings {kind}")


def read_facts(folder: Path) -> dict[str, Any]:
    """radiodiff.json of a version folder. Raises UserError if it is missing or damaged."""
    path, cure = folder / DESCRIPTION_FILE, f"remove {folder} and build it again"
    try:
        facts = read_json(path, PackedRecord, cure)
    except DamagedFileError as error:
        raise UserError(f"{path} is damaged; {cure} ({error})") from error
    splits = facts["maps"].keys()
    if splits != facts["records"].keys() or not {"train", "validation", "test"} <= splits:
        raise UserError(f"{path} is damaged; {cure} (its splits are {', '.join(splits) or 'none'})")
    return facts


def _first_description(data_path: Path, contents: list[Contents], wanted: str, words: str) -> dict[str, Any]:
    folders = [data_path / NAME / one.name / VERSION for one in contents]
    for one, folder in zip(contents, folders, strict=True):
        if is_there(folder / DESCRIPTION_FILE):
            facts = read_facts(folder)
            if any(facts.get(name) != value for name, value in one.names().items()):
                path = folder / DESCRIPTION_FILE
                raise UserError(f"{path} is damaged (it is not of {wanted}); remove {folder} and build it again")
            return facts
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
