"""Power by reflections and by one bend: closed forms, and what a made-up street must do."""

import numpy as np
import pytest

from radiodiff_jax.propagation import AT_ONE_METRE_DB
from radiodiff_jax.simulation import prepare
from radiodiff_jax.simulation import wall_reflections as rays
from radiodiff_jax.simulation.edge_diffraction import WAVE_NUMBER, diffracted_gain, transition_table, wedge_coefficient

SIZE = (64, 96)


def free_space(length):
    """Power of a path and of its reflection on the ground."""
    bounce = np.hypot(length, 2 * rays.ANTENNA_HEIGHT)
    ground = abs(rays.slab_reflection(2 * rays.ANTENNA_HEIGHT / bounce, rays.GROUND, parallel=True)) ** 2
    return 10 ** (AT_ONE_METRE_DB / 10) * (1 / length**2 + ground / bounce**2)


@pytest.fixture(scope="module")
def wall():
    """A wall along the column 59.5, seen from the west; a pixel is 1 m."""
    buildings = np.zeros(SIZE, bool)
    buildings[:, 60:70] = True
    ring = np.array([[-0.5, 59.5], [-0.5, 69.5], [63.5, 69.5], [63.5, 59.5]])
    return prepare(buildings, [ring])


def test_reflections_are_those_of_the_image_behind_the_wall(wall):
    gain = rays.reflected_gain(wall, 32, 30)
    rows, columns = np.mgrid[4:60, 4:58]
    direct = np.hypot(rows - 32, columns - 30)
    mirrored = np.hypot(rows - 32, 89 - columns)  # the image stands at column 2 * 59.5 - 30
    share = abs(rays.slab_reflection((89 - columns) / mirrored, rays.WALLS, parallel=False)) ** 2
    far = direct > 4
    expected = free_space(np.maximum(direct, 1)) + share * free_space(mirrored)
    error = 10 * np.log10(gain[4:60, 4:58][far] / expected[far])
    assert np.abs(error).max() < 0.8 and abs(error.mean()) < 0.02  # single rays graze pixels: a few per cent of chance
    assert not gain[wall.buildings].any() and not gain[:, 70:].any()  # nothing goes through


def test_slabs_reflect_as_the_tables_say():
    upright = rays.slab_reflection(np.array([1.0]), (1.0, 0.0, 0.0, 0.0), parallel=False)
    assert abs(upright[0]) < 1e-12  # air
    thick = rays.slab_reflection(np.array([1.0, 0.0]), (7.074, 0.0, 50.0, 0.0), parallel=False)  # so lossy that its back is dark
    permittivity = 7.074 - 17.98j * 50.0 / 5.9
    assert np.allclose(thick[0], (1 - np.sqrt(permittivity)) / (1 + np.sqrt(permittivity))) and np.isclose(abs(thick[1]), 1)
    marble = abs(rays.slab_reflection(np.linspace(0.01, 1, 500), rays.WALLS, parallel=False))
    assert marble.max() <= 1 and marble[0] > 0.9


def test_the_transition_function_has_its_limits():
    table = transition_table()
    assert table[0] == 0 and abs(table[-1] - (1 + 0.5j / 12)) < 0.01
    small = 0.01  # (sqrt(pi x) - 2 x exp(j pi / 4)) exp(j (pi / 4 + x))
    expected = (np.sqrt(np.pi * small) - 2 * small * np.exp(0.25j * np.pi)) * np.exp(1j * (np.pi / 4 + small))
    found = np.interp(np.sqrt(small / 12), np.linspace(0, 1, len(table)), table)
    assert abs(found - expected) < 2e-3


def test_half_of_the_field_is_left_at_the_boundary_of_the_shadow():
    incident, before, after = np.radians(60.0), 30.0, 20.0
    metal = np.full(rays.ANGLES, -1.0 + 0j)

    def field(degrees_into_shadow):
        angle = incident + np.pi + np.radians(degrees_into_shadow)
        found = wedge_coefficient(incident, angle, 2.0, before * after / (before + after), metal, transition_table())
        return abs(found) * np.sqrt((before + after) / (before * after))  # of what would arrive without the edge

    assert abs(field(1e-4) - 0.5) < 0.02
    # Deep in the shadow a knife edge leaves 1 / (2 pi sqrt(2) v) with v = theta sqrt(2 s s' / (wavelength (s + s'))).
    v = 2 * np.sin(np.radians(10) / 2) * np.sqrt(2 * before * after * WAVE_NUMBER / (2 * np.pi * (before + after)))
    assert abs(20 * np.log10(field(10) * np.pi * np.sqrt(2) * v)) < 1.5
    assert field(5) > field(20) > field(60)


def test_a_bend_reaches_the_shadow_and_nothing_else(wall):
    buildings = np.zeros(SIZE, bool)
    buildings[20:40, 40:60] = True
    block = prepare(buildings, [np.array([[19.5, 39.5], [19.5, 59.5], [39.5, 59.5], [39.5, 39.5]])])
    lit, bent = rays.reflected_gain(block, 30, 20), diffracted_gain(block, 30, 20)
    shadow = (lit == 0) & ~buildings
    assert shadow[10, 70] and not bent[:, :39].any()
    assert -45 < 10 * np.log10(bent[10, 70] / free_space(np.hypot(20, 50))) < -15
    assert shadow[30, 70] and bent[30, 70] == 0  # that takes two bends
    mirrored = diffracted_gain(block, 29, 20)  # the scene is its own mirror image at the row 29.5
    assert np.allclose(bent[:60], mirrored[:60][::-1], rtol=0.05)
    assert not diffracted_gain(wall, 32, 30)[:, :58].any()
