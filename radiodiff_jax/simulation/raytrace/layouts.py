"""Ray-traced radio maps of layouts: of made-up cities, or of the buildings and antennas of a folder.

    OUT/simulation.json                      arguments, versions, constants, and in the end the noise
    OUT/png/...                              pictures, as the dominant path model's folders have them
    OUT/gain/RT/{map}_{tx}.png               grey levels
    OUT/gain/carsRT/{map}_{tx}.png           grey levels with the cars in the way, if asked for

The same seed makes the same cities and transmitters as `folder.write_simulated_folder`, so that two kinds of physics can
be compared map by map. One process or several; a run that was stopped goes on where it was.
"""

import operator
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from tqdm import tqdm

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import is_written, write_json
from radiodiff_jax.images import read_grey, write_grey, write_mask
from radiodiff_jax.radiomapseer import antenna_path, buildings_path, cars_path, gain_path, write_transmitter
from radiodiff_jax.simulation.cities.generator import city
from radiodiff_jax.simulation.cities.placement import place_cars, place_transmitters
from radiodiff_jax.simulation.cities.polygons import Ring, trace
from radiodiff_jax.simulation.folder import SMALLEST_SIDE, claim_with_record, map_seeds
from radiodiff_jax.simulation.raytrace.folder import RECORD, ray_tracing_record
from radiodiff_jax.simulation.raytrace.library import load_ray_tracer
from radiodiff_jax.simulation.raytrace.noise import AGAIN, NOISE, difference, noise_of, spread
from radiodiff_jax.simulation.raytrace.prisms import BUILDING_HEIGHT, CAR_HEIGHT, MATERIALS, layout_scene
from radiodiff_jax.simulation.raytrace.tracing import TracedWindow
from radiodiff_jax.simulation.scenes import given_scenes, read_scene
from radiodiff_jax.units import grey_levels
from radiodiff_jax.worker_processes import run_in_processes

CONSTANTS = {"building_height_m": BUILDING_HEIGHT, "car_height_m": CAR_HEIGHT, "materials": MATERIALS}
DEATH = "a process that traces rays died, most likely for want of memory; run again with fewer --workers, finished maps are kept"


@dataclass(frozen=True)
class Rays:
    """What is asked of the ray tracer for each transmitter."""

    rays: int = 2_000_000
    depth: int = 8
    diffraction: bool = True
    seed: int = 0


@dataclass(frozen=True)
class _Layout:
    """One map of a folder, before its pictures are read or drawn."""

    out: Path
    map_id: int
    transmitters: tuple[int, ...]
    rays: Rays
    cars: bool
    size: tuple[int, int] | None = None
    """(height, width) of a city to make up; None for pictures that are in `out` already."""


def write_ray_traced_scenes(
    scenes_root: str | Path, out: str | Path, rays: Rays, workers: int = 1, noise_maps: int = 4, progress: bool = True,
    cars: bool = False,
) -> None:  # fmt: skip
    """Trace every png/antennas/{map}_{tx}.png of a folder; its png tree is copied to `out`.

    Buildings are the polygons traced from the masks. With `cars` also gains with png/cars in the way. Raises UserError
    for missing, unreadable or odd pictures, a folder `out` that holds something else, and a ray tracer that is not there.
    """
    scenes_root, out = Path(scenes_root), Path(out)
    scenes = given_scenes(scenes_root, out, "ray-traced", cars, progress)
    layouts = [_Layout(out, number, tuple(ids), rays, cars) for number, ids in sorted(scenes.transmitters.items())]
    _trace_folder(layouts, scenes.arguments, workers, noise_maps, progress, scenes.copy)


def write_ray_traced_layouts(
    out: str | Path, maps: int, transmitters: int, size: tuple[int, int], rays: Rays, workers: int = 1, noise_maps: int = 4,
    progress: bool = True, cars: bool = False,
) -> None:  # fmt: skip
    """Trace `maps` made-up cities of `size` (height, width) with `transmitters` transmitters each.

    Raises UserError for arguments out of range, a folder that holds something else, and a ray tracer that is not there.
    """
    for name, value, least in (("maps", maps, 1), ("transmitters", transmitters, 1), ("height", size[0], SMALLEST_SIDE),
                               ("width", size[1], SMALLEST_SIDE)):  # fmt: skip
        if value < least:
            raise UserError(f"ray tracing needs {name} to be {least} or more, but it is {value}", exit_code=2)
    arguments = {"maps": maps, "transmitters": transmitters, "size": list(size)}
    layouts = [_Layout(Path(out), number, tuple(range(transmitters)), rays, cars, tuple(size)) for number in range(maps)]
    _trace_folder(layouts, arguments, workers, noise_maps, progress)


def _trace_folder(
    layouts: Sequence[_Layout], arguments: dict[str, Any], workers: int, noise_maps: int, progress: bool,
    first: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    out, rays, cars = layouts[0].out, layouts[0].rays, layouts[0].cars
    for name, value, least in (("rays", rays.rays, 1), ("depth", rays.depth, 0), ("seed", rays.seed, 0), ("workers", workers, 1),
                               ("noise-maps", noise_maps, 0)):  # fmt: skip
        if value < least:
            raise UserError(f"ray tracing needs {name} to be {least} or more, but it is {value}", exit_code=2)
    load_ray_tracer()  # told here, once; the processes load it without a trial
    record = ray_tracing_record(arguments | asdict(rays) | ({"cars": True} if cars else {}), CONSTANTS)
    claim_with_record(out, RECORD, record, measured=(NOISE,))
    first()
    threads = max(1, (os.cpu_count() or 1) // workers) if workers > 1 else 0
    again = spread([(layout, tx) for layout in layouts for tx in layout.transmitters], noise_maps)
    total = sum(len(layout.transmitters) for layout in layouts)
    with tqdm(total=total, unit=" map", disable=not progress, smoothing=0.1) as bar:
        for traced in run_in_processes(operator.call, [partial(_trace, layout, threads) for layout in layouts], workers, DEATH):
            bar.update(traced)
    if again:
        jobs = [partial(_trace_again, layout, tx, threads) for layout, tx in again]
        with tqdm(total=len(jobs), unit=" map", desc="noise", disable=not progress) as bar:
            differences = []
            for one in run_in_processes(operator.call, jobs, workers, DEATH):
                differences.append(one)
                bar.update()
        write_json(out / RECORD, record | {NOISE: noise_of(differences)})


def _trace(layout: _Layout, threads: int) -> int:
    """All gains of one map that are not there; returns how many it has."""
    if missing := [tx for tx in layout.transmitters if not all(is_written(path) for path in _gains(layout, tx))]:
        buildings, rings, places, cars = _pictures(layout)
        library = _library(threads)
        for name, met in (("RT", None), ("carsRT", cars)):
            paths = {tx: gain_path(layout.out, name, layout.map_id, tx) for tx in missing}
            left = [tx for tx in missing if not is_written(paths[tx]) and (name == "RT" or met is not None)]
            window = _window(library, buildings, rings, met) if left else None
            for tx in left:
                write_grey(paths[tx], _grey(window, buildings, places[tx], layout, tx))
    return len(layout.transmitters)


def _trace_again(layout: _Layout, tx: int, threads: int) -> dict[str, float]:
    """How one map differs from the same with other rays, outdoors."""
    buildings, rings, places, _ = _pictures(layout)
    first = read_grey(gain_path(layout.out, "RT", layout.map_id, tx))
    window = _window(_library(threads), buildings, rings, None)
    return difference(first, _grey(window, buildings, places[tx], layout, tx + AGAIN), buildings)


def _gains(layout: _Layout, tx: int) -> list[Path]:
    names = ("RT", "carsRT") if layout.cars else ("RT",)
    return [gain_path(layout.out, name, layout.map_id, tx) for name in names]


def _pictures(
    layout: _Layout,
) -> tuple[Bool[np.ndarray, "height width"], list[Ring], dict[int, tuple[int, int]], Bool[np.ndarray, "height width"] | None]:
    """(buildings, polygons, transmitters, cars) of a map; those of a made-up city are written."""
    out, number = layout.out, layout.map_id
    if layout.size is None:
        buildings, places, cars = read_scene(out, number, layout.transmitters, layout.cars)
        return buildings, trace(buildings), places, cars
    city_seed, transmitter_seed, car_seed = map_seeds(layout.rays.seed, number)
    drawn = city(city_seed, *layout.size)
    chosen = place_transmitters(drawn.buildings, len(layout.transmitters), transmitter_seed)
    places = {tx: (int(row), int(column)) for tx, (row, column) in enumerate(chosen)}
    write_mask(buildings_path(out, number), drawn.buildings)
    for tx, place in places.items():
        write_transmitter(antenna_path(out, number, tx), drawn.buildings.shape, place)
    cars = place_cars(drawn.buildings, chosen, car_seed) if layout.cars else None
    if cars is not None:
        write_mask(cars_path(out, number), cars)
    return drawn.buildings, drawn.polygons, places, cars


def _window(library: ModuleType, buildings: np.ndarray, rings: Sequence[Ring], cars: np.ndarray | None) -> TracedWindow:
    return TracedWindow(layout_scene(library, rings, buildings.shape, cars), 0.0, 0.0, buildings.shape)


def _grey(
    window: TracedWindow, buildings: np.ndarray, place: tuple[int, int], layout: _Layout, tx: int
) -> UInt8[np.ndarray, "height width"]:
    rays = layout.rays
    seed = int(np.random.SeedSequence([rays.seed, layout.map_id, tx]).generate_state(1)[0])
    return grey_levels(window.path_gain(buildings, *place, rays.depth, rays.rays, rays.diffraction, seed))


@cache
def _library(threads: int) -> ModuleType:
    """The ray tracer, which `load_ray_tracer` has tried in the process that started this one; `threads` 0: as many as it likes."""
    import drjit

    if threads:
        drjit.set_thread_count(threads)
    return import_module("sionna.rt")
