"""Received power, best server, SINR and shares against their definitions; antennas against the table of TR 38.901."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodiff_jax.inference.coverage import (
    Site,
    best_server,
    distribution,
    frequency_shift_db,
    pattern_db,
    received_power_dbm,
    share_above,
    sinr_db,
    strongest_dbm,
    thermal_noise_dbm,
)
from radiodiff_jax.inference.coverage.powers import quantiles
from radiodiff_jax.units import db_to_gain


def test_noise_is_thermal_noise():
    assert thermal_noise_dbm(1.0, 0.0) == -174
    assert thermal_noise_dbm(10e6, 9.0) == pytest.approx(-95.0)


def test_another_carrier_is_free_space_and_nothing_more():
    assert frequency_shift_db(5.9) == 0
    assert frequency_shift_db(59.0) == pytest.approx(-20)
    assert frequency_shift_db(2.95) == pytest.approx(6.0206, abs=1e-4)


def test_the_sector_is_that_of_the_table():
    cut = pattern_db("sector", (401, 401), 200, 200, azimuth=90.0)
    assert cut[200, 400] == 0  # east, where it faces
    down, across = 150 * np.sin(np.deg2rad(32.5)), 150 * np.cos(np.deg2rad(32.5))
    for sign in (-1, 1):  # half the half-power beam width to either side
        assert cut[200 + round(sign * down), 200 + round(across)] == pytest.approx(-3, abs=0.1)
    assert cut[200, 0] == -30 and cut[0, 200] == pytest.approx(-12 * (90 / 65) ** 2, abs=1e-4)
    north = pattern_db("sector", (401, 401), 200, 200, azimuth=0.0)
    np.testing.assert_allclose(north[0], cut[:, 400], atol=1e-4)  # clockwise: east of north is as south of east
    np.testing.assert_allclose(north, pattern_db("sector", (401, 401), 200, 200, azimuth=360.0), atol=1e-4)
    assert (pattern_db("omni", (5, 7), 2, 3, 45.0) == 0).all()


def test_power_is_the_sum_of_the_link():
    gain = np.full((4, 6), db_to_gain(np.float64(-100.0)))
    gain[1, 1] = 0
    power = received_power_dbm(gain, Site("a", 0, 0, 30.0, gain_dbi=8.0), shift_db=-2.0)
    assert power.dtype == np.float32 and power[1, 1] == -np.inf
    np.testing.assert_allclose(power[gain > 0], 30 + 8 - 100 - 2, atol=1e-4)


def received():
    rng = np.random.default_rng(0)
    found = rng.uniform(-120, -40, (5, 9, 7)).astype(np.float32)
    found[:, 2, 3] = -np.inf
    found[1, 4, 4] = -np.inf
    return found


def test_best_server_and_strongest_power():
    powers = received()
    best = best_server(powers)
    assert best.dtype == np.int16 and best[2, 3] == -1 and (np.delete(best.ravel(), 2 * 7 + 3) >= 0).all()
    heard = best >= 0
    picked = np.take_along_axis(powers, best[None].clip(0), axis=0)[0]
    np.testing.assert_array_equal(picked[heard], strongest_dbm(powers)[heard])
    assert best_server(np.stack([powers[0], powers[0]])).max() == 0  # the first of equals


def test_sinr_by_hand():
    powers = np.array([[[-60.0]], [[-70.0]], [[-np.inf]]], np.float32)
    wanted = 10 * np.log10(1e-6 / (1e-7 + 10**-9.5))
    assert sinr_db(powers, -95.0)[0, 0] == pytest.approx(wanted, abs=1e-4)
    assert sinr_db(powers[:1], -95.0)[0, 0] == pytest.approx(35, abs=1e-4)  # alone: over noise
    assert sinr_db(powers[2:], -95.0)[0, 0] == -np.inf


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-110, -30), min_size=2, max_size=6), st.floats(-120, -80))
def test_a_further_site_never_raises_the_interference_free_bound(levels, noise):
    powers = np.array(levels, np.float32)[:, None, None]
    all_of_them = float(sinr_db(powers, noise)[0, 0])
    best = float(powers.max())
    assert all_of_them <= best - noise + 1e-3
    assert all_of_them == pytest.approx(float(sinr_db(powers[::-1], noise)[0, 0]), abs=1e-3)


def test_shares_count_outdoor_pixels_only():
    values = np.array([[-80.0, -90.0, -100.0, -np.inf], [-70.0, -70.0, -70.0, -70.0]])
    outdoors = np.array([[True] * 4, [False] * 4])
    assert share_above(values, outdoors, (-90, -79.5)) == {"-90": 0.5, "-79.5": 0.0}
    found, share = distribution(values, outdoors)
    np.testing.assert_array_equal(found, [-100, -90, -80])
    np.testing.assert_array_equal(share, [0.5, 0.75, 1.0])
    assert quantiles(values, outdoors, (0, 50, 100)) == {"0": None, "50": -100.0, "100": -80.0}
    assert len(distribution(np.full((2, 2), -np.inf), np.ones((2, 2), bool))[0]) == 0
