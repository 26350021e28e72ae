"""Scenes of a RadioMapSeer folder that somebody else made: which there are, their masks read with care, copies of them."""

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import is_written, write_whole
from radiodiff_jax.images import Mask, Size, read_png
from radiodiff_jax.radiomapseer import antenna_path, buildings_path, cars_path, single_pixel
from radiodiff_jax.reading import check_file


class GivenScenes(NamedTuple):
    """The scenes of a folder whose gains are to be made in another one."""

    transmitters: dict[int, list[int]]
    """by map"""
    arguments: dict[str, Any]
    """what the record says of them"""
    copy: Callable[[], None]
    """copies their pictures, those that are not yet there"""


def given_scenes(root: Path, out: Path, kind: str, cars: bool, progress: bool) -> GivenScenes:
    """Those below `root`, for gains of a `kind` below `out`. Raises UserError as the functions below."""
    check_outside(root, out, kind)
    transmitters = transmitters_by_map(root, cars)
    number = sum(map(len, transmitters.values()))
    arguments = {"scenes": str(root.resolve()), "maps": len(transmitters), "transmitters": number}
    pictures = files_of_tree(root / "png")
    return GivenScenes(transmitters, arguments, lambda: copy_files(pictures, root / "png", out / "png", progress))


def read_scene(
    root: Path, map_id: int, transmitters: Iterable[int], cars: bool
) -> tuple[Mask, dict[int, tuple[int, int]], Mask | None]:
    """(buildings, transmitter id -> (row, column), cars or None) of a map. Raises UserError as below."""
    buildings = read_scene_mask(buildings_path(root, map_id))
    places = {tx: read_scene_transmitter(antenna_path(root, map_id, tx), buildings.shape) for tx in transmitters}
    return buildings, places, read_scene_mask(cars_path(root, map_id), buildings.shape) if cars else None


def transmitters_by_map(root: Path, cars: bool) -> dict[int, list[int]]:
    """Transmitter ids of every map, by the names of the antenna pictures.

    Raises UserError where a picture has another name, and where a map's buildings or, if asked for, cars are missing.
    """
    folder = antenna_path(root, 0, 0).parent
    if not folder.is_dir():
        raise UserError(f"{folder} is missing; scenes need png/antennas and png/buildings_complete")
    found = defaultdict(list)
    for path in sorted(folder.glob("[!.]*.png")):
        name = re.fullmatch(r"([0-9]{1,9})_([0-9]{1,9})", path.stem)
        if name is None:
            raise UserError(f"{path} is not named MAP_TRANSMITTER.png with two numbers; rename or remove it")
        check_file(path, "restore it or remove it")
        found[int(name[1])].append(int(name[2]))
    if not found:
        raise UserError(f"{folder} has no pictures MAP_TRANSMITTER.png; there is nothing to simulate")
    for map_id in found:
        cure = f"there are antennas of map {map_id}, so add it or remove them"
        check_file(buildings_path(root, map_id), "save it as an 8-bit grey PNG", cure)
        if cars:
            check_file(cars_path(root, map_id), "save it as an 8-bit grey PNG", "--cars needs png/cars/MAP.png of every map")
    return {map_id: sorted(ids) for map_id, ids in found.items()}


def check_outside(scenes_root: Path, out: Path, kind: str) -> None:
    """Raise UserError where the folder `out` of new gains of a `kind` is that of the scenes, or lies in their pictures."""
    if out.resolve() == scenes_root.resolve() or (scenes_root / "png").resolve() in (out / "x").resolve().parents:
        raise UserError(f"{out} lies in the scenes themselves; choose another folder for the {kind} gains")


def read_scene_mask(path: Path, size: Size | None = None) -> Mask:
    """Where a grey picture of two levels, 0 and one other (usually 255), is not 0.

    More is checked than by `images.read_grey`, since these pictures may come from anywhere. Raises UserError where the
    file is missing, is no picture, has colours, has more levels or, if the `size` of the map's buildings is given, has
    another one.
    """
    grey, mode = read_png(path)
    if mode.startswith("RGB"):
        raise UserError(f"{path} has colours; save it as an 8-bit grey picture of 0 and 255")
    if len(np.unique(grey[grey != 0])) > 1:
        raise UserError(f"{path} has more than two grey levels; save it as a mask of 0 and 255 only")
    if size is not None and grey.shape != size:
        raise UserError(
            f"{path} is {grey.shape[0]} x {grey.shape[1]} pixels but its buildings are {size[0]} x {size[1]}; "
            "make all pictures of one map of one size"
        )
    return grey != 0


def read_scene_transmitter(path: Path, size: Size) -> tuple[int, int]:
    """(row, column) of the transmitter in an antenna picture. Raises UserError as above, or if it is not one pixel."""
    return single_pixel(read_scene_mask(path, size), path)


def files_of_tree(source: Path) -> list[Path]:
    """Every file below a folder, sorted; hidden ones are left out, links followed. Raises UserError for what is no file."""
    found, above = [], {str(source): frozenset([os.path.realpath(source)])}  # folder -> itself and those that it lies in
    for folder, below, names in os.walk(source, followlinks=True):
        places = {name: os.path.realpath(Path(folder, name)) for name in below}
        below[:] = [name for name, place in places.items() if place not in above[folder]]  # a link upwards has no end
        above |= {os.path.join(folder, name): above[folder] | {places[name]} for name in below}
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    for path in found:
        check_file(path, "remove it", "the link leads nowhere, so remove it")
    return sorted(found)


def copy_files(files: Sequence[Path], source: Path, target: Path, progress: bool) -> None:
    """Copy every file below `source` that is not yet below `target`, each whole or not at all."""
    for path in tqdm(files, desc="copying scenes", unit=" file", disable=not progress):
        copy = target / path.relative_to(source)
        if not is_written(copy):
            write_whole(copy, lambda temporary, path=path: shutil.copyfile(path, temporary))
