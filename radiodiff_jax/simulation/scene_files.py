"""Names of the pictures of a RadioMapSeer folder, which of them there are, and copies of them."""

import os
import re
import shutil
from collections import defaultdict
from pathlib import Path

from tqdm import tqdm

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_whole


def buildings_path(root: Path, map_id: int) -> Path:
    """The mask of buildings of a map."""
    return root / "png" / "buildings_complete" / f"{map_id}.png"


def antenna_path(root: Path, map_id: int, transmitter: int) -> Path:
    """The mask of one transmitter."""
    return root / "png" / "antennas" / f"{map_id}_{transmitter}.png"


def cars_path(root: Path, map_id: int) -> Path:
    """The mask of cars of a map."""
    return root / "png" / "cars" / f"{map_id}.png"


def gain_path(root: Path, simulation: str, map_id: int, transmitter: int) -> Path:
    """A radio map of the simulation `DPM` or `carsDPM`."""
    return root / "gain" / simulation / f"{map_id}_{transmitter}.png"


def transmitters_by_map(root: Path, cars: bool) -> dict[int, list[int]]:
    """Transmitter ids of every map, by the names of the antenna pictures.

    Raises UserError where a picture has another name, and where a map's buildings or, if asked for, cars are missing.
    """
    folder = root / "png" / "antennas"
    if not folder.is_dir():
        raise UserError(f"{folder} is missing; scenes need png/antennas and png/buildings_complete.")
    found = defaultdict(list)
    for path in sorted(folder.glob("[!.]*.png")):
        name = re.fullmatch(r"(\d+)_(\d+)", path.stem)
        if name is None:
            raise UserError(f"{path} is not named MAP_TRANSMITTER.png with two numbers; rename or remove it.")
        found[int(name[1])].append(int(name[2]))
    if not found:
        raise UserError(f"{folder} has no pictures MAP_TRANSMITTER.png; there is nothing to simulate.")
    for map_id in found:
        if not buildings_path(root, map_id).is_file():
            raise UserError(f"{buildings_path(root, map_id)} is missing, but there are antennas of map {map_id}.")
        if cars and not cars_path(root, map_id).is_file():
            raise UserError(f"{cars_path(root, map_id)} is missing; --cars needs png/cars/MAP.png of every map.")
    return {map_id: sorted(ids) for map_id, ids in found.items()}


def copy_tree(source: Path, target: Path, progress: bool) -> None:
    """Copy every file that is not there yet, each whole or not at all; hidden files are left out, links followed."""
    walk = os.walk(source, followlinks=True)
    files = [Path(folder, name) for folder, _, names in walk for name in names if not name.startswith(".")]
    for path in tqdm(sorted(files), desc="copying scenes", unit=" file", disable=not progress):
        copy = target / path.relative_to(source)
        if not copy.exists():
            write_whole(copy, lambda temporary, path=path: shutil.copyfile(path, temporary))
