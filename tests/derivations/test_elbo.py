"""Formulae of `derivations/elbo.md`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erfc

from radiodiff_jax.models.autoencoder import kl_divergence, posterior_sample, split_moments
from radiodiff_jax.objectives import vae_gan
from radiodiff_jax.settings import GANObjectiveConfig
from tests.derivations.formulas import evaluates

RNG = np.random.default_rng(0)


def closed_kl(mean, log_variance):
    return 0.5 * np.sum(mean**2 + np.exp(log_variance) - 1 - log_variance, axis=(1, 2, 3))


def one_component(mean, log_variance):
    """Moments of a latent of one component."""
    return jnp.array([mean, log_variance], jnp.float32).reshape(1, 1, 1, 2)


@evaluates(1)
def test_lower_bound_of_a_model_that_can_be_solved():
    """z ~ N(0, 1), x ~ N(a z, s^2): likelihood and posterior are known, so is the gap of any q."""
    a, s, x, mean, deviation = 1.3, 0.7, 0.9, 0.2, 0.5
    evidence = a**2 + s**2
    log_likelihood = -0.5 * (np.log(2 * np.pi * evidence) + x**2 / evidence)
    reconstruction = -0.5 * (np.log(2 * np.pi * s**2) + ((x - a * mean) ** 2 + a**2 * deviation**2) / s**2)
    bound = reconstruction - float(kl_divergence(one_component(mean, 2 * np.log(deviation)))[0])
    posterior_variance = 1 / (1 + a**2 / s**2)
    posterior_mean = posterior_variance * a * x / s**2
    gap = 0.5 * (
        np.log(posterior_variance / deviation**2)
        + (deviation**2 + (mean - posterior_mean) ** 2) / posterior_variance
        - 1
    )
    assert gap > 0.01
    assert bound + gap == pytest.approx(log_likelihood, abs=1e-5)


@evaluates(2)
def test_kl_divergence():
    mean, log_variance = RNG.normal(size=(2, 2, 3, 3, 2))
    found = np.asarray(kl_divergence(np.concatenate([mean, log_variance], -1).astype(np.float32)))
    np.testing.assert_allclose(found, closed_kl(mean, log_variance), rtol=1e-5)
    # One component by numerical integration of q (log q - log p).
    m, deviation = mean[0, 0, 0, 0], np.exp(log_variance[0, 0, 0, 0] / 2)

    def integrand(z):
        log_q = -0.5 * np.log(2 * np.pi * deviation**2) - (z - m) ** 2 / (2 * deviation**2)
        return np.exp(log_q) * (log_q + 0.5 * np.log(2 * np.pi) + z**2 / 2)

    whole = quad(integrand, m - 12 * deviation, m + 12 * deviation)[0]
    assert float(kl_divergence(one_component(m, 2 * np.log(deviation)))[0]) == pytest.approx(whole, abs=1e-5)


@evaluates(3)
def test_log_variance_is_limited_and_its_gradient_stops_there():
    raw = np.array([-40.0, -30.5, -3.0, 19.5, 35.0])

    def limited(raw):
        return split_moments(jnp.stack([jnp.zeros(5), raw], -1))[1]

    np.testing.assert_allclose(limited(raw)[:, 0], np.minimum(np.maximum(raw, -30), 20), rtol=1e-6)
    np.testing.assert_array_equal(jax.grad(lambda raw: limited(raw).sum())(raw), [0, 0, 1, 1, 0])


@evaluates(4, 5)
def test_reparametrisation():
    mean, log_variance, noise = RNG.normal(size=(3, 1, 2, 2, 3))

    def total(mean, log_variance):
        return posterior_sample(jnp.concatenate([mean, log_variance], -1), noise).sum()

    found = posterior_sample(np.concatenate([mean, log_variance], -1), noise)
    np.testing.assert_allclose(found, mean + np.exp(log_variance / 2) * noise, rtol=1e-5)
    along_mean, along_log_variance = jax.jit(jax.grad(total, (0, 1)))(jnp.asarray(mean), jnp.asarray(log_variance))
    np.testing.assert_allclose(along_mean, 1, rtol=1e-6)
    np.testing.assert_allclose(along_log_variance, 0.5 * np.exp(log_variance / 2) * noise, rtol=1e-5)


@evaluates(5)
def test_gradients_of_draws_have_the_right_mean():
    """E[z^2] = mu^2 + sigma^2, so its derivatives are 2 mu and sigma^2; the mean over noise by Gauss and Hermite."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)

    def expectation(mean, log_variance):
        moments = jnp.tile(jnp.stack([mean, log_variance]), (len(nodes), 1))
        return jnp.sum(weights * posterior_sample(moments, nodes[:, None])[:, 0] ** 2) / np.sqrt(2 * np.pi)

    along = jax.jit(jax.grad(expectation, (0, 1)))(jnp.float32(0.7), jnp.float32(-0.4))
    np.testing.assert_allclose(along, [2 * 0.7, np.exp(-0.4)], rtol=1e-5)


@evaluates(6, 7)
def test_error_and_likelihood():
    truth, output = RNG.normal(size=(2, 2, 3, 4, 1))
    distance, weight, log_scale = np.array([0.3, 0.5]).reshape(2, 1, 1, 1), 2.0, -0.6
    plain = vae_gan.reconstruction_error(truth, output, None, 0.0)
    error = vae_gan.reconstruction_error(truth, output, distance, weight)
    expected = np.abs(truth - output) + (truth - output) ** 2 + weight * distance
    np.testing.assert_allclose(error, expected, rtol=1e-5)
    added = np.asarray(error - plain, np.float64).sum((1, 2, 3))
    np.testing.assert_allclose(added, 12 * weight * distance.ravel(), rtol=1e-5)  # as often as there are pixels
    found = vae_gan.negative_log_likelihood(error, log_scale)
    assert float(found) == pytest.approx(np.sum(expected * np.exp(-log_scale) + log_scale) / 2, rel=1e-5)


@evaluates(8)
def test_normaliser_of_the_density():
    def whole(scale):
        return np.sqrt(np.pi * scale) * np.exp(1 / (4 * scale)) * erfc(1 / (2 * np.sqrt(scale)))

    step = 1e-3
    deviations = np.arange(-40, 40, step)
    zeros = np.zeros_like(deviations)
    error = np.asarray(vae_gan.reconstruction_error(zeros, deviations, None, 0.0), np.float64)
    for scale in (0.05, 1.0, 20.0):
        assert np.sum(np.exp(-error / scale)) * step == pytest.approx(whole(scale), rel=2e-4)
    assert whole(2e-3) == pytest.approx(2 * 2e-3, rel=0.01), "Laplace for small scales"
    assert whole(1e5) == pytest.approx(np.sqrt(np.pi * 1e5), rel=0.01), "Gauss for large ones"


@evaluates(9)
def test_best_scale_is_the_mean_error():
    error = RNG.random((2, 5, 5, 1)).astype(np.float32)
    best = np.log(error.mean(dtype=np.float64))
    value, slope = jax.value_and_grad(lambda scale: vae_gan.negative_log_likelihood(error, scale))(jnp.float32(best))
    assert float(value) == pytest.approx(25 * (1 + best), rel=1e-5)
    assert float(slope) == pytest.approx(0, abs=1e-4)


@evaluates(10)
def test_gradient_at_the_reconstruction():
    truth, output = RNG.normal(size=(2, 3, 4, 4, 1))
    nll, cotangent, error = vae_gan.likelihood_terms(GANObjectiveConfig(log_variance=0.4), truth, output)
    difference = output - truth
    np.testing.assert_allclose(cotangent, np.exp(-0.4) / 3 * (np.sign(difference) + 2 * difference), rtol=1e-4)
    expected = np.abs(difference) + difference**2
    assert float(nll) == pytest.approx(np.sum(expected * np.exp(-0.4) + 0.4) / 3, rel=1e-5)
    assert float(error) == pytest.approx(expected.mean(), rel=1e-5)


@evaluates(11)
def test_a_small_kl_weight_is_a_small_scale():
    error = RNG.random((2, 4, 4, 1)).astype(np.float32)
    moments = RNG.normal(size=(2, 2, 2, 4)).astype(np.float32)
    weight = 0.01
    kl = float(vae_gan.kl_loss(moments))
    left = float(vae_gan.negative_log_likelihood(error, 0.0)) + weight * kl
    right = weight * (float(vae_gan.negative_log_likelihood(error, np.log(weight))) - 16 * np.log(weight) + kl)
    assert kl == pytest.approx(closed_kl(*np.split(moments.astype(np.float64), 2, -1)).mean(), rel=1e-5)
    assert left == pytest.approx(right, rel=1e-5)
