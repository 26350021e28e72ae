"""The simulator in JAX against the one in numba: the same maps, alone, padded more, and many cities at once."""

import jax
import numpy as np
import pytest

from radiodiff_jax.simulation import city, path_gain_grey, place_transmitters, prepare
from radiodiff_jax.simulation.dominant_path.field_jax import prepare_on_device, radio_maps
from radiodiff_jax.simulation.dominant_path.padded_scene import describe, tiled, transmitter_places, untiled

TRANSMITTERS = 5
SMALL = [(1, 64), (2, 64), (3, 64), (4, 64), (9, 64)]  # of one capacity, so that they are compiled once


def transmitters_of(drawn):
    """The drawn ones, and in place of the last a pixel inside a building, which radiates from its wall."""
    pixels = place_transmitters(drawn.buildings, TRANSMITTERS, 0)
    pixels[-1] = np.argwhere(drawn.buildings)[0]
    return pixels.astype(np.int32)


def both(seed, size, traced=False, level=None):
    """(maps by JAX, maps by numba) of one city."""
    drawn = city(seed, size, size)
    pixels, polygons = transmitters_of(drawn), None if traced else drawn.polygons
    known = prepare(drawn.buildings, polygons)
    scene = describe(drawn.buildings, polygons, level)
    maps = radio_maps(prepare_on_device(scene), pixels, transmitter_places(pixels, known.rings))
    return np.asarray(maps), np.stack([path_gain_grey(known, *map(int, pixel)) for pixel in pixels])


def agreement(one, other):
    """Share of pixels within one grey level, of the worst map."""
    assert one.dtype == other.dtype == np.uint8 and one.shape == other.shape
    return (np.abs(one.astype(int) - other) <= 1).mean((1, 2)).min()


@pytest.mark.parametrize("seed,size", [*SMALL, (3, 96)])
def test_maps_are_those_of_the_cpu(seed, size):
    ours, expected = both(seed, size)
    assert len(np.unique(expected)) > 40, "not a trivial scene"
    assert agreement(ours, expected) >= 0.999


def test_traced_polygons_too():
    ours, expected = both(5, 64, traced=True)
    assert agreement(ours, expected) >= 0.999


def test_an_empty_map_is_free_space():
    empty = np.zeros((64, 64), bool)
    pixels = np.tile(np.array([[13, 40]], np.int32), (TRANSMITTERS, 1))
    maps = radio_maps(prepare_on_device(describe(empty)), pixels, transmitter_places(pixels, []))
    assert agreement(np.asarray(maps)[:1], path_gain_grey(prepare(empty), 13, 40)[None]) == 1


def test_many_cities_at_once():
    cities = [city(seed, size, size) for seed, size in SMALL[:2]]
    pixels = np.stack([transmitters_of(drawn) for drawn in cities])
    places = np.stack([transmitter_places(one, drawn.polygons) for one, drawn in zip(pixels, cities, strict=True)])
    scenes = [describe(drawn.buildings, drawn.polygons, level=1) for drawn in cities]
    together = jax.tree.map(lambda *fields: np.stack(fields), *scenes)
    maps = jax.vmap(radio_maps)(jax.vmap(prepare_on_device)(together), pixels, places)
    for index, scene in enumerate(scenes):
        alone = radio_maps(prepare_on_device(scene), pixels[index], places[index])
        assert agreement(np.asarray(maps[index]), np.asarray(alone)) >= 0.9999


def test_capacities():
    drawn = city(3, 64, 64)
    scene = describe(drawn.buildings, drawn.polygons, level=2)
    assert len(scene.corners) == 128 and len(scene.roof_points) == 256 and len(scene.walls) == 128
    large = city(3, 256, 256)
    with pytest.raises(ValueError, match="needs level"):
        describe(large.buildings, large.polygons, level=1)
    with pytest.raises(ValueError, match="multiples of 8"):
        describe(np.zeros((64, 60), bool))


def test_tiles_and_back():
    picture = np.arange(16 * 24).reshape(16, 24)
    tiles = tiled(picture)
    assert tiles.shape == (6, 64) and tiles[1, 0] == 8 and tiles[3, 0] == 8 * 24
    np.testing.assert_array_equal(untiled(tiles, 16, 24), picture)
