"""Formulae of `derivations/uncertainty.md`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import laplace, norm

from radiodiff_jax.inference.calibration import LEVELS, Intervals
from radiodiff_jax.inference.spread_profile import RatioCounts, SpreadProfile, continuous_ranked_probability_score
from radiodiff_jax.objectives.regression import (
    FIRST_SCALE,
    SMALLEST_SCALE,
    Regression,
    positive_scale,
    scale_likelihood,
)
from tests.derivations.formulas import evaluates

RNG = np.random.default_rng(3)
WALLS = np.zeros((40, 50), bool)


@evaluates(1)
def test_likelihood_of_laplace():
    error, scale = np.array([-0.4, 0.01, 1.0]), np.array([0.1, 0.3, 0.02])
    wanted = -laplace(scale=scale).logpdf(error) - np.log(2 * SMALLEST_SCALE)
    np.testing.assert_allclose(scale_likelihood(error, scale), wanted, rtol=1e-5)


@evaluates(2)
def test_best_scale():
    error = jnp.asarray(RNG.standard_t(3, 2000), jnp.float32)
    scales = np.abs(error).mean() * np.linspace(0.5, 2, 151)
    losses = jax.vmap(lambda scale: scale_likelihood(error, scale).mean())(jnp.asarray(scales, jnp.float32))
    assert scales[int(np.argmin(losses))] == pytest.approx(np.abs(error).mean(), rel=0.02)


@evaluates(3)
def test_positive_scale():
    raw = np.array([-3.0, 0.0, 2.0])
    shift = np.log(FIRST_SCALE / SMALLEST_SCALE - 1)
    np.testing.assert_allclose(positive_scale(raw), SMALLEST_SCALE * (1 + np.exp(raw + shift)), rtol=1e-5)
    assert np.log1p(np.exp(shift)) == pytest.approx(np.log(FIRST_SCALE / SMALLEST_SCALE))


@evaluates(4)
def test_deviation():
    assert float(Regression().deviation({"scale": jnp.float32(0.3)})) == pytest.approx(laplace(scale=0.3).std(), rel=1e-6)


@evaluates(5, 6)
def test_half_widths():
    for level in (0.1, 0.5, 0.9, 0.99):
        distributions = {"laplace": laplace(scale=0.5**0.5), "normal": norm()}  # both of deviation 1
        for family, distribution in distributions.items():
            assert Intervals(family).half_width(level) == pytest.approx(distribution.ppf((1 + level) / 2), rel=1e-6)


@evaluates(7, 8)
def test_calibration_and_coverage():
    deviation = RNG.uniform(0.01, 0.04, WALLS.shape)
    truth = np.full(WALLS.shape, 0.5)
    prediction = truth + deviation * RNG.standard_t(4, WALLS.shape)
    counts = RatioCounts()
    counts.add(truth, prediction, deviation, WALLS, 0)
    fitted = counts.intervals("normal")
    error = np.abs(prediction - truth)
    for level, factor in zip(LEVELS, fitted.factors, strict=True):
        ratio = np.sort((error / (Intervals("normal").half_width(level) * deviation)).ravel())
        assert factor == pytest.approx(ratio[int(np.ceil(level * ratio.size)) - 1], rel=1e-3)
    profile = SpreadProfile(fitted)
    profile.add(truth, prediction, deviation, WALLS, 0)
    inside = [np.mean(error <= fitted.half_width(level) * deviation) for level in LEVELS]
    np.testing.assert_allclose(profile.to_json()["coverage"], inside)
    np.testing.assert_allclose(inside, LEVELS, atol=0.002)


@evaluates(9, 10)
def test_crps_by_draws():
    """Mean distance of draws from the truth less half of their mean distance from each other."""
    draws = {"laplace": RNG.laplace(scale=0.8 / 2**0.5, size=(2, 400_000)), "normal": 0.8 * RNG.normal(size=(2, 400_000))}
    for family, (first, second) in draws.items():
        for error in (0.0, 0.5, 3.0):
            wanted = np.abs(first - error).mean() - np.abs(first - second).mean() / 2
            found = continuous_ranked_probability_score(family, np.array([error]), np.array([0.8]))[0]
            assert found == pytest.approx(wanted, rel=0.01)
