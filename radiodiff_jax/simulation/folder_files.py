"""Files of the RadioMapSeer folders that the simulators read and write.

Their names, grey pictures read with plain errors and written whole, and the record that claims a folder for one
simulation.
"""

import json
import os
import re
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from tqdm import tqdm

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_json, write_whole


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


def write_grey(path: Path, picture: UInt8[np.ndarray, "height width"]) -> None:
    """Write an 8-bit grey PNG, whole or not at all."""
    write_whole(path, lambda temporary: Image.fromarray(picture).save(temporary))


def write_mask(path: Path, mask: Bool[np.ndarray, "height width"]) -> None:
    """Write a mask as 0 and 255."""
    write_grey(path, np.where(mask, np.uint8(255), np.uint8(0)))


def transmitter_mask(shape: tuple[int, int], row: int, column: int) -> Bool[np.ndarray, "height width"]:
    """A mask of one pixel."""
    mask = np.zeros(shape, bool)
    mask[row, column] = True
    return mask


def read_mask(path: Path, shape: tuple[int, int] | None = None) -> Bool[np.ndarray, "height width"]:
    """Read a grey picture of two levels, 0 and one other (usually 255).

    Raises UserError where the file is missing, is no picture, has colours, has more levels or, if a `shape` (that of
    the map's buildings) is given, has another one.
    """
    try:
        with Image.open(path) as picture:
            levels = np.asarray(picture)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; every map needs its picture there") from None
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for broken files
        raise UserError(f"{path} cannot be read as a picture ({error}); replace the file") from None
    if levels.ndim != 2:
        raise UserError(f"{path} has colours; save it as an 8-bit grey picture of 0 and 255")
    if len(np.unique(levels[levels != 0])) > 1:
        raise UserError(f"{path} has more than two grey levels; a mask consists of 0 and 255 only")
    if shape is not None and levels.shape != shape:
        raise UserError(
            f"{path} is {levels.shape[0]} x {levels.shape[1]} pixels but its buildings are {shape[0]} x {shape[1]}; "
            "pictures of one map must be of one size"
        )
    return levels != 0


def read_transmitter(path: Path, shape: tuple[int, int]) -> tuple[int, int]:
    """Read the (row, column) of the one lit pixel of an antenna picture.

    Raises UserError where the picture is not of the shape of its map or has not exactly one lit pixel.
    """
    mask = read_mask(path, shape)
    places = np.argwhere(mask)
    if len(places) != 1:
        raise UserError(f"{path} has {len(places)} lit pixels; a transmitter is exactly one, so make the picture again")
    return int(places[0, 0]), int(places[0, 1])


def transmitters_by_map(root: Path, cars: bool) -> dict[int, list[int]]:
    """Transmitter ids of every map, by the names of the antenna pictures.

    Raises UserError where a picture has another name, and where a map's buildings or, if asked for, cars are missing.
    """
    folder = root / "png" / "antennas"
    if not folder.is_dir():
        raise UserError(f"{folder} is missing; scenes need png/antennas and png/buildings_complete")
    found = defaultdict(list)
    for path in sorted(folder.glob("[!.]*.png")):
        name = re.fullmatch(r"(\d+)_(\d+)", path.stem)
        if name is None:
            raise UserError(f"{path} is not named MAP_TRANSMITTER.png with two numbers; rename or remove it")
        found[int(name[1])].append(int(name[2]))
    if not found:
        raise UserError(f"{folder} has no pictures MAP_TRANSMITTER.png; there is nothing to simulate")
    for map_id in found:
        if not (path := buildings_path(root, map_id)).is_file():
            raise UserError(f"{path} is missing, but there are antennas of map {map_id}; add it or remove them")
        if cars and not cars_path(root, map_id).is_file():
            raise UserError(f"{cars_path(root, map_id)} is missing; --cars needs png/cars/MAP.png of every map")
    return {map_id: sorted(ids) for map_id, ids in found.items()}


def copy_tree(source: Path, target: Path, progress: bool) -> None:
    """Copy every file that is not there yet, each whole or not at all; hidden files are left out, links followed."""
    walk = os.walk(source, followlinks=True)
    files = [Path(folder, name) for folder, _, names in walk for name in names if not name.startswith(".")]
    for path in tqdm(sorted(files), desc="copying scenes", unit=" file", disable=not progress):
        copy = target / path.relative_to(source)
        if not copy.exists():
            write_whole(copy, lambda temporary, path=path: shutil.copyfile(path, temporary))


def claim_with_record(out: Path, name: str, record: dict[str, Any]) -> None:
    """Write `record` to the file `name` of the folder `out`, or check that the same record is there.

    Raises UserError where `out` is a file, or holds anything but what was begun with the same record.
    """
    path = out / name
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; name a folder for the simulated maps")
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read ({error}); choose another folder or remove this one") from None
        if found != record:
            changed = sorted(key for key in record if not isinstance(found, dict) or found.get(key) != record[key])
            raise UserError(
                f"{out} holds a simulation with other {' and '.join(changed)} (see {path.name} there); "
                "choose another folder or remove this one"
            )
    elif out.exists() and any(not entry.name.startswith(".writing-") for entry in out.iterdir()):
        raise UserError(f"{out} is not empty and holds no simulation; choose an empty or a new folder")
    else:
        write_json(path, record)
