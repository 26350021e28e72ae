"""Procedural cities: reproducible, disjoint, as dense as real ones; transmitters stand outdoors."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, label

from radiodiff_jax.errors import UserError
from radiodiff_jax.simulation import city, place_transmitters
from radiodiff_jax.simulation.cities.polygons import inside, orient, rasterise, signed_area

SIZES = [(256, 256), (128, 192), (64, 64)]


@pytest.mark.parametrize("size", SIZES)
def test_a_seed_is_a_city(size):
    one, same, other = city(7, *size), city(7, *size), city(8, *size)
    assert one.buildings.shape == size
    np.testing.assert_array_equal(one.buildings, same.buildings)
    assert all(np.array_equal(a, b) for a, b in zip(one.polygons, same.polygons, strict=True))
    assert one.kind == same.kind
    assert not np.array_equal(one.buildings, other.buildings)


@pytest.mark.parametrize("size", SIZES)
def test_mask_is_the_rasterised_polygons_and_buildings_are_apart(size):
    for seed in range(6):
        drawn = city(seed, *size)
        np.testing.assert_array_equal(drawn.buildings, rasterise(drawn.polygons, *size))
        rings = orient(drawn.polygons)
        outer = [ring for ring in rings if signed_area(ring) > 0]
        # Rasterised alone, every building keeps a free pixel around it: no two touch, not even at a corner.
        components = label(drawn.buildings, np.ones((3, 3)))[0]
        owners = set()
        for ring in outer:
            ids = set(np.unique(components[rasterise([ring], *size) & drawn.buildings])) - {0}
            courtyard_ids = {i for i in ids if _is_inside_a_courtyard(components == i, ring, rings)}
            assert not (ids - courtyard_ids) & owners
            owners |= ids - courtyard_ids


def _is_inside_a_courtyard(component, ring, rings):
    points = np.argwhere(component).astype(float)
    holes = [hole for hole in rings if signed_area(hole) < 0 and inside(hole[:1], [ring])[0]]
    return any(inside(points, [hole]).all() for hole in holes)


@pytest.mark.parametrize("size", SIZES)
def test_cities_are_neither_empty_nor_full(size):
    density = [city(seed, *size).buildings.mean() for seed in range(12)]
    assert min(density) > 0.1
    assert max(density) < 0.45
    assert 0.15 < np.mean(density) < 0.3  # real maps: 0.23


def test_transmitters_stand_apart_from_buildings_in_the_middle_of_the_map():
    buildings = city(3, 128, 192).buildings
    places = place_transmitters(buildings, 20, seed=1)
    np.testing.assert_array_equal(places, place_transmitters(buildings, 20, seed=1))
    assert len({tuple(place) for place in places}) == 20
    assert distance_transform_edt(~buildings)[tuple(places.T)].min() >= 3
    assert np.all(np.abs(places / np.array([128, 192]) - 0.5) < 0.3)


def test_transmitters_in_tight_and_in_hopeless_places():
    buildings = np.ones((32, 32), bool)
    buildings[5, 7:9] = False
    assert {tuple(place) for place in place_transmitters(buildings, 2, seed=0)} == {(5, 7), (5, 8)}
    with pytest.raises(UserError, match="only 2 pixels outside buildings"):
        place_transmitters(buildings, 3, seed=0)
    assert len(place_transmitters(np.zeros((32, 32), bool), 5, seed=0)) == 5
