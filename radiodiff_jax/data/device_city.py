"""Simulated cities whose radio maps are computed by JAX: workers draw them, the main process computes the fields."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int

from radiodiff_jax.data.simulated_city import CityRequest, SimulatedCity, draw_layout
from radiodiff_jax.simulation.on_device.scene import Scene, describe, transmitter_places


class DrawnCity(NamedTuple):
    """A city as the device needs it, and what of its records is known already."""

    buildings: Bool[np.ndarray, "height width"]
    pixels: Int[np.ndarray, "transmitters 2"]
    places: Float32[np.ndarray, "transmitters 2"]
    scene: Scene


def draw_city(request: CityRequest) -> DrawnCity:
    """The city without its radio maps; needs no JAX. Raises UserError if there is no room for the transmitters."""
    drawn, pixels = draw_layout(request)
    places = transmitter_places(pixels, drawn.polygons)
    return DrawnCity(drawn.buildings, pixels, places, describe(drawn.buildings, drawn.polygons))


def compute_fields(drawn: DrawnCity) -> SimulatedCity:
    """The radio maps of all transmitters, on JAX's default device; compiled once for each capacity of scenes."""
    from radiodiff_jax.simulation.on_device.field import prepare_on_device, radio_maps

    maps = radio_maps(prepare_on_device(drawn.scene), drawn.pixels.astype(np.int32), drawn.places)
    return SimulatedCity(drawn.buildings, drawn.pixels, np.asarray(maps))
