"""Cars: apart from everything else, along streets, a given loss for those in the way."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, distance_transform_edt, label

from radiodiff_jax.simulation import city, place_transmitters
from radiodiff_jax.simulation.cities.placement import place_cars
from radiodiff_jax.simulation.dominant_path.car_loss import car_loss_db
from radiodiff_jax.simulation.dominant_path.field_numba import LastBends

NEIGHBOURS = np.ones((3, 3))


@pytest.fixture(scope="module")
def scene():
    buildings = city(3, 192, 128).buildings
    transmitters = place_transmitters(buildings, 20, seed=0)
    return buildings, transmitters, place_cars(buildings, transmitters, seed=0)


def test_cars_are_drawn_by_a_seed(scene):
    buildings, transmitters, cars = scene
    np.testing.assert_array_equal(cars, place_cars(buildings, transmitters, seed=0))
    assert np.any(cars != place_cars(buildings, transmitters, seed=1))


def test_cars_are_apart_from_buildings_transmitters_and_each_other(scene):
    buildings, transmitters, cars = scene
    around = binary_dilation(cars, NEIGHBOURS)
    assert not np.any(around & buildings)
    assert not np.any(around[tuple(transmitters.T)])
    sizes = np.bincount(label(cars, NEIGHBOURS)[0].ravel())[1:]
    assert len(sizes) > 20 and sizes.max() <= 14  # 8.3 square metres; two that touched would be more


def test_cars_stand_along_the_street():
    buildings = np.zeros((96, 96), bool)
    buildings[10:40], buildings[58:88] = True, True  # a street from left to right, 18 m wide
    cars, number = label(place_cars(buildings, [], seed=0), NEIGHBOURS)
    assert number > 5
    for one in range(1, number + 1):
        rows, columns = np.nonzero(cars == one)
        if 2 < columns.min() and columns.max() < 93:  # not cut by the border
            assert np.ptp(columns) in (3, 4) and np.ptp(rows) in (1, 2)
    street = place_cars(buildings, [], seed=0)[40:58].any(axis=1)
    assert not street[0] and not street[-1]


def test_small_courtyards_and_maps_without_streets_have_no_cars():
    block = np.zeros((96, 96), bool)
    block[8:88, 8:88] = True
    block[30:66, 30:66] = False
    assert not place_cars(block, [], seed=0)[30:66, 30:66].any()
    assert not place_cars(np.zeros((64, 64), bool), [], seed=0).any()
    assert not place_cars(np.ones((64, 64), bool), [], seed=0).any()


def test_each_car_across_the_last_leg_counts_up_to_four():
    """A transmitter at the left end of a row of six cars; a receiver between them has those before it in the way."""
    cars = np.zeros((9, 64), bool)
    for start in range(8, 56, 8):
        cars[3:6, start : start + 2] = True
    place = np.broadcast_to(np.array([4, 0], np.float32), (9, 64, 2)).copy()
    over_roof = np.zeros((9, 64), bool)
    place[4, 63], over_roof[4, 62] = np.nan, True
    loss = car_loss_db(LastBends(place, over_roof), cars)
    for column in range(62):
        before = (column - 2) // 8 if column >= 10 else 0  # a car's own pixels are not behind it
        expected = 20 * np.log10(1 + min(before, 4))
        assert loss[4, column] == pytest.approx(expected), column
    assert loss[4, 62] == loss[4, 63] == 0
    assert loss[0, 20] == 0  # beside them all


def test_a_transmitter_among_cars_stands_on_its_own():
    cars = np.zeros((9, 32), bool)
    cars[3:6, 0:4] = True
    place = np.broadcast_to(np.array([4, 2], np.float32), (9, 32, 2))
    assert not car_loss_db(LastBends(place, np.zeros((9, 32), bool)), cars).any()


def test_cars_do_not_come_nearer_to_fronts_than_a_pavement(scene):
    buildings, _, cars = scene
    assert distance_transform_edt(~buildings)[cars].min() >= 1.4
