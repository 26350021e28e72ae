"""Sparsely reached cells share their power, densely reached ones keep it."""

import numpy as np

from radiodiff_jax.raytrace.sparse_cells import spread_sparse


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
