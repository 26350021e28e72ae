"""Regression and straight paths: their targets, their losses and their samplers, on predictions that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.objectives.flow_matching import FlowMatching
from radiodiff_jax.objectives.objective import Noised
from radiodiff_jax.objectives.regression import Regression
from radiodiff_jax.objectives.residual_flow import ResidualFlow

SHAPE = (64, 8, 8, 3)
CASES = {
    "without estimate": (FlowMatching(), None),
    "with estimate": (FlowMatching(deviation=0.2), 0.2),
    "residual": (ResidualFlow(sigma=0.3, deviation=0.2), 0.2),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """(objective, x0, estimate, noise, u): maps whose error about the estimate has the stated deviation."""
    objective, deviation = CASES[request.param]
    rng = np.random.default_rng(0)
    estimate = None if deviation is None else rng.normal(size=SHAPE).astype(np.float32)
    x0 = rng.normal(size=SHAPE).astype(np.float32) * (deviation or 1)
    x0 = x0 if estimate is None else estimate + x0
    return objective, x0, estimate, rng.normal(size=SHAPE).astype(np.float32), rng.random(SHAPE[0]).astype(np.float32)


def test_a_path_leads_from_the_map_to_its_source(case):
    objective, x0, estimate, noise, _ = case
    ends = [objective.corrupt(x0, jnp.full(64, u), noise, estimate) for u in (0.0, 1.0)]
    np.testing.assert_allclose(ends[0].x, x0, atol=2e-3)  # the smallest time is not quite 0
    source = noise if objective.name == "flow_matching" else estimate + objective.sigma * noise
    np.testing.assert_allclose(ends[1].x, source, atol=1e-6)
    for end in ends:
        np.testing.assert_allclose(end.targets["velocity"], source - x0, atol=1e-5)


def test_the_raw_answer_has_unit_variance_and_no_known_part(case):
    """What the network must answer, from the velocity that is true: variance 1, uncorrelated with x_t about its mean."""
    objective, x0, estimate, noise, u = case
    noised = objective.corrupt(x0, u, noise, estimate)
    zero = objective.precondition({"velocity": jnp.zeros(SHAPE)}, noised.x, noised.t, estimate)["velocity"]
    one = objective.precondition({"velocity": jnp.ones(SHAPE)}, noised.x, noised.t, estimate)["velocity"]
    raw = np.asarray((noised.targets["velocity"] - zero) / (one - zero))
    assert abs(raw.std() - 1) < 0.03
    per_time = raw.reshape(64, -1).std(1)
    assert 0.75 < per_time.min() and per_time.max() < 1.25


def test_the_loss_is_zero_at_the_truth_and_one_where_nothing_is_answered(case):
    objective, x0, estimate, noise, u = case
    noised = objective.corrupt(x0, u, noise, estimate)
    loss, parts = objective.loss(noised.targets, noised, None)
    assert loss.shape == (64,) and float(jnp.abs(loss).max()) < 1e-6
    silent = objective.precondition({"velocity": jnp.zeros(SHAPE)}, noised.x, noised.t, estimate)
    _, parts = objective.loss(silent, noised, None)
    np.testing.assert_allclose(parts["loss_l2"].mean(), 1, rtol=0.05)
    np.testing.assert_allclose(parts["loss_l1"].mean(), np.sqrt(2 / np.pi), rtol=0.05)


@pytest.mark.parametrize("steps", [1, 3])
def test_following_the_true_velocity_lands_on_the_map(case, steps):
    """Paths are straight, so that Euler's method is exact with any number of steps."""
    objective, x0, estimate, noise, _ = case
    truth = objective.corrupt(x0, jnp.ones(64), noise, estimate).targets

    def predict(x, t, wanted):
        assert wanted == ("velocity",)
        return truth

    found = jax.jit(lambda: objective.sample(predict, lambda number: jnp.asarray(noise), steps, estimate))()
    np.testing.assert_allclose(found, x0, atol=1e-5)
    assert objective.evaluations(steps) == steps


def test_midpoint_is_exact_for_a_velocity_that_is_linear_in_time():
    """x' = 2 t has x(0) = x(1) - 1; Euler's method misses it."""
    found = {}
    for solver in ("euler", "midpoint"):
        objective = FlowMatching(solver=solver)
        predict = lambda x, t, wanted: {"velocity": 2 * t[:, None, None, None] * jnp.ones_like(x)}  # noqa: E731
        found[solver] = objective.sample(predict, lambda number: jnp.zeros((2, 4, 4, 1)), 4, None)
    np.testing.assert_allclose(found["midpoint"], -1, atol=1e-6)
    assert abs(float(found["euler"].mean()) + 1) > 0.1
    assert FlowMatching(solver="midpoint").evaluations(4) == 8


@pytest.mark.parametrize("objective", [FlowMatching(), ResidualFlow()])
def test_the_graph_does_not_grow_with_the_steps(objective):
    def equations(steps):
        def sample(x):
            return objective.sample(lambda x, t, wanted: {"velocity": x}, lambda i: x, steps, x)

        return len(jax.make_jaxpr(sample)(jnp.ones((1, 2, 2, 3))).eqns)

    assert equations(3) == equations(50)


def test_regression_counts_outdoor_pixels_and_all_answers():
    objective, estimate = Regression(l1_weight=1.0, l2_weight=2.0), jnp.full((2, 4, 4, 1), 0.5)
    assert objective.corrupt(estimate, None, None, None) == Noised(None, None, {"x0": estimate})
    predicted = objective.precondition({"x0": jnp.full((2, 4, 4, 1), 0.25)}, None, None, estimate)
    np.testing.assert_array_equal(predicted["x0"], 0.75)
    target = jnp.where(jnp.arange(4)[None, None, :, None] < 2, 0.75, 0.25) * jnp.ones((2, 4, 4, 1))
    outdoors = (target < 0.5).astype(jnp.float32)
    noised = Noised(None, None, {"x0": target})
    for weights, error in ((outdoors, 0.5), (1 - outdoors, 0.0), (None, 0.25)):
        loss, parts = objective.loss(predicted, noised, weights)
        np.testing.assert_allclose(parts["loss_l1"], error, atol=1e-6)
        np.testing.assert_allclose(loss, parts["loss_l1"] + 2 * parts["loss_l2"], rtol=1e-6)
    twice, _ = objective.loss(predicted | {"x0_first": predicted["x0"]}, noised, None)
    np.testing.assert_allclose(twice, 2 * loss, rtol=1e-6)
    assert objective.sample(lambda x, t, wanted: predicted, None, 5, None) is predicted["x0"]
    assert objective.evaluations(5) == 1
