"""Schedules and AdamW against PyTorch's recorded traces."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from radiodiff_jax.settings import OptimizerConfig
from radiodiff_jax.training.optimizer import clip_by_global_norm, learning_rate, optimizer
from tests.golden_files import golden

STAGES = {"vae": {"power": 0.95, "minimum": 5e-7}, "ldm": {"power": 0.96, "minimum": 5e-6}}


@pytest.mark.parametrize(("stage", "updates"), [("vae", 150_000), ("ldm", 50_000)])
def test_polynomial_schedule(stage, updates):
    recorded = golden("schedules")
    rate = learning_rate(OptimizerConfig(learning_rate=1.0, schedule="polynomial", **STAGES[stage]), updates)
    found = [float(rate(int(i))) for i in recorded[f"lr_{stage}/iter"]]
    np.testing.assert_allclose(found, recorded[f"lr_{stage}/multiplier"], rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("stage", "decay", "clip"), [("vae", 1e-2, None), ("ldm", 1e-4, 1.0)], ids=["vae", "ldm, clipped"]
)
def test_adamw(stage, decay, clip):
    recorded = golden("schedules")
    config = OptimizerConfig(
        learning_rate=1e-2, weight_decay=decay, clip_norm=clip, schedule="polynomial", **STAGES[stage]
    )
    update, rate = optimizer(config, 6), learning_rate(config, 6)
    params = jnp.asarray(recorded[f"adamw_{stage}/p_trace"][0])
    state = update.init(params)
    for i, gradients in enumerate(recorded[f"adamw_{stage}/grads"]):
        np.testing.assert_allclose(rate(i), recorded[f"adamw_{stage}/lr_used"][i], rtol=1e-5)
        if clip:
            norm = optax.tree.norm(jnp.asarray(gradients))
            np.testing.assert_allclose(norm, recorded["adamw_ldm/grad_norm"][i], rtol=1e-6)
        change, state = update.update(jnp.asarray(gradients), state, params)
        params = optax.apply_updates(params, change)
        np.testing.assert_allclose(params, recorded[f"adamw_{stage}/p_trace"][i + 1], rtol=2e-6, atol=2e-7)


def test_clip_has_torchs_coefficient():
    gradients = {"a": jnp.array([3e-6]), "b": jnp.array([4e-6])}
    found, _ = clip_by_global_norm(2e-6).update(gradients, optax.EmptyState())
    np.testing.assert_allclose([found["a"][0], found["b"][0]], [1e-6, 4e-6 / 3], rtol=1e-5)
    found, _ = clip_by_global_norm(1.0).update(gradients, optax.EmptyState())
    assert found["a"][0] == gradients["a"][0]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("constant", [1, 1, 1, 1]), ("cosine", [1, 0.55, 0.1, 0.1]), ("polynomial", [1, 0.25, 0.1, 0.1])],
)
def test_schedules_end_and_stay(schedule, expected):
    rate = learning_rate(OptimizerConfig(learning_rate=2.0, schedule=schedule, power=2.0, minimum=0.1), 100)
    np.testing.assert_allclose([rate(i) / 2 for i in (0, 50, 100, 1000)], expected, rtol=1e-5)


def test_warmup_is_linear_and_starts_above_zero():
    rate = learning_rate(OptimizerConfig(learning_rate=1.0, schedule="constant", warmup_steps=4), 100)
    np.testing.assert_allclose([rate(i) for i in range(6)], [0.25, 0.5, 0.75, 1, 1, 1], rtol=1e-6)
