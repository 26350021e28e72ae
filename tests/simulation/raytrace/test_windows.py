"""Windows of a city and their masks."""

import numpy as np
import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.simulation.raytrace.folder import BUILT_SHARE, building_mask, choose_windows


def test_a_roof_counts_from_the_local_ground_on():
    ground = np.array([[0.0, 20.0, 20.0, 0.0]])
    roof = np.array([[1.4, 20.0, 25.0, 1.6]])
    assert building_mask(roof, ground).tolist() == [[False, False, True, True]]


def test_windows_are_built_over_apart_and_the_same_for_a_seed():
    built = np.zeros((40, 60), bool)
    built[::2, 20:] = True  # nothing is built in the west
    windows = choose_windows(built, (10, 12), 3, seed=5, city="here")
    assert windows == choose_windows(built, (10, 12), 3, seed=5, city="here")
    assert windows != choose_windows(built, (10, 12), 3, seed=6, city="here")
    for top, left in windows:
        share = built[top : top + 10, left : left + 12].mean()
        assert BUILT_SHARE[0] <= share <= BUILT_SHARE[1]
    covered = np.zeros(built.shape, int)
    for top, left in windows:
        covered[top : top + 10, left : left + 12] += 1
    assert covered.max() == 1


def test_a_city_that_is_too_small_or_empty_is_told():
    with pytest.raises(UserError, match="here is 40 x 40 m, too small for a window of 80 x 80 m"):
        choose_windows(np.ones((10, 10), bool), (20, 20), 1, 0, "here")
    with pytest.raises(UserError, match="only 0 of .* too few for 2 maps"):
        choose_windows(np.zeros((30, 30), bool), (20, 20), 2, 0, "here")
