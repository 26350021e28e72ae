"""Grey, gain and decibels."""

import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax import units


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_grey_survives_the_way_to_gain_and_back(array):
    grey = array(np.arange(256, dtype=np.uint8))
    gain = units.grey_to_gain(grey)
    assert gain.dtype == np.float32 and gain[0] == 0 and gain[255] == 1
    assert units.gain_to_grey(gain).dtype == np.uint8
    np.testing.assert_array_equal(units.gain_to_grey(gain), grey)


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_gain_outside_its_range_is_clipped_in_grey(array):
    np.testing.assert_array_equal(units.gain_to_grey(array([-0.3, 0.5, 1.7])), [0, 128, 255])


def test_ends_of_the_scale_in_decibels():
    assert units.gain_to_db(0.0) == -147 and units.gain_to_db(1.0) == pytest.approx(-47.84)
    assert units.db_to_gain(units.gain_to_db(0.37)) == pytest.approx(0.37)
    assert units.gain_to_db(units.NOISE_FLOOR) == pytest.approx(-127.168)


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_threshold_blanks_below_the_floor_and_keeps_the_top(array):
    np.testing.assert_allclose(units.thresholded(array([0.0, 0.2, 0.6, 1.0])), [0, 0, 0.5, 1], atol=1e-6)
