"""The walls that power is measured on, how cells take it from them, and what becomes of cells that few rays reach."""

import numpy as np

from radiodiff_jax.simulation.raytrace.cells import WALL_HEIGHT, cell_gains, lattice_triangles, spread_sparse

HEIGHT, WIDTH = 3, 4


def walls_of(vertices, triangles):
    """Corners of every wall, (walls, 6, 3)."""
    return vertices[triangles.reshape(-1, 6)]


def test_walls_stand_between_the_cells_around_the_antenna_height_over_the_ground():
    ground = np.add.outer(np.zeros(HEIGHT + 1), np.arange(WIDTH + 1.0))  # rises to the east
    vertices, triangles = lattice_triangles(ground, east=100.0, north=50.0, antenna_height=1.5)
    walls = walls_of(vertices, triangles)
    assert len(walls) == (HEIGHT + 1) * WIDTH + HEIGHT * (WIDTH + 1)
    first, last = walls[0], walls[-1]
    assert set(first[:, 0]) == {100.0, 101.0} and set(first[:, 1]) == {50.0}  # the north side of cell (0, 0)
    assert set(last[:, 0]) == {104.0} and set(last[:, 1]) == {47.0, 48.0}  # the east side of the last cell
    np.testing.assert_allclose(vertices[:, 2].min(), 1.5 - WALL_HEIGHT / 2)
    np.testing.assert_allclose(last[:, 2].mean(), 4 + 1.5)
    edges = triangles.reshape(-1, 3)
    areas = np.linalg.norm(np.cross(*(vertices[edges[:, k]] - vertices[edges[:, 0]] for k in (1, 2))), axis=1) / 2
    np.testing.assert_allclose(areas[: 2 * WIDTH], np.sqrt(1) * WALL_HEIGHT / 2, rtol=1e-6)


def test_cells_take_what_all_walls_agree_on_and_buildings_nothing():
    buildings = np.zeros((HEIGHT, WIDTH), bool)
    buildings[1, 2] = True
    count = 2 * ((HEIGHT + 1) * WIDTH + HEIGHT * (WIDTH + 1))
    gains = cell_gains(np.full(count, 3.0, np.float32), buildings, 0, 0)
    np.testing.assert_allclose(gains, np.where(buildings, 0.0, 3.0))


def test_walls_that_face_the_transmitter_count_most_and_walls_of_buildings_do_not():
    along_rows, along_columns = np.zeros((HEIGHT + 1, WIDTH)), np.ones((HEIGHT, WIDTH + 1))
    walls = np.concatenate([along_rows.ravel(), along_columns.ravel()])
    gains = cell_gains(np.repeat(walls, 2), np.zeros((HEIGHT, WIDTH), bool), row=0, column=0)
    assert gains[0, 3] > 0.9 and gains[2, 0] < 0.1  # due east: walls along columns face it; due south: walls along rows
    buildings = np.zeros((HEIGHT, WIDTH), bool)
    buildings[0, 1] = True
    dark = along_columns.copy()
    dark[0, 1:3] = 0.0  # the walls of that building
    walls = np.concatenate([np.ones_like(along_rows).ravel(), dark.ravel()])
    np.testing.assert_allclose(cell_gains(np.repeat(walls, 2), buildings, 0, 0), np.where(buildings, 0.0, 1.0))


def test_lit_cells_keep_their_edge_and_gaps_are_filled():
    gain = np.zeros((40, 40))
    gain[:, :20] = 1.0
    gain[10, 10] = 0.0  # no ray happened to pass
    spread = spread_sparse(gain, np.zeros((40, 40), bool))
    np.testing.assert_allclose(spread[:, :20], 1.0)
    np.testing.assert_allclose(spread[:, 20:], 0.0)


def test_single_rays_are_spread_without_making_power_and_not_into_buildings():
    generator = np.random.default_rng(0)
    buildings = np.zeros((60, 60), bool)
    buildings[20:30, 20:30] = True
    gain = (generator.random((60, 60)) < 0.1) * 1e-9 * ~buildings
    spread = spread_sparse(gain, buildings)
    assert not spread[buildings].any() and (spread[~buildings] > 0).mean() > 0.99
    np.testing.assert_allclose(spread.sum(), gain.sum(), rtol=0.1)
    assert spread[~buildings].std() < 0.3 * gain[~buildings].std()
