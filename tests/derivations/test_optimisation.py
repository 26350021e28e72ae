"""Formulae of `derivations/optimisation.md`."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from radiodiff_jax.composition import Composition
from radiodiff_jax.config import GeneratorConfig
from radiodiff_jax.objectives.regression import Regression
from radiodiff_jax.settings import OptimizerConfig
from radiodiff_jax.spaces.pixel import PixelSpace
from radiodiff_jax.training.optimizer import clip_by_global_norm, learning_rate, optimizer
from radiodiff_jax.training.update import make_update
from tests.derivations.formulas import evaluates

RNG = np.random.default_rng(8)


def train(config, start, gradients, updates=100):
    """Weights after each update by our optimizer."""
    update = optimizer(config, updates)

    @jax.jit
    def run(start, gradients):
        def step(carry, gradient):
            params, state = carry
            change, state = update.update(gradient, state, params)
            params = optax.apply_updates(params, change)
            return (params, state), params

        return jax.lax.scan(step, (start, update.init(start)), gradients)[1]

    return np.asarray(run(jnp.asarray(start, jnp.float32), jnp.asarray(gradients, jnp.float32)), np.float64)


@evaluates(1, 2, 3)
def test_adamw_update_by_update():
    config = OptimizerConfig(
        learning_rate=0.05, betas=(0.8, 0.95), epsilon=1e-3, weight_decay=0.2, schedule="constant", clip_norm=None
    )
    start, gradients = RNG.normal(size=3), RNG.normal(size=(6, 3))
    first, second, weights, expected = np.zeros(3), np.zeros(3), start.copy(), []
    for i, gradient in enumerate(gradients, start=1):
        first = 0.8 * first + 0.2 * gradient
        second = 0.95 * second + 0.05 * gradient**2
        ratio = first / (1 - 0.8**i) / (np.sqrt(second / (1 - 0.95**i)) + 1e-3)
        if i == 1:
            np.testing.assert_allclose(ratio, gradient / (np.abs(gradient) + 1e-3))
        weights = weights - 0.05 * (ratio + 0.2 * weights)
        expected.append(weights)
    np.testing.assert_allclose(train(config, start, gradients), expected, rtol=1e-4, atol=1e-6)


@evaluates(4)
def test_scale_of_gradients_moves_into_epsilon():
    start, gradients, factor = RNG.normal(size=3), RNG.normal(size=(5, 3)), 0.5
    coarse = OptimizerConfig(learning_rate=0.05, epsilon=0.1, schedule="constant", clip_norm=None)
    finer = OptimizerConfig(learning_rate=0.05, epsilon=0.1 / factor, schedule="constant", clip_norm=None)
    scaled = train(coarse, start, factor * gradients)
    np.testing.assert_allclose(scaled, train(finer, start, gradients), rtol=1e-4, atol=1e-6)
    assert np.abs(scaled - train(coarse, start, gradients)).max() > 1e-3


@evaluates(5)
def test_weights_without_gradient_decay():
    config = OptimizerConfig(learning_rate=0.1, weight_decay=0.02, schedule="polynomial", power=1.0, minimum=0.0)
    rates = 0.1 * (1 - np.arange(50) / 50)
    found = train(config, np.array([2.0, -1.0]), np.zeros((50, 2)), updates=50)[-1]
    np.testing.assert_allclose(found, np.array([2.0, -1.0]) * np.prod(1 - 0.02 * rates), rtol=1e-5)
    np.testing.assert_allclose(found, np.array([2.0, -1.0]) * np.exp(-0.02 * rates.sum()), rtol=1e-3)


@evaluates(6, 7)
def test_schedules():
    updates = 200
    for schedule in ("constant", "cosine", "polynomial"):
        settings = {"learning_rate": 3e-4, "schedule": schedule, "power": 0.9, "minimum": 0.05, "warmup_steps": 10}
        found = learning_rate(OptimizerConfig(**settings), updates)
        for i in (0, 4, 9, 10, 77, 150, 199, 200):
            left = 1 - i / updates
            factor = {
                "constant": 1.0,
                "cosine": 0.05 + 0.95 * (1 + np.cos(np.pi * i / updates)) / 2,
                "polynomial": max(left**0.9, 0.05),
            }[schedule]
            assert float(found(i)) == pytest.approx(3e-4 * factor * min(1, (i + 1) / 10), rel=1e-5)


@evaluates(8)
@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_clipping(limit):
    gradients = {"a": RNG.normal(size=(2, 3)), "b": {"c": RNG.normal(size=4)}}
    length = np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(gradients)))
    found, _ = clip_by_global_norm(limit).update(jax.tree.map(jnp.asarray, gradients), optax.EmptyState())
    for ours, before in zip(jax.tree.leaves(found), jax.tree.leaves(gradients), strict=True):
        np.testing.assert_allclose(ours, before * min(1, limit / (length + 1e-6)), rtol=1e-5)


class Weighted(nn.Module):
    """In place of a network: the features, each times a weight, added up."""

    @nn.compact
    def __call__(self, x, t, features, train=False):
        weights = self.param("w", lambda key: jnp.array([1.5, -0.5]))
        return {"x0": (features * weights).sum(-1, keepdims=True)}


@evaluates(9)
@pytest.mark.parametrize("parts", [1, 3])
def test_accumulation_gives_the_gradient_of_the_whole_batch(parts):
    """The training step around a network that is linear in rows and columns to the transmitter."""
    config = GeneratorConfig(
        image_size=(32, 32), space=PixelSpace(patch=1, fill=False), objective=Regression(l1_weight=0.0, l2_weight=1.0),
        features=("offset",), optimizer=OptimizerConfig(schedule="constant", clip_norm=None, accumulate=parts),
    )  # fmt: skip
    task = make_update(Composition(config, config.space, config.objective, Weighted()))
    grey, buildings = RNG.integers(0, 256, (6, 32, 32), np.uint8), RNG.random((6, 32, 32)) < 0.3
    position = RNG.integers(0, 32, (6, 2), np.int32)
    batch = {"gain": grey, "buildings": buildings, "position": position}
    _, metrics = jax.jit(task.step)(task.initialise(jax.random.key(0)), {}, batch, jax.random.key(1))

    places = np.stack(np.indices((32, 32)), -1) - position[:, None, None]
    features, target, outdoors = places / 256, 4 * (grey / 255 - 0.5), ~buildings
    errors = features @ [1.5, -0.5] - target
    means = [np.mean(error[open_] ** 2) for error, open_ in zip(errors, outdoors, strict=True)]
    slopes = [
        np.mean(2 * error[open_][:, None] * feature[open_], 0)
        for error, feature, open_ in zip(errors, features, outdoors, strict=True)
    ]
    assert float(metrics["grad_norm"]) == pytest.approx(np.linalg.norm(np.mean(slopes, 0)), rel=1e-4)
    assert float(metrics["loss"]) == pytest.approx(np.mean(means), rel=1e-4)
