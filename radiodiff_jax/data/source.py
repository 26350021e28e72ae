"""Random access to the records of one split, whether they lie in a RadioMapSeer folder or in a built TFDS folder.

A record is a dictionary of NumPy arrays, as they are on disk:

    map, transmitter  int32 scalars
    position          int32 [2]              row and column of the transmitter
    buildings         bool [height, width]   True = building
    cars              bool [height, width]   if asked for
    gain              uint8 [height, width]  path gain in grey levels

Records are sorted by (map, transmitter), so both kinds of folder give the same stream.
"""

from pathlib import Path
from typing import Protocol

import numpy as np

from radiodiff_jax.data.grey_images import Grey, Mask
from radiodiff_jax.data.layout import RadioMapFolder
from radiodiff_jax.data.splits import ALL, SPLITS, Split, chosen_rule, split_maps
from radiodiff_jax.errors import UserError

Record = dict[str, np.ndarray]


class RecordSource(Protocol):
    """Records of one split by index, safe to read from several threads."""

    size: tuple[int, int]
    """(height, width) of every image."""
    maps: list[int]
    """Map numbers of the split, in rising order."""
    cars: bool
    """Whether records hold car masks."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Record: ...


class FolderSource:
    """Records of the given maps of a RadioMapSeer folder."""

    def __init__(self, folder: RadioMapFolder, maps: list[int], cars: bool):
        chosen = set(maps)
        self._folder = folder
        self._pairs = [pair for pair in folder.pairs if pair[0] in chosen]
        self.size = folder.size
        self.maps = maps
        self.cars = cars

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Record:
        return self._folder.record(*self._pairs[index], cars=self.cars)


def scene_batch(
    buildings: Mask, transmitter: tuple[int, int], cars: Mask | None = None, observed: Mask | None = None,
    gain: Grey | None = None,
) -> Record:  # fmt: skip
    """A batch of one scene that lies in no data set: masks [height, width], the transmitter's (row, column), and where
    the gain is `observed`, `gain` in grey levels there (elsewhere it has no part)."""
    given = {"buildings": buildings, "cars": cars, "observed": observed, "gain": gain}
    images = {name: np.asarray(image)[None] for name, image in given.items() if image is not None}
    return images | {"position": np.array([transmitter], np.int32)}


def open_source(
    data_path: str | Path, split: str, simulation: str = "DPM", cars: bool = False, rule: str = "auto"
) -> RecordSource:
    """The records of `split` (train, validation or test) of a RadioMapSeer folder or of a built TFDS folder.

    `all` are those of every map of a RadioMapSeer folder, for a set that no model was trained on.
    `rule` says how maps are split (see `splits.split_maps`); a built folder has its rule already. Raises UserError if
    the folder, the simulation, the cars or the split's maps are missing.
    """
    if split not in SPLITS and (split != ALL or is_built(data_path)):
        raise UserError(f"there is no split '{split}'; choose one of {', '.join(SPLITS)}, or {ALL} for an unpacked folder")
    if is_built(data_path):
        # Loads TFDS, which takes a second that a plain folder need not wait.
        from radiodiff_jax.data.built_source import BuiltSource

        return BuiltSource(Path(data_path), split, simulation, cars, rule)
    folder = RadioMapFolder(data_path, simulation)
    if cars and not folder.has_cars:
        raise UserError(f"{folder.root} has no car masks (png/cars); set data.cars to false or add them")
    if split == ALL:
        return FolderSource(folder, folder.maps, cars)
    parts = split_maps(folder.maps, rule)
    check_not_empty(parts, split, chosen_rule(folder.maps, rule), folder.root)
    return FolderSource(folder, parts[split], cars)


def fingerprint(data_path: str | Path, simulation: str = "DPM") -> str:
    """SHA-256 of the content of a data set; a built TFDS folder has that of the folder it was built from."""
    if is_built(data_path):
        from radiodiff_jax.data.built_source import read_description

        return read_description(Path(data_path), simulation, cars=False)["fingerprint"]
    return RadioMapFolder(data_path, simulation).fingerprint()


def is_built(data_path: str | Path) -> bool:
    """Whether a path looks like what `dataset build` writes, rather than a RadioMapSeer folder."""
    return (Path(data_path) / "radio_maps").is_dir()


def check_not_empty(parts: Split, split: str, rule: str, where: Path) -> None:
    """Raise UserError if the split has no maps."""
    if parts[split]:
        return
    if rule == "radiodiff" and split == "validation":
        remedy = "that rule keeps no maps for validation, so set data.split to radiounet or by_map"
    elif rule == "by_map":
        remedy = "splitting needs at least 3 maps, so add or simulate more"
    else:
        remedy = "set data.split to by_map for a set that is not the whole of RadioMapSeer"
    present = sum(map(len, parts.values()))
    raise UserError(f"the {split} split of {where} is empty (rule {rule}, {present} maps): {remedy}")
