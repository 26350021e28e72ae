"""Write ray-traced radio maps of real cities as a RadioMapSeer folder.

    OUT/raytrace.json                        arguments, versions, constants
    OUT/windows.json                         city and place of every map
    OUT/png/buildings_complete/{map}.png     255 = building
    OUT/png/antennas/{map}_{tx}.png          one pixel 255
    OUT/gain/RT/{map}_{tx}.png               grey levels

A gain is written after its pictures; an interrupted run goes on where it stopped when it is called again.
"""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from tqdm import tqdm

from radiodiff_jax import __version__
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_json
from radiodiff_jax.raytrace.library import CITIES, load_ray_tracer, versions
from radiodiff_jax.raytrace.tracing import FREQUENCY, TracedCity, TracedWindow
from radiodiff_jax.raytrace.windows import ANTENNA_HEIGHT, COARSE, building_mask, choose_windows
from radiodiff_jax.simulation.jobs import claim_with_record
from radiodiff_jax.simulation.pictures import transmitter_mask, write_grey, write_mask
from radiodiff_jax.simulation.scenes import place_transmitters
from radiodiff_jax.units import db_to_gain, gain_to_grey

SIMULATION = "RT"
"""The folder below gain/."""
RECORD = "raytrace.json"
FAINTEST = 1e-30  # linear; keeps the logarithm finite, far below grey level 0


def write_ray_traced_folder(
    out: str | Path, cities: Sequence[str], maps: int, transmitters: int, size: tuple[int, int], seed: int = 0,
    depth: int = 8, samples: int = 2_000_000, diffraction: bool = True, progress: bool = True,
) -> None:  # fmt: skip
    """Trace `maps` windows of each city, `transmitters` in each; map ids run through the cities in their order.

    `size` is (height, width) in metres, multiples of 4. Raises UserError for unknown cities, arguments out of range, a
    folder that holds something else, a missing ray tracer or one that does not run.
    """
    unknown = [name for name in cities if name not in CITIES]
    if unknown or not cities or len(set(cities)) < len(cities):
        raise UserError(f"cities must be different ones of {', '.join(CITIES)}, not {' '.join(cities) or 'none'}", exit_code=2)
    least = {"maps": (maps, 1), "transmitters": (transmitters, 1), "seed": (seed, 0), "depth": (depth, 0), "samples": (samples, 1)}
    for name, (value, smallest) in least.items():
        if value < smallest:
            raise UserError(f"ray tracing needs {name} to be {smallest} or more, but it is {value}", exit_code=2)
    if min(size) < COARSE or any(side % COARSE for side in size):
        raise UserError(f"ray tracing needs sides that are multiples of {COARSE} m, but the size is {size[0]} x {size[1]}", 2)
    library = load_ray_tracer()
    out = Path(out)
    arguments = {"cities": list(cities), "maps": maps, "transmitters": transmitters, "size": list(size), "seed": seed,
                 "depth": depth, "samples": samples, "diffraction": diffraction}  # fmt: skip
    claim_with_record(out, RECORD, _record(arguments))
    places = {}
    with tqdm(total=len(cities) * maps * transmitters, unit=" map", disable=not progress, smoothing=0.1) as bar:
        for position, name in enumerate(cities):
            places |= _trace_city(library, out, name, position * maps, arguments, bar)
            write_json(out / "windows.json", places)


def grey_levels(path_gain: Float[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width"]:
    """Linear path gain -> grey levels; nothing arrives: 0."""
    return gain_to_grey(db_to_gain(10 * np.log10(np.maximum(path_gain, FAINTEST))))


def _trace_city(
    library: ModuleType, out: Path, name: str, first_map: int, arguments: dict[str, Any], bar: tqdm
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
        _trace_window(TracedWindow(city, west, north, tuple(size)), out, map_id, (seed, place, number), arguments, bar)
    return written


def _trace_window(
    window: TracedWindow, out: Path, map_id: int, seeds: tuple[int, ...], arguments: dict[str, Any], bar: tqdm
) -> None:
    """Pictures and gains of one window, less what is there already."""
    count = arguments["transmitters"]
    paths = [out / "gain" / SIMULATION / f"{map_id}_{number}.png" for number in range(count)]
    buildings = building_mask(window.roof, window.terrain)
    words = np.random.SeedSequence(seeds).generate_state(1 + count)
    write_mask(out / "png" / "buildings_complete" / f"{map_id}.png", buildings)
    for number, (row, column) in enumerate(place_transmitters(buildings, count, int(words[0]))):
        if not paths[number].exists():
            antenna = out / "png" / "antennas" / f"{map_id}_{number}.png"
            write_mask(antenna, transmitter_mask(buildings.shape, row, column))
            gain = window.path_gain(
                buildings, int(row), int(column), arguments["depth"], arguments["samples"], arguments["diffraction"],
                int(words[1 + number]),
            )  # fmt: skip
            write_grey(paths[number], grey_levels(gain))
        bar.update()


def _record(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "program": "radiodiff_jax",
        "version": __version__,
        "model": "ray tracing",
        "packages": versions(),
        "arguments": arguments,
        "constants": {"antenna_height_m": ANTENNA_HEIGHT, "frequency_hz": FREQUENCY},
    }
