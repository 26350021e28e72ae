"""Write ray-traced radio maps of real cities as a RadioMapSeer folder.

    OUT/simulation.json                      arguments, versions, constants, and in the end the noise
    OUT/windows.json                         city and place of every map
    OUT/png/buildings_complete/{map}.png     255 = building
    OUT/png/antennas/{map}_{tx}.png          one pixel 255
    OUT/gain/RT/{map}_{tx}.png               grey levels

A gain is written after its pictures; an interrupted run goes on where it stopped when it is called again.
"""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from tqdm import tqdm

from radiodiff_jax import __version__
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import is_written, write_json
from radiodiff_jax.images import read_grey, write_grey, write_mask
from radiodiff_jax.limits import MAPS, SIDE, TRANSMITTERS, check_most
from radiodiff_jax.radiomapseer import antenna_path, buildings_path, gain_path, write_transmitter
from radiodiff_jax.simulation.cities.placement import place_transmitters
from radiodiff_jax.simulation.folder import claim_with_record
from radiodiff_jax.simulation.raytrace.library import CITIES, load_ray_tracer, versions
from radiodiff_jax.simulation.raytrace.noise import AGAIN, NOISE, difference, noise_of, spread
from radiodiff_jax.simulation.raytrace.tracing import ANTENNA_HEIGHT, COARSE, FREQUENCY, TracedCity, TracedWindow
from radiodiff_jax.units import grey_levels

SIMULATION = "RT"
"""The folder below gain/."""
RECORD = "simulation.json"
BUILT_SHARE = (0.25, 0.65)
"""Least and greatest share of a window that is built over; beyond there are hardly buildings, or hardly streets."""
TRIALS = 400  # windows drawn before the choice is made


def write_ray_traced_folder(
    out: str | Path, cities: Sequence[str], maps: int, transmitters: int, size: tuple[int, int], seed: int = 0,
    depth: int = 8, samples: int = 2_000_000, diffraction: bool = True, progress: bool = True,
    noise_maps: int = 0,
) -> None:  # fmt: skip
    """Trace `maps` windows of each city, `transmitters` in each; map ids run through the cities in their order.

    `noise_maps` of them are traced a second time with other rays, for the record. `size` is (height, width) in metres,
    multiples of 4. Raises UserError for unknown cities, arguments out of range, a folder that holds something else, a
    missing ray tracer or one that does not run.
    """
    unknown = [name for name in cities if name not in CITIES]
    if unknown or not cities or len(set(cities)) < len(cities):
        raise UserError(f"cities must be different ones of {', '.join(CITIES)}, not {' '.join(cities) or 'none'}", exit_code=2)
    least = {"maps": (maps, 1), "transmitters": (transmitters, 1), "seed": (seed, 0), "depth": (depth, 0), "samples": (samples, 1),
             "noise-maps": (noise_maps, 0)}  # fmt: skip
    for name, (value, smallest) in least.items():
        if value < smallest:
            raise UserError(f"ray tracing needs {name} to be {smallest} or more, but it is {value}", exit_code=2)
    limits = {"maps": (maps, MAPS), "transmitters": (transmitters, TRANSMITTERS), "pixels along a side": (max(size), SIDE)}
    for name, (value, largest) in limits.items():
        check_most(f"the number of {name}", value, largest)
    if min(size) < COARSE or any(side % COARSE for side in size):
        raise UserError(f"ray tracing needs sides that are multiples of {COARSE} m, but the size is {size[0]} x {size[1]}", 2)
    library = load_ray_tracer()
    out = Path(out)
    arguments = {"cities": list(cities), "maps": maps, "transmitters": transmitters, "size": list(size), "seed": seed,
                 "depth": depth, "samples": samples, "diffraction": diffraction}  # fmt: skip
    record = ray_tracing_record(arguments)
    claim_with_record(out, RECORD, record, measured=(NOISE,))
    pairs = [(number, tx) for number in range(len(cities) * maps) for tx in range(transmitters)]
    again = _Again(frozenset(spread(pairs, noise_maps)), [])
    places = {}
    with tqdm(total=len(pairs) + len(again.pairs), unit=" map", disable=not progress, smoothing=0.1) as bar:
        for position, name in enumerate(cities):
            places |= _trace_city(library, out, name, position * maps, arguments, again, bar)
            write_json(out / "windows.json", places)
    if again.differences:
        write_json(out / RECORD, record | {NOISE: noise_of(again.differences)})


class _Again(NamedTuple):
    """(map, transmitter) of those that are traced twice, and what came of it."""

    pairs: frozenset[tuple[int, int]]
    differences: list[dict[str, float]]


def building_mask(
    roof: Float[np.ndarray, "height width"], ground: Float[np.ndarray, "height width"]
) -> Bool[np.ndarray, "height width"]:
    """Cells whose highest surface is above the antennas' height over the local ground."""
    return roof > ground + ANTENNA_HEIGHT


def choose_windows(
    built: Bool[np.ndarray, "rows columns"], sides: tuple[int, int], count: int, seed: int, city: str
) -> list[tuple[int, int]]:
    """`count` windows of `sides` (rows, columns) as (first row, first column), sensibly built over, drawn by `seed`.

    Windows overlap as little as the draw allows: each is the one of many drawn windows that shares least area with those
    before it. Raises UserError where the city is smaller than a window, or no window is built over as it should be.
    """
    height, width = sides
    rows, columns = built.shape
    if rows < height or columns < width:
        raise UserError(
            f"{city} is {columns * COARSE} x {rows * COARSE} m, too small for a window of {width * COARSE} x "
            f"{height * COARSE} m; choose a smaller --size or another city",
            exit_code=2,
        )
    generator = np.random.default_rng(seed)
    tops, lefts = generator.integers(rows - height + 1, size=TRIALS), generator.integers(columns - width + 1, size=TRIALS)
    total = np.pad(built.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    bottoms, rights = tops + height, lefts + width
    share = (total[bottoms, rights] - total[tops, rights] - total[bottoms, lefts] + total[tops, lefts]) / (height * width)
    fitting = np.flatnonzero((share >= BUILT_SHARE[0]) & (share <= BUILT_SHARE[1]))
    if len(fitting) < count:
        raise UserError(
            f"only {len(fitting)} of {TRIALS} windows of {width * COARSE} x {height * COARSE} m drawn in {city} are built over by "
            f"{BUILT_SHARE[0]:.0%} to {BUILT_SHARE[1]:.0%}, too few for {count} maps; ask for fewer maps or another size"
        )
    tops, lefts = tops[fitting], lefts[fitting]
    shared, chosen = np.zeros(len(fitting)), []
    for _ in range(count):
        best = int(np.argmin(shared))  # the first drawn of the equally good
        chosen.append((int(tops[best]), int(lefts[best])))
        overlap = (height - np.abs(tops - tops[best])).clip(0) * (width - np.abs(lefts - lefts[best])).clip(0)
        shared += overlap
        shared[best] = np.inf
    return chosen


def _trace_city(
    library: ModuleType, out: Path, name: str, first_map: int, arguments: dict[str, Any], again: _Again, bar: tqdm
) -> dict[str, Any]:
    """All maps of one city; returns map -> city and place, for the record."""
    maps, size, seed = arguments["maps"], arguments["size"], arguments["seed"]
    city = TracedCity(library, name)
    coarse = tuple(side // COARSE for side in size)
    place = list(CITIES).index(name)
    window_seed = np.random.SeedSequence([seed, place]).generate_state(1)[0]
    windows = choose_windows(building_mask(*city.coarse_heights()), coarse, maps, window_seed, name)
    written = {}
    for number, (top, left) in enumerate(windows):
        west, north = city.west + left * COARSE, city.north - top * COARSE
        map_id = first_map + number
        written[str(map_id)] = {"city": name, "west": round(west, 3), "north": round(north, 3)}
        _trace_window(TracedWindow(city, west, north, tuple(size)), out, map_id, (seed, place, number), arguments, again, bar)
    return written


def _trace_window(
    window: TracedWindow, out: Path, map_id: int, seeds: tuple[int, ...], arguments: dict[str, Any], again: _Again, bar: tqdm
) -> None:
    """Pictures and gains of one window, less what is there already."""
    rays = arguments["depth"], arguments["samples"], arguments["diffraction"]
    count = arguments["transmitters"]
    paths = [gain_path(out, SIMULATION, map_id, number) for number in range(count)]
    buildings = building_mask(window.roof, window.terrain)
    words = np.random.SeedSequence(seeds).generate_state(1 + count)
    write_mask(buildings_path(out, map_id), buildings)
    for number, (row, column) in enumerate(place_transmitters(buildings, count, int(words[0]))):
        if not is_written(paths[number]):
            write_transmitter(antenna_path(out, map_id, number), buildings.shape, (row, column))
            gain = window.path_gain(buildings, int(row), int(column), *rays, int(words[1 + number]))
            write_grey(paths[number], grey_levels(gain))
        bar.update()
        if (map_id, number) in again.pairs:
            other_seed = int(np.random.SeedSequence([*seeds, number + AGAIN]).generate_state(1)[0])
            other = grey_levels(window.path_gain(buildings, int(row), int(column), *rays, other_seed))
            again.differences.append(difference(read_grey(paths[number]), other, buildings))
            bar.update()


def ray_tracing_record(arguments: dict[str, Any], further_constants: dict[str, Any] | None = None) -> dict[str, Any]:
    """What simulation.json says before the first map is traced."""
    return {
        "program": "radiodiff_jax",
        "version": __version__,
        "model": "ray tracing",
        "packages": versions(),
        "arguments": arguments,
        "constants": {"antenna_height_m": ANTENNA_HEIGHT, "frequency_hz": FREQUENCY} | (further_constants or {}),
    }
