"""The closed forms, and straight lines and shortest ways against loops and a graph library on the host."""

import functools

import jax
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from radiodiff_jax.data.symmetries import transform_image, transform_position
from radiodiff_jax.paths import STEPS, WALL_FACTOR, cast_rays, shortest_ways, way_lengths
from radiodiff_jax.propagation import (
    MOST_BENDS_DB,
    bend_loss_db,
    bent_path_db,
    distance_law,
    line_of_sight_db,
    over_roofs_db,
)

HEIGHT, WIDTH = 24, 32
rays_of, ways_of, lengths_of = jax.jit(cast_rays), jax.jit(shortest_ways), jax.jit(way_lengths)


def random_scenes(height=HEIGHT, width=WIDTH, seed=0):
    """Four scenes with blocks of buildings, and with single pixels and thin walls in the last two."""
    random = np.random.default_rng(seed)
    buildings = np.zeros((4, height, width), bool)
    for scene in buildings:
        for _ in range(7):
            row, column = random.integers(0, height - 3), random.integers(0, width - 3)
            scene[row : row + random.integers(2, 9), column : column + random.integers(2, 9)] = True
    buildings[2:] |= random.random(buildings[2:].shape) < 0.15
    buildings[3, height // 2, : width - 2] = True
    position = np.array([random.permutation(np.argwhere(~scene))[0] for scene in buildings], np.int32)
    return buildings, position


def rays_by_loops(buildings, row, column):
    """In-sight, walls crossed, metres inside, before and after buildings of one scene, a pixel at a time."""
    height, width = buildings.shape
    count = max(height, width)
    results = np.zeros((5, height, width))
    for y in range(height):
        for x in range(width):
            share = (np.arange(count, dtype=np.float32) + np.float32(0.5)) / np.float32(count)
            rows = np.round(np.float32(row) + share * np.float32(y - row)).astype(int)
            columns = np.round(np.float32(column) + share * np.float32(x - column)).astype(int)
            hit = buildings[rows, columns]
            distance = np.hypot(y - row, x - column)
            entries = np.sum(hit[1:] & ~hit[:-1]) + hit[0]
            ends = (np.argmax(hit), np.argmax(hit[::-1])) if hit.any() else (count, count)
            results[:, y, x] = not hit.any(), entries, hit.mean() * distance, *(end / count * distance for end in ends)
    return results


def graph_by_scipy(buildings, start):
    """Shortest ways of one scene over the same 16 neighbours, by Dijkstra's algorithm from a node beside `start`."""
    height, width = buildings.shape
    index = np.arange(height * width).reshape(height, width)
    edges = []
    for y in range(height):
        for x in range(width):
            edges.append((height * width, index[y, x], start[y, x]))
            for down, across in STEPS:
                if not (0 <= y + down < height and 0 <= x + across < width):
                    continue
                between = {(y + down, x), (y, x + across)}
                if abs(down) + abs(across) == 3:
                    steep = abs(down) == 2
                    one = (y + down // 2, x) if steep else (y, x + across // 2)
                    between = {one, (one[0], x + across) if steep else (y + down, one[1])}
                squeezed = 0 not in (down, across) and all(buildings[pixel] for pixel in between)
                wall = buildings[y, x] or buildings[y + down, x + across] or squeezed
                edges.append((index[y, x], index[y + down, x + across], np.hypot(down, across) * WALL_FACTOR**wall))
    rows, columns, lengths = np.array(edges).T
    size = height * width + 1
    graph = coo_array((lengths, (rows.astype(int), columns.astype(int))), shape=(size, size)).tocsr()
    return dijkstra(graph, indices=height * width)[:-1].reshape(height, width)


@functools.cache
def random_ways():
    buildings, position = random_scenes()
    rays = rays_of(buildings, position)
    return buildings, position, rays, ways_of(buildings, position, rays.in_sight)


def test_the_law_and_the_baseline_of_distance():
    np.testing.assert_allclose(line_of_sight_db(np.array([1.0, 100.0, 10000.0])), [-47.86, -72.86, -97.86])
    np.testing.assert_allclose(line_of_sight_db(jax.numpy.array([1.0, 100.0])), [-47.86, -72.86], rtol=1e-6)
    buildings = np.zeros((8, 40), bool)
    buildings[2:4, 3:5] = True
    law = distance_law(buildings, 1, 2)
    assert law.dtype == np.float32 and law[1, 2] == 1 and (law[buildings] == 0).all()
    assert law[6, 30] == np.float32((-47.86 - 12.5 * np.log10(25 + 784) + 147) / 99.16)
    assert law[1, 30] == np.float32((-47.86 - 12.5 * np.log10(784 + 1) + 147) / 99.16)
    assert law[6, 7] == np.float32((-47.86 - 12.5 * np.log10(50 + 2) + 147) / 99.16)


def test_losses_of_bends_and_roofs():
    np.testing.assert_allclose(bend_loss_db(np.array([0.0, 10.0, 70.0, 170.0])), [2.24, 3.785, 13.055, 13.055])
    np.testing.assert_allclose(bent_path_db(np.array([0.2, 100.0]), 5.0), [-52.86, -108.86])
    # far from the edges the bends are nearly straight: 2.24 dB each, and 4.48 dB for each further building
    far = over_roofs_db(np.array([1e5]), np.array([100.0]), np.array([1e5]), np.array([3]))
    np.testing.assert_allclose(far, bent_path_db(np.array([200100.0]), 4 * 2.24 + 4.48 + 1.0), atol=0.01)
    # right at the wall both bends are 90 degrees, saturated
    near = over_roofs_db(np.array([0.0]), np.array([10.0]), np.array([0.0]), np.array([1]))
    np.testing.assert_allclose(near, bent_path_db(np.array([57.0]), 2 * 13.055 + 0.1), atol=1e-6)


def test_rays_equal_a_loop_over_pixels():
    buildings, position, rays, _ = random_ways()
    for scene, (row, column) in enumerate(position):
        sight, walls, metres, before, after = rays_by_loops(buildings[scene], row, column)
        np.testing.assert_array_equal(rays.in_sight[scene], sight.astype(bool))
        np.testing.assert_array_equal(rays.walls[scene], walls)
        for name, expected in (("metres", metres), ("before", before), ("after", after)):
            np.testing.assert_allclose(getattr(rays, name)[scene], expected, rtol=1e-5, atol=1e-5)


def test_lengths_equal_dijkstra_on_the_same_graph():
    buildings, position = random_scenes()
    start = np.full(buildings.shape, 1e6, np.float32)
    start[(np.arange(4), *position.T)] = 0
    lengths = lengths_of(buildings, start)
    for scene in range(4):
        np.testing.assert_allclose(lengths[scene], graph_by_scipy(buildings[scene], start[scene]), rtol=1e-5, atol=1e-3)


def test_around_a_corner_the_way_is_two_straight_lines():
    """A wall from the left edge; transmitter above it, receivers below: round the wall's end at (20 or 24, 40)."""
    buildings = np.zeros((1, 64, 64), bool)
    buildings[0, 20:25, :40] = True
    position = np.array([[10, 20]], np.int32)
    ways = ways_of(buildings, position, rays_of(buildings, position).in_sight)
    receiver = (50, 20)
    corners = [np.array([10, 20]), np.array([20, 40]), np.array([24, 40]), np.array(receiver)]
    pieces = np.diff(corners, axis=0)
    assert abs(ways.length[0][receiver] - np.linalg.norm(pieces, axis=1).sum()) < 1.0
    angles = np.degrees(np.arctan2(pieces[:, 1], pieces[:, 0]))
    expected = sum(2.24 + 0.1545 * min(abs(turn), 70) for turn in np.diff(angles))
    assert abs(ways.bends_db[0][receiver] - expected) < 2.0
    assert abs(ways.cosine[0][receiver] - np.cos(np.radians(angles[2]))) < 0.05
    assert bool(ways.open[0][receiver])


def test_in_sight_the_way_is_the_straight_line():
    buildings, position, rays, ways = random_ways()
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(rows - position[:, 0, None, None], columns - position[:, 1, None, None])
    sight = np.asarray(rays.in_sight)
    assert 0.1 < sight.mean() < 0.9
    np.testing.assert_allclose(np.asarray(ways.length)[sight], distance[sight], rtol=1e-6)
    assert (np.asarray(ways.bends_db)[sight] == 0).all() and (np.asarray(ways.cosine)[sight] == 1).all()
    hidden = ~sight & ~buildings
    assert (np.asarray(ways.length)[hidden] >= distance[hidden] - 1e-3).all()
    assert (np.asarray(ways.bends_db)[hidden] > 0).all()


def test_a_courtyard_and_the_inside_of_a_building_are_defined():
    buildings = np.zeros((1, 32, 32), bool)
    buildings[0, 10:30, 10:30] = True
    buildings[0, 15:25, 15:25] = False
    position = np.array([[5, 20]], np.int32)
    ways = ways_of(buildings, position, rays_of(buildings, position).in_sight)
    assert all(np.isfinite(image).all() for image in ways)
    court = np.s_[0, 15:25, 15:25]
    assert not np.asarray(ways.open)[court].any() and np.asarray(ways.open)[~buildings].sum() == 32 * 32 - 20 * 20
    assert (np.asarray(ways.length)[court] > 50).all()  # five metres of building count ten-fold
    entrance = np.asarray(ways.entrance)[0].reshape(32, 32)
    assert entrance[10, 20] in (9 * 32 + 19, 9 * 32 + 20, 9 * 32 + 21)
    assert not buildings.reshape(-1)[entrance].any()


def test_ways_are_defined_where_the_transmitter_stands_in_a_building():
    buildings = np.zeros((1, 32, 32), bool)
    buildings[0, 10:20, 10:20] = True
    position = np.array([[14, 13]], np.int32)
    ways = ways_of(buildings, position, rays_of(buildings, position).in_sight)
    assert all(np.isfinite(image).all() for image in ways)
    assert not np.asarray(ways.open).any()


def test_a_scene_does_not_depend_on_its_batch():
    buildings, position, rays, ways = random_ways()
    order = np.array([2, 0, 0, 0])
    others = ways_of(buildings[order], position[order], np.asarray(rays.in_sight)[order])
    for image, other in zip(ways, others, strict=True):
        np.testing.assert_array_equal(np.asarray(image)[2], np.asarray(other)[0])


@pytest.mark.parametrize("symmetry", [1, 2, 4, 7])
def test_rays_and_lengths_turn_with_the_scene(symmetry):
    buildings, position = random_scenes(32, 32, seed=3)
    turned = np.stack([transform_image(scene, symmetry) for scene in buildings])
    places = np.array([transform_position(*place, (32, 32), symmetry) for place in position.tolist()], np.int32)
    straight, other = rays_of(buildings, position), rays_of(turned, places)
    # a line through the edge between two pixels is rounded to the even one, whose parity a mirror image may change
    same = [transform_image(image, symmetry) for image in np.asarray(straight.in_sight)]
    assert np.mean(np.stack(same) == np.asarray(other.in_sight)) > 0.98
    sight = np.stack(same)
    ways, turned_ways = ways_of(buildings, position, straight.in_sight), ways_of(turned, places, sight)
    for name, tolerance in (("length", 0.05), ("bends_db", 0.05), ("cosine", 1e-3)):
        expected = np.stack([transform_image(image, symmetry) for image in np.asarray(getattr(ways, name))])
        close = np.abs(expected - np.asarray(getattr(turned_ways, name))) < tolerance
        assert close[:2].mean() > 0.99, name
        # among single pixels one choice between equal ways may change the sum of bends of all that follows
        assert name == "bends_db" or close.mean() > 0.99, name


def test_the_cap_of_bends_is_no_less_than_one_bend_can_lose():
    assert bend_loss_db(np.array([180.0]))[0] < MOST_BENDS_DB
