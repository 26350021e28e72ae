"""The three families of paths against their formulas by hand, and what must hold of any map."""

import numpy as np
import pytest

from radiodiff_jax.simulation import city, path_gain_db, path_gain_grey, place_transmitters, prepare
from radiodiff_jax.simulation.cities.polygons import rasterise
from radiodiff_jax.simulation.dominant_path.field_numba import last_bends


def bend_loss(degrees):
    return 2.24 + 0.1545 * min(degrees, 70.0)


def scene(*rings, height=64, width=64):
    """A prepared map of exactly known polygons."""
    return prepare(rasterise(rings, height, width), list(rings))


def block(top, left, bottom, right):
    return np.array([[top, left], [top, right], [bottom, right], [bottom, left]], float)


def test_empty_map_is_the_line_of_sight_law_exactly():
    row, column, height, width = 13, 40, 64, 96
    grey = path_gain_grey(prepare(np.zeros((height, width), bool)), row, column)
    down, right = np.abs(np.mgrid[:height, :width] - np.array([row, column])[:, None, None])
    squared = down**2 + right**2 + 1.0 * ((down == 0) | (right == 0)) + 2.0 * (down == right)
    expected = np.clip(np.rint(255 * (-47.86 - 12.5 * np.log10(squared) + 147) / 99.16), 0, 255)
    expected[row, column] = 255
    assert grey.dtype == np.uint8
    np.testing.assert_array_equal(grey, expected)


def test_full_map_is_dark_but_for_the_transmitter():
    grey = path_gain_grey(prepare(np.ones((32, 64), bool)), 5, 60)
    assert grey[5, 60] == 255
    assert np.count_nonzero(grey) == 1


def test_a_transmitter_outside_the_map_is_refused():
    with pytest.raises(ValueError, match="outside the map"):
        path_gain_grey(prepare(np.zeros((32, 32), bool)), 32, 0)


def test_around_one_corner():
    gain = path_gain_db(scene(block(20, 20, 40, 40)), 10, 30)
    transmitter, corner, receiver = np.array([10, 30]), np.array([20, 40]), np.array([33, 45])
    arriving, leaving = corner - transmitter, receiver - corner
    turn = np.degrees(np.arctan2(*leaving) - np.arctan2(*arriving))
    length = np.hypot(*arriving) + np.hypot(*leaving)
    # Corners stand 0.05 pixels before the wall, which changes the turn by less than half a degree here.
    expected = -(47.86 + 28 * np.log10(length) + bend_loss(turn))
    assert gain[tuple(receiver)] == pytest.approx(expected, abs=0.1)


def roof_gain(before, along, after, buildings):
    height = 23.5
    length = np.hypot(before, height) + along + np.hypot(after, height)
    bends = sum(bend_loss(np.degrees(np.arccos(side / np.hypot(side, height)))) for side in (before, after))
    return -(47.86 + 28 * np.log10(length) + bends + 0.01 * along + 4.48 * (buildings - 1))


def test_over_one_roof_and_over_two():
    # The bars leave the map on both sides, so that only their roofs are a way; a roof point lies at column 29.
    bar, second = block(30, -16, 40, 74), block(44, -16, 50, 74)
    assert path_gain_db(scene(bar), 10, 29)[60, 29] == pytest.approx(roof_gain(19.9, 10.2, 19.9, 1), abs=1e-6)
    over_two = path_gain_db(scene(bar, second), 10, 29)[60, 29]
    assert over_two == pytest.approx(roof_gain(19.9, 20.2, 9.9, 2), abs=1e-6)


def test_last_bends():
    prepared = scene(block(20, 20, 40, 40))
    turns = last_bends(prepared, 10, 30)
    np.testing.assert_array_equal(turns.place[5, 5], [10, 30])  # in sight
    np.testing.assert_allclose(turns.place[33, 45], [20, 40], atol=0.1)  # around one corner
    assert not turns.over_roof[5, 5] and not turns.over_roof[33, 45]
    np.testing.assert_array_equal(np.isnan(turns.place[..., 0]), ~np.isfinite(path_gain_db(prepared, 10, 30)))
    bar = last_bends(scene(block(30, -16, 40, 74)), 10, 29)
    np.testing.assert_allclose(bar.place[60, 29], [40.1, 29])  # down from the roof's far edge
    assert bar.over_roof[42:].all() and not bar.over_roof[:30].any()


def test_a_transmitter_in_a_building_radiates_from_the_nearest_wall():
    prepared = scene(block(20, 20, 40, 40))
    inside, before = path_gain_grey(prepared, 22, 30), path_gain_grey(prepared, 19, 30)
    assert inside[22, 30] == 255
    lit = before[:19] > 0
    assert np.array_equal(inside[:19] > 0, lit)
    assert inside[42, 30] < inside[10, 30]  # nothing shines through the building
    shadows = slice(42, 64), slice(24, 36)
    assert np.abs(inside[shadows].astype(int) - before[shadows]).max() <= 8


SYMMETRIES = {
    "quarter turn": (np.rot90, lambda p, n: np.stack([n - 1 - p[..., 1], p[..., 0]], -1)),
    "mirror": (np.fliplr, lambda p, n: np.stack([p[..., 0], n - 1 - p[..., 1]], -1)),
}


@pytest.mark.parametrize("known_polygons", [True, False])
@pytest.mark.parametrize("name", SYMMETRIES)
def test_a_turned_scene_gives_the_turned_map(name, known_polygons):
    """Not bit for bit: azimuth bins and samples have edges, and tracing starts somewhere. The shares are measured."""
    size = 96
    turn_picture, turn_points = SYMMETRIES[name]
    drawn = city(4, size, size)
    place = place_transmitters(drawn.buildings, 1, 0)[0]
    polygons = drawn.polygons if known_polygons else None
    turned_polygons = [turn_points(ring, size) for ring in drawn.polygons] if known_polygons else None
    plain = path_gain_grey(prepare(drawn.buildings, polygons), *place)
    turned = path_gain_grey(prepare(turn_picture(drawn.buildings), turned_polygons), *turn_points(place, size))
    difference = np.abs(turn_picture(plain).astype(int) - turned)
    assert np.mean(difference <= 1) > (0.999 if known_polygons else 0.98)


def test_what_one_more_building_does():
    """It never lights a place up: lit places stay as they were or get darker, and nothing outshines free space.

    In the shadow of other buildings the gain may rise, for a new building brings new corners and roofs to bend at.
    """
    first, second = block(20, 20, 30, 34), block(38, 40, 52, 50)
    one, two = scene(first), scene(first, second)
    free, before, after = (path_gain_db(prepared, 12, 44) for prepared in (scene(), one, two))
    outdoors = ~two.buildings
    outdoors[12, 44] = False
    lit = outdoors & (before == free)
    assert np.mean(lit) > 0.5
    assert np.all(after[lit] <= before[lit])
    assert np.all(after[outdoors] <= free[outdoors])
    assert np.any(after[lit] < before[lit] - 5)
