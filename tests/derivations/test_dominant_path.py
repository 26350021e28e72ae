"""Formulae of `derivations/dominant-path.md`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.features import Scene, estimate_gain
from radiodiff_jax.propagation import OUT_OF_SIGHT_DB, bent_path_db, distance_law, line_of_sight_db, over_roofs_db
from radiodiff_jax.simulation import path_gain_db, path_gain_grey, prepare
from radiodiff_jax.simulation.cities.polygons import rasterise
from radiodiff_jax.simulation.dominant_path.constants import CONSTANTS, VISIBILITY
from radiodiff_jax.simulation.dominant_path.ground_numba import bend_loss, bends_around
from radiodiff_jax.simulation.dominant_path.roofs_numba import slanted_bend
from radiodiff_jax.simulation.dominant_path.visibility_numba import depth_map, look
from radiodiff_jax.units import db_to_gain, gain_to_grey
from tests.derivations.formulas import evaluates

RNG = np.random.default_rng(7)


def loss_of_bend(degrees):
    return 2.24 + 0.1545 * min(degrees, 70.0)


def block(top, left, bottom, right):
    return np.array([[top, left], [top, right], [bottom, right], [bottom, left]], float)


def scene(*rings):
    return prepare(rasterise(rings, 64, 64), list(rings))


@pytest.fixture(scope="module")
def one_block():
    """A block of 20 m, the transmitter above it: (prepared map, path gain in dB)."""
    prepared = scene(block(20, 20, 40, 40))
    return prepared, path_gain_db(prepared, 10, 30)


@evaluates(1, 10)
def test_grey_levels(one_block):
    prepared, gain = one_block
    expected = np.zeros((64, 64))
    for place in np.ndindex(64, 64):
        if np.isfinite(gain[place]):
            expected[place] = min(max(round(255 * (gain[place] + 147) / 99.16), 0), 255)
    expected[10, 30] = 255
    np.testing.assert_array_equal(path_gain_grey(prepared, 10, 30), expected)
    np.testing.assert_array_equal(gain_to_grey(db_to_gain(np.array([-200.0, -147, -97.42, 0]))), [0, 0, 128, 255])
    assert 99.16 / 255 == pytest.approx(0.389, abs=5e-4)


@evaluates(2)
def test_loss_at_one_metre_is_that_of_free_space():
    found = 20 * np.log10(4 * np.pi * 5.9e9 / 299_792_458)
    assert found == pytest.approx(CONSTANTS.loss_at_one_metre, abs=0.01)
    assert CONSTANTS.roof_height == 25 - 1.5


@evaluates(3, 4)
def test_line_of_sight(one_block):
    row, column = 10, 30
    law = np.zeros((64, 64))
    for y, x in np.ndindex(64, 64):
        down, right = abs(y - row), abs(x - column)
        squared = down**2 + right**2 + (down == 0 or right == 0) + 2 * (down == right)
        law[y, x] = -47.86 - 25 * np.log10(np.sqrt(squared))
    law_gain = distance_law(np.zeros((64, 64), bool), row, column).astype(np.float64)
    elsewhere = np.ones((64, 64), bool)
    elsewhere[row, column] = False
    np.testing.assert_allclose(law_gain[elsewhere], (law[elsewhere] + 147) / 99.16, atol=1e-6)
    gain = one_block[1]
    np.testing.assert_allclose(gain[:20], law[:20], atol=1e-9)  # all above the block is in sight
    np.testing.assert_allclose(line_of_sight_db(np.array([1.0, 100.0])), [-47.86, -72.86], atol=1e-12)
    farthest = line_of_sight_db(np.array(2 * 255.0**2))
    assert farthest == pytest.approx(-111.8, abs=0.05) and line_of_sight_db(np.array(1487.0**2)) == pytest.approx(
        -127.17, abs=0.01
    )


@evaluates(5)
def test_bend():
    for degrees in (0.0, 35.0, 70.0, 120.0):
        assert bend_loss(np.radians(degrees), CONSTANTS) == pytest.approx(loss_of_bend(degrees))
    assert loss_of_bend(180) == pytest.approx(13.055)


def turn_between(before, after):
    cosine = before @ after / np.linalg.norm(before) / np.linalg.norm(after)
    return np.degrees(np.arccos(cosine))


def over_corners(places):
    """Path gain in dB along the ground by way of the places between the first and the last."""
    legs = np.diff(np.array(places, float), axis=0)
    bends = sum(loss_of_bend(turn_between(*pair)) for pair in zip(legs[:-1], legs[1:], strict=True))
    return -(47.86 + 28 * np.log10(np.linalg.norm(legs, axis=1).sum()) + bends)


def over_roofs(transmitter, up, down, receiver, height=23.5):
    """Path gain in dB over one roof by way of the points `up` and `down` of its edge."""
    legs = [np.array([*leg, rise]) for leg, rise in
            zip(np.diff([transmitter, up, down, receiver], axis=0), (height, 0, -height), strict=True)]  # fmt: skip
    bends = sum(loss_of_bend(turn_between(*pair)) for pair in zip(legs[:-1], legs[1:], strict=True))
    length = sum(np.linalg.norm(leg) for leg in legs)
    return -(47.86 + 28 * np.log10(length) + bends + 0.01 * np.linalg.norm(legs[1]))


@evaluates(6, 9, 10)
def test_the_dominant_path_is_the_best_of_both_families():
    """A block that leaves the map on the right: around its left side, or over it."""
    prepared = scene(block(20, 8, 40, 80))
    gain = path_gain_db(prepared, 10, 30)
    upper, lower = sorted(prepared.corners.points.tolist())
    assert gain[33, 3] == pytest.approx(over_corners([(10, 30), upper, (33, 3)]), abs=1e-4)
    points = prepared.roof_points
    facing, behind = points[points[:, 0] < 20], points[points[:, 0] > 40]
    families = set()
    for receiver in ((43, 10), (48, 34), (50, 60)):  # below the block, where its left side is not seen
        around = over_corners([(10, 30), upper, lower, receiver])
        over = max(over_roofs((10, 30), up, down, receiver) for up in facing for down in behind)
        assert gain[receiver] == pytest.approx(max(around, over), abs=1e-4)
        families.add(bool(around > over))
    assert families == {True, False}


@evaluates(7)
def test_where_a_path_may_bend():
    degrees = np.arange(-178.0, 180.0, 7.0)
    allowed = 0
    for arrival in (-150.0, 0.0, 100.0):
        for psi in degrees:
            for half in (20.0, 45.0, 70.0):
                for turn in degrees:
                    edges = abs(psi) - half, 180 - abs(psi) - half
                    if min(abs(edges[0] + 4), abs(edges[1] + 4)) < 0.5:
                        continue  # too near the tolerance to tell
                    expected = edges[0] > -4 and edges[1] > -4 and turn * np.sign(psi) >= 0
                    into, outgoing = (np.radians((arrival + angle + 180) % 360 - 180) for angle in (psi, turn))
                    found = bends_around(into, np.radians(half), np.radians(arrival), outgoing)
                    assert found == expected, (psi, half, turn)
                    allowed += found
    assert allowed > 1000


@evaluates(8)
def test_angle_with_a_ray_that_climbs():
    for azimuth, turn, horizontal in ((0.3, 0.0, 5.0), (1.0, 2.0, 30.0), (-2.0, -0.4, 0.7)):
        climbing = np.array([horizontal * np.cos(azimuth), horizontal * np.sin(azimuth), 23.5])
        level = np.array([np.cos(azimuth + turn), np.sin(azimuth + turn), 0])
        found = slanted_bend(turn, horizontal, np.hypot(horizontal, 23.5))
        assert np.degrees(found) == pytest.approx(turn_between(climbing, level))


@evaluates(9)
@pytest.mark.parametrize("buildings", [1, 2])
def test_roof_paths(buildings):
    """Bars that leave the map on both sides, so that only their roofs are a way; a roof point lies at column 29."""
    bars = [block(30, -16, 40, 74), block(44, -16, 50, 74)][:buildings]
    end = (40, 50)[buildings - 1]
    before, along, after = 30 - 0.1 - 10, end - 30 + 0.2, 60 - end - 0.1
    length = np.hypot(before, 23.5) + along + np.hypot(after, 23.5)
    bends = sum(loss_of_bend(np.degrees(np.arccos(a / np.hypot(a, 23.5)))) for a in (before, after))
    expected = -(47.86 + 28 * np.log10(length) + bends + 0.01 * along + 4.48 * (buildings - 1))
    assert path_gain_db(scene(*bars), 10, 29)[60, 29] == pytest.approx(expected, abs=1e-6)


@evaluates(11)
def test_depth_map():
    bins, place = 64, np.array([3.0, 4.0])
    walls = np.array([[8.0, 1.0, 9.0, 12.0], [0.0, 9.0, 20.0, 10.0]])
    expected = np.full(bins, np.inf)
    for i in range(bins):
        azimuth = 2 * np.pi / bins * (i + 0.5)
        ray = np.array([np.sin(azimuth), np.cos(azimuth)])
        for wall in walls:
            side = wall[2:] - wall[:2]
            distance, share = np.linalg.solve(np.stack([ray, -side], 1), wall[:2] - place)  # d ray = start + share side
            if distance > 0 and 0 <= share <= 1:
                start = wall[:2] - place
                crossed = (start[1] * side[0] - start[0] * side[1]) / (ray[1] * side[0] - ray[0] * side[1])
                assert crossed == pytest.approx(distance)
                expected[i] = min(expected[i], distance)
    found = depth_map(*place, walls, bins, VISIBILITY.nearest_hit)
    hit = np.isfinite(expected)
    assert hit.any() and not hit.all()
    np.testing.assert_allclose(found[hit], expected[hit], rtol=1e-9)
    assert (found[~hit] == found.max()).all() and found.max() > 1e6
    i = int(np.flatnonzero(hit)[0])
    direction = np.array([np.sin(2 * np.pi / bins * (i + 0.5)), np.cos(2 * np.pi / bins * (i + 0.5))])
    points = place + np.array([expected[i] - 0.1, expected[i] + 0.2, expected[i] + 0.4])[:, None] * direction
    np.testing.assert_array_equal(look(*place, found, points, VISIBILITY.point_to_pixel)[0], [0, 1])


def estimate(kind, buildings, row, column):
    """(an estimate in dB, the ways around the buildings)."""

    @jax.jit
    def compute(buildings, position):
        scene = Scene(buildings, position)
        return estimate_gain(kind, scene), scene.ways

    gain, ways = compute(jnp.asarray(buildings)[None], jnp.array([[row, column]]))
    return np.asarray(gain, np.float64)[0, ..., 0] * 99.16 - 147, ways


@evaluates(12)
def test_line_of_sight_estimate():
    buildings = np.zeros((16, 16), bool)
    buildings[8, 4:12] = True  # a wall below the transmitter
    found, _ = estimate("line_of_sight", buildings, 3, 8)
    for place, loss in (((0, 2), 0), ((6, 8), 0), ((3, 8), 0), ((14, 8), OUT_OF_SIGHT_DB), ((8, 6), OUT_OF_SIGHT_DB)):
        squared = max((place[0] - 3) ** 2 + (place[1] - 8) ** 2, 1)
        assert found[place] == pytest.approx(min(-47.86 - 12.5 * np.log10(squared) - loss, 0), abs=1e-3)
    assert OUT_OF_SIGHT_DB == 16


@evaluates(13)
def test_over_the_roofs_straight_ahead():
    """Against the rays in space, for one building and with more of them below."""
    for before, along, after, crossed in ((20.0, 15.0, 9.0, 1), (3.0, 80.0, 40.0, 3), (0.5, 6.0, 0.5, 2)):
        corners = [(0, 0), (0, before), (0, before + along), (0, before + along + after)]
        expected = over_roofs(*corners) - 4.48 * (crossed - 1)
        found = over_roofs_db(*(np.array([value]) for value in (before, along, after)), np.array([crossed]))
        assert found[0] == pytest.approx(expected, abs=1e-6)


@evaluates(14)
def test_around_the_corners_of_a_way():
    for places in ([(0, 0), (10, 2), (12, 30)], [(0, 0), (10, 2), (12, 30), (0, 50)]):
        legs = np.diff(np.array(places, float), axis=0)
        bends = sum(loss_of_bend(turn_between(*pair)) for pair in zip(legs[:-1], legs[1:], strict=True))
        length = np.linalg.norm(legs, axis=1).sum()
        assert bent_path_db(np.array([length]), np.array([bends]))[0] == pytest.approx(over_corners(places))


@evaluates(13, 14, 15)
def test_path_estimate_is_the_better_of_both():
    """A bar that leaves the map on the right, 20 pixels wide, the transmitter above it."""
    buildings = np.zeros((64, 64), bool)
    buildings[20:40, 8:] = True
    row, column = 10, 30
    found, ways = estimate("path", buildings, row, column)
    law = -47.86 - 12.5 * np.log10(np.maximum((np.arange(20) - row)[:, None] ** 2 + (np.arange(64) - column) ** 2, 1))
    np.testing.assert_allclose(found[:20], np.minimum(law, 0), atol=1e-3)  # all above the bar is in sight
    better, capped = set(), False
    for receiver in ((43, 10), (48, 34), (50, 60), (60, 30)):
        shares = (np.arange(64) + 0.5) / 64
        line = np.round(np.array([row, column]) + shares[:, None] * (np.array(receiver) - [row, column])).astype(int)
        hit = np.flatnonzero(buildings[line[:, 0], line[:, 1]])
        distance = np.hypot(receiver[0] - row, receiver[1] - column)
        before, after = hit[0] / 64 * distance, (63 - hit[-1]) / 64 * distance
        over = over_roofs((0, 0), (0, before), (0, distance - after), (0, distance))
        corners = np.array([(row, column), (19.5, 7.5), (39.5, 7.5), receiver])
        length, bends = float(ways.length[0][receiver]), float(ways.bends_db[0][receiver])
        assert length == pytest.approx(np.linalg.norm(np.diff(corners, axis=0), axis=1).sum(), abs=2)  # bends at pixels
        around = -(47.86 + 28 * np.log10(length) + min(bends, 22))
        capped |= bends > 22
        assert found[receiver] == pytest.approx(max(over, around), abs=1e-3)
        better.add(bool(around > over))
    assert better == {True, False} and capped
    inside, entrance = np.nonzero(buildings.ravel())[0], np.asarray(ways.entrance)[0]
    assert not buildings.ravel()[entrance].any()
    np.testing.assert_array_equal(found.ravel()[inside], found.ravel()[entrance[inside]])
