"""Write a whole simulated data set, or the gains of existing scenes, as RadioMapSeer folders.

    OUT/simulation.json                      arguments, constants, version
    OUT/png/buildings_complete/{map}.png     255 = building
    OUT/png/antennas/{map}_{tx}.png          one pixel 255
    OUT/png/cars/{map}.png                   255 = car, if asked for
    OUT/gain/DPM/{map}_{tx}.png              grey levels
    OUT/gain/carsDPM/{map}_{tx}.png          grey levels with the cars in the way, if asked for

A gain is written after the pictures that it belongs to, so a gain that exists is complete, and an interrupted run goes
on where it stopped when it is called again with the same arguments.
"""

import contextlib
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from tqdm import tqdm

from radiodiff_jax import __version__
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import is_written, output_folder, write_json
from radiodiff_jax.images import write_grey, write_mask
from radiodiff_jax.limits import MAPS, SIDE, TRANSMITTERS, WORKERS, check_most
from radiodiff_jax.radiomapseer import antenna_path, buildings_path, cars_path, gain_path, write_transmitter
from radiodiff_jax.reading import AnyObject, is_there, read_json
from radiodiff_jax.simulation.cities.generator import city
from radiodiff_jax.simulation.cities.placement import place_cars, place_transmitters
from radiodiff_jax.simulation.dominant_path.car_loss import MODEL, path_gain_grey_with_cars
from radiodiff_jax.simulation.dominant_path.constants import CONSTANTS, VISIBILITY
from radiodiff_jax.simulation.dominant_path.field_numba import PreparedMap, path_gain_grey, prepare
from radiodiff_jax.simulation.scenes import given_scenes, read_scene
from radiodiff_jax.worker_processes import Job, RunJobs, Shard, of_shard, run_in_processes

RECORD = "simulation.json"
DEATH = "a process that simulates died, most likely for want of memory; run again with fewer --workers, finished maps are kept"
SMALLEST_SIDE = 32  # metres; smaller windows hold no sensible piece of a city


def write_simulated_folder(
    out: str | Path,
    maps: int,
    transmitters: int,
    size: tuple[int, int],
    seed: int,
    workers: int = 1,
    progress: bool = True,
    cars: bool = False,
    shard: Shard = (1, 1),
    run_jobs: RunJobs | None = None,
) -> None:
    """Simulate `maps` procedural cities of `size` (height, width) with `transmitters` transmitters each.

    Map ids are 0..maps-1, transmitter ids 0..transmitters-1. The files depend on the seed alone, bit for bit, not on
    the number of workers; `cars` adds files and changes none. Of `shard` (K, N) only every N-th map is made, from the K-th
    on, so that N processes or machines that see `out` make the whole. `run_jobs` (see `beam_pipeline.beam_jobs`) makes each
    map in place of `workers` processes. Raises UserError for arguments out of range and for a folder that holds something else.
    """
    _check_at_least(maps=(maps, 1), transmitters=(transmitters, 1), workers=(workers, 1), seed=(seed, 0))
    _check_at_least(height=(size[0], SMALLEST_SIDE), width=(size[1], SMALLEST_SIDE))
    for name, value, most in (("height", size[0], SIDE), ("width", size[1], SIDE)):
        check_most(f"the {name} of the simulated maps", value, most)
    out = Path(out)
    arguments = {"maps": maps, "transmitters": transmitters, "size": list(size), "seed": seed}
    mine = of_shard(range(maps), shard)
    jobs = [partial(_simulate_city, _Task(out, map_id, cars), transmitters, size, seed) for map_id in mine]
    with _claimed(out, arguments | _cars_record(cars), shard):
        _do_all(jobs, len(mine) * transmitters, run_jobs or in_processes(workers), out, progress)


def write_masks_folder(
    out: str | Path,
    city_masks: Sequence[Bool[np.ndarray, "height width"]],
    source: dict[str, Any],
    transmitters: int,
    seed: int,
    workers: int = 1,
    progress: bool = True,
    cars: bool = False,
    shard: Shard = (1, 1),
    run_jobs: RunJobs | None = None,
) -> None:
    """The same for given masks of buildings; `source` tells where they come from and is kept in the record.

    Raises UserError as above, and where a mask has not enough room for the transmitters.
    """
    _check_at_least(maps=(len(city_masks), 1), transmitters=(transmitters, 1), workers=(workers, 1), seed=(seed, 0))
    out = Path(out)
    arguments = source | {"maps": len(city_masks), "transmitters": transmitters, "seed": seed}
    tasks = [(_Task(out, map_id, cars), np.asarray(mask) != 0) for map_id, mask in enumerate(city_masks)]
    jobs = [partial(_simulate_mask, *task, transmitters, seed) for task in of_shard(tasks, shard)]
    with _claimed(out, arguments | _cars_record(cars), shard):
        _do_all(jobs, len(jobs) * transmitters, run_jobs or in_processes(workers), out, progress)


def write_gains_for_scenes(
    scenes_root: str | Path, out: str | Path, workers: int = 1, progress: bool = True, cars: bool = False,
    shard: Shard = (1, 1), run_jobs: RunJobs | None = None,
) -> None:  # fmt: skip
    """Simulate the gain of every png/antennas/{map}_{tx}.png of an existing folder; its png tree is copied to `out`.

    With `cars` also the gains with the cars of that folder's png/cars in the way. Raises UserError for pictures that
    are missing, unreadable, odd (several transmitter pixels, more than two levels, unequal sizes) and for a folder
    `out` that holds something else.
    """
    scenes_root, out = Path(scenes_root), Path(out)
    scenes = given_scenes(scenes_root, out, "simulated", cars, progress)
    mine = of_shard(sorted(scenes.transmitters.items()), shard)
    jobs = [partial(_simulate_scene, _Task(out, map_id, cars), ids) for map_id, ids in mine]
    with _claimed(out, scenes.arguments | _cars_record(cars), shard):
        scenes.copy()
        _do_all(jobs, sum(len(ids) for _, ids in mine), run_jobs or in_processes(workers), out, progress)


@contextlib.contextmanager
def _claimed(out: Path, arguments: dict[str, Any], shard: Shard) -> Iterator[None]:
    """Record in `out` what is simulated there, or check that the same was begun there before; then do it.

    A record that is new is taken back where the first map is refused, so that other arguments can be given. Raises UserError
    where `out` is a file, or holds anything but a simulation of the same arguments, constants and program version.
    """
    record = {
        "program": "radiodiff_jax",
        "version": __version__,
        "model": "dominant path",
        "arguments": arguments,
        "constants": CONSTANTS._asdict() | VISIBILITY._asdict(),
    }
    folder_there, record_there = out.exists(), is_there(out / RECORD)
    claim_with_record(out, RECORD, record)
    try:
        yield
    except UserError:
        alone = shard == (1, 1) and not record_there  # other parts may have begun with this record
        if alone and [path.name for path in out.iterdir()] == [RECORD]:
            (out / RECORD).unlink()
            if not folder_there:
                out.rmdir()
        raise


def claim_with_record(out: Path, name: str, record: dict[str, Any], measured: Sequence[str] = ()) -> None:
    """Write `record` to the file `name` of the folder `out`, or check that the same record is there.

    `measured` are keys that were added when the work was done. Raises UserError where `out` is a file, or holds anything
    but what was begun with the same record.
    """
    path = out / name
    if out.is_file():
        raise UserError(f"{out} is a file; name a folder for the simulated maps")
    output_folder(out)
    for part in ("png/buildings_complete", "png/antennas", "gain"):
        output_folder(out / part)
    if is_there(path):
        found = read_json(path, AnyObject, "choose another folder or remove this one")
        found = {key: value for key, value in found.items() if key not in measured}
        if found != record:
            changed = sorted(key for key in record if found.get(key) != record[key])
            raise UserError(
                f"{out} holds a simulation with other {' and '.join(changed)} (see {path.name} there); "
                "choose another folder or remove this one"
            )
    elif out.exists() and any(not entry.name.startswith(".writing-") for entry in out.iterdir()):
        if path.exists():  # another shard has begun just now
            return claim_with_record(out, name, record)
        raise UserError(f"{out} is not empty and holds no simulation; choose an empty or a new folder")
    else:
        write_json(path, record)


def in_processes(workers: int) -> RunJobs:
    """Makes maps in so many processes of this machine, see `run_in_processes`."""

    def run(jobs: Sequence[Job], out: Path, bar: tqdm) -> None:
        for written in run_in_processes(operator.call, jobs, workers, DEATH):
            bar.update(written)

    return run


def _do_all(jobs: Sequence[Job], total: int, run_jobs: RunJobs, out: Path, progress: bool) -> None:
    """Do every job, which returns how many of the `total` gains it has written."""
    with tqdm(total=total, desc="simulating", unit=" map", disable=not progress, smoothing=0.1) as bar:
        run_jobs(jobs, out, bar)


@dataclass(frozen=True)
class _Task:
    """One map of a folder."""

    out: Path
    map_id: int
    cars: bool

    def missing(self, transmitters: Sequence[int]) -> list[int]:
        """Those of the transmitters whose gains are not all there."""
        simulations = ("DPM", "carsDPM") if self.cars else ("DPM",)
        paths = {tx: [gain_path(self.out, name, self.map_id, tx) for name in simulations] for tx in transmitters}
        return [tx for tx in transmitters if not all(is_written(path) for path in paths[tx])]


def _check_at_least(**values: tuple[int, int]) -> None:
    most = {"maps": MAPS, "transmitters": TRANSMITTERS, "workers": WORKERS}
    for name, (value, least) in values.items():
        if value < least:
            raise UserError(f"the simulation needs {name} to be {least} or more, but it is {value}", exit_code=2)
        if name in most:
            check_most(f"the number of {name}", value, most[name])


def _cars_record(cars: bool) -> dict[str, Any]:
    return {"cars": MODEL} if cars else {}


def _simulate_city(task: _Task, transmitters: int, size: tuple[int, int], seed: int) -> int:
    """One city with all its gains; returns the number of gains."""
    if task.missing(range(transmitters)):
        city_seed, *seeds = map_seeds(seed, task.map_id)
        drawn = city(city_seed, *size)
        _simulate(task, drawn.buildings, transmitters, seeds, drawn.polygons)
    return transmitters


def _simulate_mask(task: _Task, buildings: np.ndarray, transmitters: int, seed: int) -> int:
    """One given mask with all its gains; returns their number."""
    if task.missing(range(transmitters)):
        _simulate(task, buildings, transmitters, map_seeds(seed, task.map_id)[1:])
    return transmitters


def map_seeds(seed: int, map_id: int) -> list[int]:
    """Seeds of one map's city, transmitters and cars."""
    return [int(word) for word in np.random.SeedSequence([seed, map_id]).generate_state(3, np.uint64)]


def _simulate(task: _Task, buildings: np.ndarray, transmitters: int, seeds: Sequence[int], polygons=None) -> None:
    places = place_transmitters(buildings, transmitters, seeds[0])
    write_mask(buildings_path(task.out, task.map_id), buildings)
    for transmitter, (row, column) in enumerate(places):
        write_transmitter(antenna_path(task.out, task.map_id, transmitter), buildings.shape, (row, column))
    cars = place_cars(buildings, places, seeds[1]) if task.cars else None
    if cars is not None:
        write_mask(cars_path(task.out, task.map_id), cars)
    _write_gains(task, prepare(buildings, polygons), list(enumerate(places)), cars)


def _simulate_scene(task: _Task, transmitters: Sequence[int]) -> int:
    """All gains of one map whose pictures are in `out` already; returns their number."""
    if missing := task.missing(transmitters):
        buildings, places, cars = read_scene(task.out, task.map_id, missing, task.cars)
        _write_gains(task, prepare(buildings), list(places.items()), cars)
    return len(transmitters)


def _write_gains(
    task: _Task, prepared: PreparedMap, places: Sequence[tuple[int, Sequence[int]]], cars: np.ndarray | None
) -> None:
    for transmitter, (row, column) in places:
        path = gain_path(task.out, "DPM", task.map_id, transmitter)
        if not is_written(path):
            write_grey(path, path_gain_grey(prepared, int(row), int(column)))
        path = gain_path(task.out, "carsDPM", task.map_id, transmitter)
        if cars is not None and not is_written(path):
            write_grey(path, path_gain_grey_with_cars(prepared, cars, int(row), int(column)))
