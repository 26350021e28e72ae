"""Formulae of `derivations/ema.md`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.settings import EMAConfig
from radiodiff_jax.training import ema
from tests.derivations.formulas import evaluates

RNG = np.random.default_rng(5)
AT_ONCE = 40.0  # a power with which the decay reaches its limit in the first averaging


def averages(config, values):
    """The average after each call; values [calls, ...], the average before the first call is 0."""

    def call(state, value):
        state = ema.update(config, state, value)
        return state, state["average"]

    values = jnp.asarray(values, jnp.float32)
    return np.asarray(jax.lax.scan(call, ema.initialise(jnp.zeros_like(values[0])), values)[1], np.float64)


@pytest.fixture(scope="module")
def constant_decay():
    """(decay, inputs, outputs) of the filter with constant decay, averaging from call 2 on, for three inputs at once.

    Inputs: noise after a 1 (which is copied), a slow wave, a ramp.
    """
    decay, calls = 0.8, 4000
    k = np.arange(calls)
    inputs = np.stack([RNG.normal(size=calls), np.cos(0.3 * k), 0.01 * k], 1)
    inputs[:2, 0] = 1
    return decay, inputs, averages(EMAConfig(decay, 0, 1, AT_ONCE), inputs)


@evaluates(1, 2)
def test_average_is_a_convolution_with_its_impulse_response(constant_decay):
    decay, inputs, outputs = constant_decay
    after = 300
    response = (1 - decay) * decay ** np.arange(after)
    for column in range(3):
        values = inputs[1 : after + 1, column]  # the value of call 1 is copied, the others are averaged
        expected = np.convolve(np.r_[0, values[1:]], response)[:after] + decay ** np.arange(after) * values[0]
        np.testing.assert_allclose(outputs[1 : after + 1, column], expected, atol=2e-5)
    assert response.sum() == pytest.approx(1)


@evaluates(3)
def test_time_constants(constant_decay):
    decay, _, outputs = constant_decay
    response = (1 - decay) * decay ** np.arange(1000)
    tau = -1 / np.log(decay)
    assert decay**tau == pytest.approx(np.exp(-1)) and decay ** (tau * np.log(2)) == pytest.approx(0.5)
    lag = np.sum(np.arange(1000) * response)
    assert lag == pytest.approx(decay / (1 - decay))
    assert 0.01 * 999 - outputs[999, 2] == pytest.approx(0.01 * lag, abs=1e-4)  # the ramp comes out this late
    for limit, expected in ((0.999, (999.5, 692.8, 999)),):
        tau = -1 / np.log(limit)
        np.testing.assert_allclose([tau, tau * np.log(2), limit / (1 - limit)], expected, atol=0.05)


@evaluates(4)
def test_frequency_response(constant_decay):
    decay, _, outputs = constant_decay
    response = (1 - decay) / (1 - decay * np.exp(-0.3j))
    k = np.arange(100, 4000)
    np.testing.assert_allclose(outputs[100:, 1], (response * np.exp(0.3j * k)).real, atol=5e-4)
    assert np.abs(response) ** 2 == pytest.approx((1 - decay) ** 2 / (1 - 2 * decay * np.cos(0.3) + decay**2))


@evaluates(5)
def test_noise_left(constant_decay):
    decay, _, outputs = constant_decay
    response = (1 - decay) * decay ** np.arange(1000)
    assert np.sum(response**2) == pytest.approx((1 - decay) / (1 + decay))
    assert outputs[100:, 0].var() == pytest.approx((1 - decay) / (1 + decay), rel=0.1)


@evaluates(6, 7, 10)
def test_warm_up_copies_and_weights():
    """update_after 4, update_every 2: copies at calls 0, 2, 4 and 6, averages at 8, 10, ... with the page's decays."""
    config = EMAConfig(decay=0.9, update_after=4, update_every=2, power=2 / 3)
    values = RNG.normal(size=21)
    found = averages(config, values[:, None])[:, 0]
    expected, average, weights = [], 0.0, np.zeros(21)
    for finished in range(21):
        if finished % 2 == 0:
            elapsed = max(finished + 1 - 4 - 1, 0)
            decay = min(0.9, 1 - (1 + elapsed) ** (-2 / 3)) if finished > 6 else 0.0
            weights *= decay
            weights[finished] += 1 - decay
            average = decay * average + (1 - decay) * values[finished]
        assert weights.sum() == pytest.approx(1)
        assert weights @ values == pytest.approx(average)
        expected.append(average)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # In updates the response is `update_every` times as long.
    constant = EMAConfig(decay=0.5, update_after=0, update_every=3, power=AT_ONCE)
    step = averages(constant, np.r_[np.zeros(4), np.ones(30)][:, None])[:, 0]
    per_update = np.exp(np.log(0.5) / 3)
    np.testing.assert_allclose(1 - step[[8, 11, 14, 17]], per_update ** np.array([3, 6, 9, 12]), atol=1e-6)


@evaluates(6, 9)
def test_decay_and_where_it_reaches_its_limit():
    config = EMAConfig(decay=0.999, update_after=100, power=2 / 3)
    calls = np.array([50, 101, 102, 111, 1101, 100_000])
    elapsed = np.maximum(calls - 101, 0)
    found = ema.decay_at(config, jnp.asarray(calls))
    np.testing.assert_allclose(found, np.minimum(0.999, 1 - (1.0 + elapsed) ** (-2 / 3)), atol=1e-6)
    for decay, limit in ((0.999, 31_622), (0.995, 2_828)):
        assert int(np.ceil((1 - decay) ** -1.5 - 1)) == limit
        unlimited = EMAConfig(decay=1.0, power=2 / 3)
        before, after = ema.decay_at(unlimited, jnp.array([limit - 40, limit + 40]) + 1)
        assert float(before) < decay < float(after)


@evaluates(8)
def test_power_one_is_the_plain_mean():
    values = RNG.normal(size=30)
    found = averages(EMAConfig(decay=1.0, update_after=0, update_every=1, power=1.0), values[:, None])[:, 0]
    for n in range(1, 30):  # the value of call 1 is copied
        expected = (2 * values[1] + values[2 : n + 1].sum()) / (n + 1)
        assert found[n] == pytest.approx(expected, abs=1e-5)
