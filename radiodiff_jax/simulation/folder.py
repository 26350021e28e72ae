"""Write a whole simulated data set, or the gains of existing scenes, as RadioMapSeer folders.

    OUT/simulation.json                      arguments, constants, version
    OUT/png/buildings_complete/{map}.png     255 = building
    OUT/png/antennas/{map}_{tx}.png          one pixel 255
    OUT/gain/DPM/{map}_{tx}.png              grey levels

A gain is written after the pictures that it belongs to, so a gain that exists is complete, and an interrupted run goes
on where it stopped when it is called again with the same arguments.
"""

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_whole
from radiodiff_jax.simulation.cities import city
from radiodiff_jax.simulation.dominant_path import PreparedMap, path_gain_grey, prepare
from radiodiff_jax.simulation.jobs import claim_folder, run_jobs
from radiodiff_jax.simulation.pictures import read_mask, read_transmitter, transmitter_mask, write_grey, write_mask
from radiodiff_jax.simulation.scenes import place_transmitters

SMALLEST_SIDE = 32  # metres; smaller windows hold no sensible piece of a city


def write_simulated_folder(
    out: str | Path,
    maps: int,
    transmitters: int,
    size: tuple[int, int],
    seed: int,
    workers: int = 1,
    progress: bool = True,
) -> None:
    """Simulate `maps` procedural cities of `size` (height, width) with `transmitters` transmitters each.

    Map ids are 0..maps-1, transmitter ids 0..transmitters-1. The files depend on the seed alone, bit for bit, not on
    the number of workers. Raises UserError for arguments out of range and for a folder that holds something else.
    """
    height, width = size
    for name, value, least in (
        ("maps", maps, 1),
        ("transmitters", transmitters, 1),
        ("workers", workers, 1),
        ("seed", seed, 0),
        ("height", height, SMALLEST_SIDE),
        ("width", width, SMALLEST_SIDE),
    ):
        if value < least:
            raise UserError(f"The simulation needs {name} to be {least} or more, but it is {value}.", exit_code=2)
    out = Path(out)
    claim_folder(out, {"maps": maps, "transmitters": transmitters, "size": [height, width], "seed": seed})
    jobs = [(out, map_id, transmitters, (height, width), seed) for map_id in range(maps)]
    run_jobs(_simulate_city, jobs, maps * transmitters, workers, progress)


def write_gains_for_scenes(scenes_root: str | Path, out: str | Path, workers: int = 1, progress: bool = True) -> None:
    """Simulate the gain of every png/antennas/{map}_{tx}.png of an existing folder; its png tree is copied to `out`.

    Raises UserError for pictures that are missing, unreadable, odd (several transmitter pixels, more than two levels,
    unequal sizes) and for a folder `out` that holds something else.
    """
    scenes_root, out = Path(scenes_root), Path(out)
    if out.resolve() == scenes_root.resolve() or (scenes_root / "png").resolve() in (out / "x").resolve().parents:
        raise UserError(f"{out} lies in the scenes themselves; choose another folder for the simulated gains.")
    transmitters = _transmitters_by_map(scenes_root)
    number = sum(len(ids) for ids in transmitters.values())
    claim_folder(out, {"scenes": str(scenes_root.resolve()), "maps": len(transmitters), "transmitters": number})
    _copy_tree(scenes_root / "png", out / "png", progress)
    jobs = [(out, map_id, ids) for map_id, ids in sorted(transmitters.items())]
    run_jobs(_simulate_scene, jobs, number, workers, progress)


def _simulate_city(out: Path, map_id: int, transmitters: int, size: tuple[int, int], seed: int) -> int:
    """One city with all its gains; returns the number of gains."""
    if all(_gain_path(out, map_id, transmitter).exists() for transmitter in range(transmitters)):
        return transmitters
    city_seed, place_seed = (int(word) for word in np.random.SeedSequence([seed, map_id]).generate_state(2, np.uint64))
    layout = city(city_seed, *size)
    places = place_transmitters(layout.buildings, transmitters, place_seed)
    write_mask(_buildings_path(out, map_id), layout.buildings)
    for transmitter, (row, column) in enumerate(places):
        write_mask(_antenna_path(out, map_id, transmitter), transmitter_mask(size, row, column))
    _write_gains(out, map_id, prepare(layout.buildings, layout.polygons), list(enumerate(places)))
    return transmitters


def _simulate_scene(out: Path, map_id: int, transmitters: Sequence[int]) -> int:
    """All gains of one map whose pictures are in `out` already; returns their number."""
    missing = [transmitter for transmitter in transmitters if not _gain_path(out, map_id, transmitter).exists()]
    if missing:
        buildings = read_mask(_buildings_path(out, map_id))
        places = [(tx, read_transmitter(_antenna_path(out, map_id, tx), buildings.shape)) for tx in missing]
        _write_gains(out, map_id, prepare(buildings), places)
    return len(transmitters)


def _write_gains(out: Path, map_id: int, prepared: PreparedMap, places: Sequence[tuple[int, Sequence[int]]]) -> None:
    for transmitter, (row, column) in places:
        path = _gain_path(out, map_id, transmitter)
        if not path.exists():
            write_grey(path, path_gain_grey(prepared, int(row), int(column)))


def _transmitters_by_map(root: Path) -> dict[int, list[int]]:
    """Transmitter ids of every map, by the names of the antenna pictures; every map has its buildings."""
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
        if not _buildings_path(root, map_id).is_file():
            raise UserError(f"{_buildings_path(root, map_id)} is missing, but there are antennas of map {map_id}.")
    return {map_id: sorted(ids) for map_id, ids in found.items()}


def _copy_tree(source: Path, target: Path, progress: bool) -> None:
    """Copy every file that is not there yet, each whole or not at all; hidden files are left out, links followed."""
    walk = os.walk(source, followlinks=True)
    files = [Path(folder, name) for folder, _, names in walk for name in names if not name.startswith(".")]
    for path in tqdm(sorted(files), desc="copying scenes", unit=" file", disable=not progress):
        copy = target / path.relative_to(source)
        if not copy.exists():
            write_whole(copy, lambda temporary, path=path: shutil.copyfile(path, temporary))


def _buildings_path(root: Path, map_id: int) -> Path:
    return root / "png" / "buildings_complete" / f"{map_id}.png"


def _antenna_path(root: Path, map_id: int, transmitter: int) -> Path:
    return root / "png" / "antennas" / f"{map_id}_{transmitter}.png"


def _gain_path(root: Path, map_id: int, transmitter: int) -> Path:
    return root / "gain" / "DPM" / f"{map_id}_{transmitter}.png"
