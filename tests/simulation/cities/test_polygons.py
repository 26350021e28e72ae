"""Rasterising is exact, tracing undoes it to a fraction of a pixel."""

import numpy as np
import pytest

from radiodiff_jax.simulation.cities.ground_plans import notched_rectangle, placed
from radiodiff_jax.simulation.cities.polygons import inside, orient, rasterise, signed_area, trace

SQUARE = np.array([[2.5, 2.5], [2.5, 7.5], [7.5, 7.5], [7.5, 2.5]])


def test_rasterised_square_is_its_pixel_centres():
    mask = rasterise([SQUARE], 10, 12)
    expected = np.zeros((10, 12), bool)
    expected[3:8, 3:8] = True
    np.testing.assert_array_equal(mask, expected)


def test_rasterising_agrees_with_the_point_test_also_for_courtyards_and_beyond_the_border():
    rings = placed(notched_rectangle(30, 24) + notched_rectangle(12, 9), 20.0, 3.0, 0.4)
    pixels = np.stack(np.meshgrid(np.arange(40), np.arange(48), indexing="ij"), axis=-1).reshape(-1, 2)
    np.testing.assert_array_equal(rasterise(rings, 40, 48).ravel(), inside(pixels.astype(float), rings))


def test_orientation_puts_the_building_on_the_right_hand():
    hole = SQUARE * 0.5 + 2.5
    for rings in ([SQUARE, hole], [SQUARE[::-1], hole[::-1]], [hole[::-1], SQUARE]):
        areas = sorted(signed_area(ring) for ring in orient(rings))
        assert areas[0] == pytest.approx(-6.25)
        assert areas[1] == pytest.approx(25)


@pytest.mark.parametrize("angle", [0.1, 0.35, 0.7, 1.2])
def test_trace_recovers_a_rotated_rectangle_to_sub_pixel_accuracy(angle):
    truth = placed(notched_rectangle(44, 26), 40.3, 39.6, angle)[0]
    (ring,) = trace(rasterise([truth], 80, 80))
    assert len(ring) == 4
    assert signed_area(ring) > 0
    distances = np.hypot(*np.moveaxis(ring[:, None] - truth[None], -1, 0))
    assert distances.min(axis=1).max() < 0.5
    assert distances.min(axis=1).mean() < 0.3
    assert signed_area(ring) == pytest.approx(44 * 26, rel=0.01)


def test_trace_orients_courtyards_and_knows_empty_and_full_masks():
    rings = notched_rectangle(40, 30) + notched_rectangle(20, 12)
    traced = trace(rasterise(placed(rings, 31.5, 31.5, 0.0), 64, 64))
    assert sorted(signed_area(ring) for ring in traced) == pytest.approx([-20 * 12, 40 * 30])
    assert trace(np.zeros((32, 64), bool)) == []
    assert signed_area(trace(np.ones((32, 64), bool))[0]) == pytest.approx(32 * 64, rel=0.01)
