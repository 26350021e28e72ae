"""One simulated city with all its radio maps: a pure function of a few numbers.

Workers make it whole (`simulate_city`), or draw it and leave the radio maps to JAX in the main process (`draw_city`, then
`compute_fields`). No JAX is imported before that, so that workers start fast.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8

from radiodiff_jax import __version__
from radiodiff_jax.data.records import Record
from radiodiff_jax.simulation import city, path_gain_grey, place_transmitters, prepare
from radiodiff_jax.simulation.cities.generator import City
from radiodiff_jax.simulation.dominant_path.constants import CONSTANTS, VISIBILITY
from radiodiff_jax.simulation.dominant_path.padded_scene import Scene, describe, transmitter_places

TRAINING, VALIDATION = 0, 1  # streams of cities that have none in common
ENDLESS = 2**40  # records of a stream; nobody will see the last one
PROBE_SIZE = (64, 64)


@dataclass(frozen=True)
class CityRequest:
    """Which city: picture (height, width), number of transmitters, seed, stream, number in the stream."""

    size: tuple[int, int]
    transmitters: int
    seed: int
    stream: int
    number: int


class Layout(NamedTuple):
    """A city and its transmitters' pixels (row, column), before any radio map."""

    city: City
    places: Int[np.ndarray, "transmitters 2"]


class SimulatedCity(NamedTuple):
    """A city's records: True is building; pixels (row, column) of the transmitters; grey levels."""

    buildings: Bool[np.ndarray, "height width"]
    places: Int[np.ndarray, "transmitters 2"]
    gains: UInt8[np.ndarray, "transmitters height width"]


class DrawnCity(NamedTuple):
    """A city as the device needs it, and what of its records is known already."""

    buildings: Bool[np.ndarray, "height width"]
    pixels: Int[np.ndarray, "transmitters 2"]
    places: Float32[np.ndarray, "transmitters 2"]
    scene: Scene


def draw_layout(request: CityRequest) -> Layout:
    """The city and where its transmitters stand. Raises UserError if there is no room for them."""
    words = np.random.SeedSequence([request.seed, request.stream, request.number]).generate_state(2, np.uint64)
    drawn = city(int(words[0]), *request.size)
    return Layout(drawn, place_transmitters(drawn.buildings, request.transmitters, int(words[1])))


def simulate_city(request: CityRequest) -> SimulatedCity:
    """All radio maps of a city on the CPU; the same request gives the same bytes. Raises UserError as `draw_layout`."""
    drawn, places = draw_layout(request)
    prepared = prepare(drawn.buildings, drawn.polygons)
    gains = np.stack([path_gain_grey(prepared, int(row), int(column)) for row, column in places])
    return SimulatedCity(drawn.buildings, places, gains)


def draw_city(request: CityRequest) -> DrawnCity:
    """The city without its radio maps; needs no JAX. Raises UserError if there is no room for the transmitters."""
    drawn, pixels = draw_layout(request)
    places = transmitter_places(pixels, drawn.polygons)
    return DrawnCity(drawn.buildings, pixels, places, describe(drawn.buildings, drawn.polygons))


def compute_fields(drawn: DrawnCity) -> SimulatedCity:
    """The radio maps of all transmitters, on JAX's default device; compiled once for each capacity of scenes."""
    from radiodiff_jax.simulation.dominant_path.field_jax import prepare_on_device, radio_maps

    maps = radio_maps(prepare_on_device(drawn.scene), drawn.pixels.astype(np.int32), drawn.places)
    return SimulatedCity(drawn.buildings, drawn.pixels, np.asarray(maps))


def record(simulated: SimulatedCity, number: int, transmitter: int) -> Record:
    """One record of a city, see `records`."""
    return {
        "map": np.int32(number),
        "transmitter": np.int32(transmitter),
        "position": simulated.places[transmitter].astype(np.int32),
        "buildings": simulated.buildings,
        "gain": simulated.gains[transmitter],
    }


def simulation_fingerprint(settings: dict) -> str:
    """SHA-256 of what simulated maps depend on: the settings, the constants, the version, and a probe city's bytes.

    The probe tells apart programs whose cities or rules differ under the same version.
    """
    request = CityRequest(PROBE_SIZE, 2, 0, TRAINING, 0)
    record = {
        "settings": settings,
        "constants": [*CONSTANTS, *VISIBILITY],
        "version": __version__,
        "probe": asdict(request) | {"size": list(PROBE_SIZE)},
    }
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
    buildings, places, gains = simulate_city(request)
    for array in (buildings * 255, places, gains):
        digest.update(np.ascontiguousarray(array, "<i8").tobytes())
    return digest.hexdigest()
