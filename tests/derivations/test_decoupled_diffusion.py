"""Formulae of `derivations/decoupled-diffusion.md`."""

import re
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.objectives import decoupled as diffusion
from radiodiff_jax.objectives.decoupled import Decoupled
from radiodiff_jax.objectives.objective import Noised
from radiodiff_jax.settings import VAEConfig
from radiodiff_jax.spaces import latent
from radiodiff_jax.training import frozen
from tests.derivations.formulas import evaluates

RNG = np.random.default_rng(2)
SMALLEST = 1e-4
PAGE = Path(__file__).parents[2] / "site_src" / "derivations" / "decoupled-diffusion.md"


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def noisy(x0, noise, t):
    """x_t of numbers x_0 and noise, in float64."""
    x = diffusion.forward_process(latents(x0), latents(noise), latents(-x0), jnp.full(len(x0), t))
    return np.asarray(x, np.float64).ravel()


def latents(values):
    """Numbers as a batch of latents of one component."""
    return jnp.asarray(values, jnp.float32).reshape(-1, 1, 1, 1)


def times(*values):
    return jnp.asarray(values, jnp.float32)


@evaluates(1)
def test_forward_process():
    x0, noise, c = normal(3, 3, 2, 2, 1)
    t = np.array([0.1, 0.5, 1.0])
    expected = x0 + t[:, None, None, None] * c + np.sqrt(t)[:, None, None, None] * noise
    np.testing.assert_allclose(diffusion.forward_process(x0, noise, c, times(*t)), expected, rtol=1e-5, atol=1e-6)


@evaluates(2)
def test_marginal():
    """The process is affine in the noise, so a value at noise 0 and at noise 1 gives mean and standard deviation."""
    for t in (0.01, 0.3, 1.0):
        x0 = latents([1.7])
        mean = float(diffusion.forward_process(x0, latents([0]), -x0, times(t))[0, 0, 0, 0])
        at_one = float(diffusion.forward_process(x0, latents([1]), -x0, times(t))[0, 0, 0, 0])
        assert mean == pytest.approx((1 - t) * 1.7, abs=1e-6)
        assert (at_one - mean) ** 2 == pytest.approx(t, rel=1e-4)


def joint(x0, t, s):
    """Mean and covariance of (x_{t-s}, x_t) given x_0, from increments of a Wiener process on a fine grid."""
    pieces = 1000
    before = round(pieces * (t - s) / t)
    until = np.stack([np.arange(pieces) < before, np.ones(pieces)]).astype(float)  # which increments each time contains
    mean = x0 + (until * (-x0 * t / pieces)).sum(1)
    return mean, until @ until.T * t / pieces


@evaluates(3)
def test_joint_distribution():
    t, s, x0 = 0.8, 0.3, 1.4
    mean, covariance = joint(x0, t, s)
    np.testing.assert_allclose(covariance, [[t - s, t - s], [t - s, t]], atol=1e-9)
    slope = covariance[0, 1] / covariance[0, 0]  # of x_t on x_{t-s}
    assert slope == pytest.approx(1) and covariance[1, 1] - slope * covariance[0, 1] == pytest.approx(s)
    found = [float(diffusion.forward_process(latents([x0]), latents([0]), latents([-x0]), times(time))[0, 0, 0, 0])
             for time in (t - s, t)]  # fmt: skip
    np.testing.assert_allclose(found, mean, rtol=1e-5)
    assert mean[1] - mean[0] == pytest.approx(s * -x0)


@evaluates(4, 5)
def test_step_back_against_conditioning_the_joint_gaussian():
    for t, s in ((1.0, 0.25), (0.8, 0.3), (0.5, 0.499)):
        x0, x_t = 1.4, -0.6
        mean, covariance = joint(x0, t, s)
        gain = covariance[0, 1] / covariance[1, 1]
        conditioned = mean[0] + gain * (x_t - mean[1])
        variance = covariance[0, 0] - gain * covariance[0, 1]
        assert conditioned == pytest.approx((t - s) / t * x_t + s / t * x0, abs=1e-9)
        assert variance == pytest.approx(s * (t - s) / t, abs=1e-9)
        noise = (x_t - (1 - t) * x0) / np.sqrt(t)
        step = [
            float(diffusion.reverse_step(
                latents([x_t]), latents([noise]), latents([-x0]), times(t), times(s), latents([fresh])
            )[0, 0, 0, 0])
            for fresh in (0.0, 1.0)
        ]  # fmt: skip
        assert step[0] == pytest.approx(conditioned, abs=1e-5)
        assert (step[1] - step[0]) ** 2 == pytest.approx(variance, rel=1e-3)


def network(x, t, wanted):
    """A stand-in that contradicts itself."""
    t = t[:, None, None, None]
    return {"attenuation": 0.7 * x - 0.3 * t, "noise": 0.5 * jnp.sqrt(t) * x + 0.2}


def draws(start, fresh):
    """The noise of a trajectory: where it starts, and that of each evaluation."""
    return jnp.concatenate([start[None], fresh]).__getitem__


@evaluates(6, 7, 8)
def test_sampler_step_by_step():
    start, fresh, steps = normal(2, 3, 3, 1), normal(5, 2, 3, 3, 1), 4
    found, record = diffusion.trajectory(network, draws(start, fresh), steps, SMALLEST)
    grid = [1 - k / steps for k in range(steps)] + [SMALLEST, 0]
    x = start.astype(np.float64)
    for k in range(steps + 1):
        t, s = grid[k], grid[k] - grid[k + 1]
        np.testing.assert_allclose(record.x[k], x, rtol=1e-4, atol=1e-5)
        c, noise = 0.7 * x - 0.3 * t, 0.5 * np.sqrt(t) * x + 0.2
        x0 = x - t * c - np.sqrt(t) * noise
        last = x0 + t * (x0 + c)
        inconsistency = s * (x0 + c)
        posterior = x - s * c - s / np.sqrt(t) * noise
        x = x + s * x0 - s / np.sqrt(t) * noise + np.sqrt(max(s * (t - s) / t, 0)) * fresh[k]
        without = x - np.sqrt(max(s * (t - s) / t, 0)) * fresh[k]
        np.testing.assert_allclose(without - posterior, inconsistency, atol=1e-12)
    np.testing.assert_allclose(x, last, rtol=1e-9)
    np.testing.assert_allclose(found, last, rtol=1e-4, atol=1e-5)


@evaluates(8)
def test_time_grid():
    for steps in (1, 2, 10):
        t, s = diffusion.time_grid(steps, SMALLEST)
        expected = np.array([1 - k / steps for k in range(steps)] + [SMALLEST, 0])
        np.testing.assert_allclose(t, expected[:-1], atol=1e-6)
        np.testing.assert_allclose(s, expected[:-1] - expected[1:], atol=1e-6)
        assert s[-1] == t[-1]


def regression(t, mean, variance):
    """(E[x_0 | x_t] at x_t = 0, its slope) by least squares on the process itself."""
    slope = (1 - t) * variance / ((1 - t) ** 2 * variance + t)
    return mean - slope * (1 - t) * mean, slope


def ideal_network(mean, variance):
    """Conditional means of C and of the noise where x_0 ~ N(mean, variance)."""

    def predict(x, t, wanted):
        t = t[:, None, None, None]
        offset, slope = regression(t, mean, variance)
        x0 = offset + slope * x
        return {"attenuation": -x0, "noise": (x - (1 - t) * x0) / jnp.sqrt(t)}

    return predict


def output_variance(steps, variance):
    grid = [1 - k / steps for k in range(steps)] + [SMALLEST, 0]
    spread = 1.0
    for t, after in zip(grid[:-1], grid[1:], strict=True):
        s, slope = t - after, regression(t, 0.0, variance)[1]
        spread = ((t - s) / t + s / t * slope) ** 2 * spread + s * (t - s) / t
    return spread


@evaluates(9)
def test_conditional_mean_is_the_regression_on_the_process():
    mean, variance, t = 0.6, 0.3, 0.4
    x0, noise = mean + np.sqrt(variance) * RNG.normal(size=200_000), RNG.normal(size=200_000)
    x = np.asarray(diffusion.forward_process(latents(x0), latents(noise), latents(-x0), jnp.full(200_000, t))).ravel()
    slope, offset = np.polyfit(x, x0, 1)
    np.testing.assert_allclose([offset, slope], regression(t, mean, variance), atol=6e-3)


@evaluates(10, 11)
def test_one_step_gives_the_mean_and_many_give_draws():
    mean, variance, count = 0.6, 0.1, 1 << 15
    truth = mean + np.sqrt(variance) * RNG.normal(size=count)
    for steps in (1, 5):
        start, fresh = normal(1, 128, 256, 1), normal(steps + 1, 1, 128, 256, 1)
        objective = Decoupled(smallest_time=SMALLEST)
        drawn = objective.sample(ideal_network(mean, variance), draws(start, fresh), steps, None)
        out = np.asarray(drawn, np.float64).ravel()
        expected = output_variance(steps, variance)
        assert out.mean() == pytest.approx(mean, abs=4 * np.sqrt(expected / count) + 1e-4)
        assert out.var() == pytest.approx(expected, rel=0.04)
        assert np.mean((truth - out) ** 2) == pytest.approx(variance + expected, rel=0.04)
    assert output_variance(1, variance) < 1.01 * SMALLEST


@evaluates(10)
def test_table_of_variances():
    rows = re.findall(r"^\| ([\d.]+) \| ([\d. |]+) \|$", PAGE.read_text(), re.MULTILINE)
    assert len(rows) == 3
    for variance, cells in rows:
        expected = [output_variance(n, float(variance)) / float(variance) for n in (1, 2, 5, 10, 100, 1000)]
        np.testing.assert_allclose([float(cell) for cell in cells.split("|")], expected, atol=6e-5)


@evaluates(12)
def test_draw_of_times():
    u = np.array([0.0, 0.25, 0.999])
    np.testing.assert_allclose(diffusion.times_from_uniform(u, 0.01), u * 0.99 + 0.01, rtol=1e-6)
    x0, u = jnp.zeros((4000, 1, 1, 1)), jax.random.uniform(jax.random.key(0), (4000,))
    drawn = np.asarray(Decoupled(smallest_time=0.01).corrupt(x0, u, x0, None).t)
    assert 0.01 <= drawn.min() < 0.012 and 0.998 < drawn.max() <= 1
    assert drawn.mean() == pytest.approx(0.505, abs=0.02)


@evaluates(13, 14)
def test_loss():
    x0, noise, c, n = RNG.normal(size=(4, 3, 4, 4, 2))
    t = np.array([0.05, 0.5, 1.0])
    weights = 2 * np.exp(1 - t), np.exp(np.sqrt(t))
    np.testing.assert_allclose(diffusion.loss_weights(times(*t), True), weights, rtol=1e-6)
    errors = c + x0, n - noise

    def loss(**settings):
        noised = Noised(None, times(*t), {"attenuation": -x0, "noise": noise})
        per_map, parts = Decoupled(**settings).loss({"attenuation": c, "noise": n}, noised, None)
        np.testing.assert_allclose(per_map, parts["loss_c"] + parts["loss_noise"], rtol=1e-6)
        return float(per_map.mean())

    def mean(values):
        return values.mean((1, 2, 3))

    both = [np.mean(w * mean(e**2 + np.abs(e))) / 2 for w, e in zip(weights, errors, strict=True)]
    assert loss() == pytest.approx(sum(both), rel=1e-5)
    assert loss(time_weighting=False) == pytest.approx(sum(np.mean(e**2 + np.abs(e)) / 2 for e in errors), rel=1e-5)
    squares = sum(np.mean(w * mean(e**2)) for w, e in zip(weights, errors, strict=True))
    assert loss(add_l1=False) == pytest.approx(squares, rel=1e-5)


@evaluates(15)
def test_divergence_of_one_step():
    """KL between the true step and the network's, from two calls of the step."""
    t, s, x, x0, c_error, noise_error = 0.7, 0.2, 0.4, 1.2, 0.3, -0.5
    noise = (x - (1 - t) * x0) / np.sqrt(t)

    def step(c_error, noise_error, fresh):
        args = latents([x]), latents([noise + noise_error]), latents([-x0 + c_error]), times(t), times(s)
        return float(diffusion.reverse_step(*args, latents([fresh]))[0, 0, 0, 0])

    true, wrong = step(0, 0, 0), step(c_error, noise_error, 0)
    variance = (step(0, 0, 1) - true) ** 2
    expected = s * t / (2 * (t - s)) * (c_error + noise_error / np.sqrt(t)) ** 2
    assert (true - wrong) ** 2 / (2 * variance) == pytest.approx(expected, rel=1e-3)


@evaluates(16, 19)
@pytest.mark.parametrize("with_estimate", [False, True])
def test_preconditioning(with_estimate):
    """Of a network whose raw answers are F1 = 1.3 and F2 = -0.7."""
    x, t = normal(3, 4, 4, 2), times(0.04, 0.5, 1.0)
    estimate = normal(3, 4, 4, 2) if with_estimate else None
    raw = {"attenuation": jnp.full(x.shape, 1.3), "noise": jnp.full(x.shape, -0.7)}
    found = jax.jit(Decoupled().precondition)(raw, x, t, estimate)
    t = np.asarray(t, np.float64)[:, None, None, None]
    copied = -estimate if with_estimate else (1 - t) * x
    np.testing.assert_allclose(found["attenuation"], copied + t / np.sqrt(t**2 + 1) * 1.3, atol=1e-5)
    noise = np.sqrt(t) * x + np.sqrt(1 - t) / np.sqrt(t**2 + 1) * -0.7
    np.testing.assert_allclose(found["noise"], noise, atol=1e-5)
    np.testing.assert_array_equal(found["noise"][2], x[2])


@evaluates(17)
def test_what_the_raw_outputs_must_be():
    x0, noise = RNG.normal(size=(2, 400_000))
    for t in (0.01, 0.3, 0.9):
        x = noisy(x0, noise, t)
        common = 1 / np.sqrt(t**2 + 1)
        f1, f2 = (-x0 - (1 - t) * x) / (t * common), (noise - np.sqrt(t) * x) / (np.sqrt(1 - t) * common)
        np.testing.assert_allclose(f2, np.sqrt((1 - t) * (1 + t**2)) * (noise - np.sqrt(t) * x0), atol=1e-5)
        expected = -np.sqrt(1 + t**2) / t * ((1 + (1 - t) ** 2) * x0 + (1 - t) * np.sqrt(t) * noise)
        np.testing.assert_allclose(f1, expected, atol=1e-4)
        assert f2.var() == pytest.approx(1 - t**4, rel=0.01)
        assert f1.var() == pytest.approx((1 + t**2) / t**2 * ((1 + (1 - t) ** 2) ** 2 + (1 - t) ** 2 * t), rel=0.01)


@evaluates(18)
def test_best_copied_part():
    x0, noise = RNG.normal(size=(2, 400_000))
    for t in (0.05, 0.5, 1.0):
        x = noisy(x0, noise, t)
        assert np.mean(-x0 * x) / np.mean(x**2) == pytest.approx(-(1 - t) / ((1 - t) ** 2 + t), abs=0.01)


@evaluates(20)
def test_scale_of_latents(monkeypatch):
    """An autoencoder whose posterior has half the image as mean and the log variance 0.4."""

    def apply(variables, image, method):
        return jnp.concatenate([0.5 * image, jnp.full_like(image, 0.4)], -1)

    monkeypatch.setattr(latent, "Autoencoder", lambda *settings: SimpleNamespace(apply=apply))
    grey = RNG.integers(0, 256, (2, 8, 8), np.uint8)
    scale = frozen.measure_scale(VAEConfig(), {}, {"gain": grey, "buildings": np.zeros(grey.shape, bool)})
    noise = np.asarray(jax.random.normal(jax.random.key(0), (*grey.shape, 1)), np.float64)
    z = 0.5 * (2 * (grey[..., None] / 255) - 1) + np.exp(0.2) * noise
    assert scale == pytest.approx(1 / z.std(), rel=1e-4)
    assert (scale * z).std() == pytest.approx(1, rel=1e-4)
