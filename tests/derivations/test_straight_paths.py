"""Formulae of `derivations/straight-paths.md`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.objectives.flow_matching import FlowMatching
from radiodiff_jax.objectives.objective import Noised
from radiodiff_jax.objectives.residual_flow import ResidualFlow
from radiodiff_jax.objectives.straight_path import Path, integrate
from tests.derivations.formulas import evaluates

RNG = np.random.default_rng(11)
COUNT = 400_000
PATH = Path(mean=-0.4, sigma=0.6, estimate=0.7, deviation=0.3)


def cells(values):
    """Numbers as a batch of maps of one component."""
    return jnp.asarray(values, jnp.float32).reshape(-1, 1, 1, 1)


def known(path, x, t):
    """(best linear guess of the velocity, variance of what is not known of x_t)."""
    variance = (1 - t) ** 2 * path.deviation**2 + t**2 * path.sigma**2
    y = x - (1 - t) * path.estimate - t * path.mean
    return path.mean - path.estimate + (t * path.sigma**2 - (1 - t) * path.deviation**2) / variance * y, variance


@pytest.fixture(scope="module", params=[0.05, 0.4, 1.0])
def drawn(request):
    """(t, x_t, v) of many lines, float64."""
    x0, noise = PATH.estimate + PATH.deviation * RNG.normal(size=COUNT), RNG.normal(size=COUNT)
    t = request.param
    found = PATH.at(cells(x0), cells(noise), jnp.full(COUNT, t))
    x, v = (np.asarray(part, np.float64).ravel() for part in found)
    np.testing.assert_allclose(x, (1 - t) * x0 + t * (-0.4 + 0.6 * noise), atol=1e-5)
    np.testing.assert_allclose(v, -0.4 + 0.6 * noise - x0, atol=1e-5)
    return t, x, v


@evaluates(1, 2, 3, 4, 5)
def test_what_is_known_of_the_velocity_against_least_squares(drawn):
    t, x, v = drawn
    slope, offset = np.polyfit(x, v, 1)
    guess, variance = known(PATH, x, t)
    assert x.var() == pytest.approx(variance, rel=0.01)
    assert float(PATH.variance(jnp.float32(t))) == pytest.approx(variance, rel=1e-5)
    np.testing.assert_allclose(np.mean((offset + slope * x - guess) ** 2), 0, atol=1e-5)
    assert (v - guess).var() == pytest.approx(0.3**2 * 0.6**2 / variance, rel=0.01)
    found = PATH.velocity(jnp.zeros((COUNT, 1, 1, 1)), cells(x), jnp.full(COUNT, t))
    np.testing.assert_allclose(np.ravel(found), guess, atol=1e-4)


@evaluates(6)
def test_raw_answer_has_unit_variance(drawn):
    t, x, v = drawn
    guess, variance = known(PATH, x, t)
    target = (v - guess) * np.sqrt(variance) / (0.3 * 0.6)
    assert target.var() == pytest.approx(1, rel=0.01)
    found = PATH.velocity(cells(target), cells(x), jnp.full(COUNT, t))
    np.testing.assert_allclose(np.ravel(found), v, atol=1e-3)


@evaluates(7)
@pytest.mark.parametrize("objective", [FlowMatching(deviation=0.4, l1_weight=0.3), ResidualFlow(sigma=0.2, deviation=0.1)])
def test_loss(objective):
    x0, noise, estimate, error = RNG.normal(size=(4, 3, 2, 2, 2))
    u, outdoors = np.array([0.1, 0.5, 0.9]), (RNG.random((3, 2, 2, 2)) < 0.7).astype(np.float32)
    outdoors[:, 0, 0, 0] = 1
    noised = objective.corrupt(jnp.asarray(x0), jnp.asarray(u), jnp.asarray(noise), jnp.asarray(estimate))
    t = u * (1 - 1e-4) + 1e-4
    source = noise if objective.name == "flow_matching" else estimate + 0.2 * noise
    np.testing.assert_allclose(noised.targets["velocity"], source - x0, rtol=1e-4, atol=1e-5)
    sigma = 1.0 if objective.name == "flow_matching" else 0.2
    variance = (1 - t) ** 2 * objective.deviation**2 + t**2 * sigma**2
    raw = error * (np.sqrt(variance) / (objective.deviation * sigma))[:, None, None, None]
    per_map = objective.l1_weight * np.abs(raw) + objective.l2_weight * raw**2
    expected = (per_map * outdoors).sum((1, 2, 3)) / outdoors.sum((1, 2, 3))
    wrong = {"velocity": noised.targets["velocity"] + error}
    found, parts = objective.loss(wrong, Noised(noised.x, noised.t, noised.targets), jnp.asarray(outdoors))
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert set(parts) == {"loss_l1", "loss_l2"}


@evaluates(8)
@pytest.mark.parametrize("midpoint", [False, True])
def test_steps(midpoint):
    start, steps = RNG.normal(size=(2, 3, 3, 1)).astype(np.float32), 4

    def velocity(x, t):
        return np.sin(x) + t * x

    def predict(x, t, wanted):
        assert wanted == ("velocity",)
        return {"velocity": jnp.sin(x) + t[:, None, None, None] * x}

    found = integrate(predict, PATH, lambda number: jnp.asarray(start), steps, midpoint)
    x = -0.4 + 0.6 * start.astype(np.float64)
    for k in range(steps):
        t, h = 1 - k / steps, 1 / steps
        v = velocity(x, t)
        x = x - h * (velocity(x - h / 2 * v, t - h / 2) if midpoint else v)
    np.testing.assert_allclose(found, x, rtol=1e-4, atol=1e-5)


@evaluates(9)
@pytest.mark.parametrize("objective", [FlowMatching(deviation=0.3), ResidualFlow(deviation=0.3)])
def test_one_step_answers_the_estimate_and_the_raw_answer(objective):
    estimate, noise, raw = jnp.asarray(RNG.normal(size=(3, 2, 3, 3, 1)), jnp.float32)

    def predict(x, t, wanted):
        return objective.precondition({"velocity": raw}, x, t, estimate)

    found = objective.sample(predict, lambda number: noise, 1, estimate)
    np.testing.assert_allclose(found, estimate - 0.3 * raw, atol=1e-5)
    assert (objective.evaluations(1), objective.evaluations(5)) == (1, 5)
    assert type(objective)(solver="midpoint").evaluations(5) == 10


def deviation_after(path, steps):
    deviation = path.sigma
    for k in range(steps):
        t = 1 - k / steps
        variance = (1 - t) ** 2 * path.deviation**2 + t**2 * path.sigma**2
        deviation *= 1 - (t * path.sigma**2 - (1 - t) * path.deviation**2) / variance / steps
    return deviation


@evaluates(10)
@pytest.mark.parametrize("steps", [1, 3, 50])
def test_more_steps_give_draws(steps):
    noise = jnp.asarray(RNG.normal(size=(1, 128, 256, 1)), jnp.float32)

    def predict(x, t, wanted):
        return {"velocity": PATH.velocity(jnp.zeros_like(x), x, t)}

    out = np.asarray(jax.jit(lambda: integrate(predict, PATH, lambda number: noise, steps, False))(), np.float64)
    expected = abs(deviation_after(PATH, steps))
    assert out.mean() == pytest.approx(0.7, abs=0.01)
    assert out.std() == pytest.approx(expected, rel=0.02, abs=1e-5)
    truth = 0.7 + 0.3 * RNG.normal(size=out.shape)
    assert np.mean((truth - out) ** 2) == pytest.approx(0.3**2 + expected**2, rel=0.05)
    if steps == 50:
        assert expected == pytest.approx(0.3, rel=0.05)


@evaluates(11)
def test_length_of_the_lines():
    estimate, error, noise = RNG.normal(size=(3, COUNT))
    for objective, mean, sigma in ((FlowMatching(deviation=0.1), 0.0, 1.0), (ResidualFlow(sigma=0.2), estimate, 0.2)):
        x0 = estimate + 0.1 * error
        v = np.asarray(objective.corrupt(cells(x0), jnp.full(COUNT, 0.5), cells(noise), cells(estimate)).targets["velocity"])
        assert np.mean(v.astype(np.float64) ** 2) == pytest.approx(
            np.mean((mean - estimate) ** 2) + sigma**2 + 0.1**2, rel=0.01
        )
