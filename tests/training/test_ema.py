"""The moving average against the original's recorded one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.settings import EMAConfig
from radiodiff_jax.training import ema
from tests.golden_files import golden

STAGES = {"vae": EMAConfig(0.995, 100, 10), "ldm": EMAConfig(0.999, 10_000, 10)}


def online(call):
    """What the recorded averages were made of."""
    k = jnp.asarray(call, jnp.float32)
    return {
        "params": {"p": jnp.stack([jnp.sin(0.01 * k), jnp.cos(0.003 * k)])},
        "batch_stats": {"b": jnp.sin(0.02 * k)[None], "count": jnp.asarray(call, jnp.int32)},
    }


@pytest.mark.parametrize("stage", STAGES)
def test_recorded_average(stage):
    recorded, config = golden("schedules"), STAGES[stage]
    calls = recorded[f"ema_{stage}/call_index"]

    def call(state, k):
        state = ema.update(config, state, online(k))
        return state, (state["average"], ema.decay_at(config, state["calls"]))

    start = ema.initialise(online(0))
    _, (average, decay) = jax.lax.scan(call, start, jnp.arange(calls[-1] + 1))
    np.testing.assert_allclose(average["params"]["p"][calls], recorded[f"ema_{stage}/ema_p"], atol=2e-5)
    np.testing.assert_allclose(average["batch_stats"]["b"][calls], recorded[f"ema_{stage}/ema_b"], atol=2e-5)
    np.testing.assert_allclose(decay[calls], recorded[f"ema_{stage}/decay_after_call"], atol=1e-6)
    assert (average["batch_stats"]["count"] == 0).all(), "integers are not averaged"


def test_every_call_without_delay():
    config = EMAConfig(decay=0.5, power=1.0)
    state = ema.initialise({"w": jnp.zeros(1)})
    seen = []
    for value in (1.0, 2.0, 3.0, 4.0, 5.0):
        state = ema.update(config, state, {"w": jnp.full(1, value)})
        seen.append(float(state["average"]["w"][0]))
    # Two copies, then decay 1 - 1/(1 + e) = 2/3 and more for e = 2, 3, .., capped at 1/2.
    assert seen == [1.0, 2.0, 2.5, 3.25, 4.125]
    assert int(state["calls"]) == 5


def test_half_precision_stays():
    state = ema.initialise({"w": jnp.zeros(2, jnp.bfloat16)})
    for _ in range(3):
        state = ema.update(EMAConfig(), state, {"w": jnp.ones(2, jnp.bfloat16)})
    assert state["average"]["w"].dtype == jnp.bfloat16
