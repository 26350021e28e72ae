"""Updates that would do harm change nothing but counters; the others are untouched by the guard."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.training.compiled import compile_task
from radiodiff_jax.training.devices import device_mesh, put_batch, replicate
from radiodiff_jax.training.optimizer import PATIENCE, first_guard, skip_bad_updates
from tests.training.toy import make_batches, make_config, make_task


def same(first, second) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))


def test_update_that_is_not_finite_is_left_out():
    """Update 2 of a real training is poisoned: it moves the step and the schedule, and the next one goes on."""
    mesh, batches = device_mesh(), make_batches()
    compiled = compile_task(make_task(make_config(), poisoned_at=2), 0, mesh)
    state, frozen, skipped, kept = compiled.initialise(), replicate({"scale": 1.5}, mesh), [], []
    for _ in range(4):
        kept.append(jax.device_get(state))
        state, metrics = compiled.step(state, frozen, put_batch(next(batches), mesh))
        skipped.append(float(metrics["skipped"]))
    assert skipped == [0, 0, 1, 0]
    before, after = kept[2], kept[3]
    for name in ("params", "batch_stats", "ema"):
        assert same(before[name], after[name])
    assert (int(before["step"]), int(after["step"])) == (2, 3)
    flat = [jax.tree_util.tree_leaves_with_path(one["optimizer"]) for one in (before, after)]
    changed = [jax.tree_util.keystr(path) for (path, a), (_, b) in zip(*flat, strict=True) if not np.array_equal(a, b)]
    assert len(changed) == 1 and changed[0].endswith(".count")  # the schedule's, not Adam's
    assert not same(state["params"], after["params"])


def test_good_update_has_the_same_bits_as_without_guard():
    task, unguarded = make_task(make_config()), make_task(make_config(), guarded=False)
    state, batch = task.initialise(jax.random.key(0)), next(make_batches())
    plain, _ = jax.jit(unguarded.step)(state, {"scale": 1.5}, batch, jax.random.key(1))
    guarded, metrics = jax.jit(task.step)(state, {"scale": 1.5}, batch, jax.random.key(1))
    assert same(plain, guarded)
    assert metrics["skipped"] == 0 and "skipped_spike" not in metrics


def step_to(state, batch, spike_factor=None):
    """A step whose batch is (loss, new parameter, new batch statistic)."""
    loss, value, statistic = batch
    new = state | {"step": state["step"] + 1, "params": value, "batch_stats": statistic}
    return skip_bad_updates(state, new, {"loss": loss, "grad_norm": jnp.float32(1)}, spike_factor)


def first_state(**more):
    return {"step": jnp.int32(0), "params": jnp.float32(5), "batch_stats": jnp.float32(5), **more}


@pytest.mark.parametrize(
    ("loss", "statistic", "expected"), [(1, 7, 7), (1, jnp.inf, 5), (jnp.nan, 7, 5), (jnp.inf, 7, 5)]
)
def test_any_number_that_is_not_finite_counts(loss, statistic, expected):
    state, metrics = step_to(first_state(), (jnp.float32(loss), jnp.float32(7), jnp.float32(statistic)))
    assert state["batch_stats"] == expected
    assert state["params"] == expected and state["step"] == 1
    assert metrics["skipped"] == (expected == 5)


def test_spike_is_left_out_once_there_is_a_mean():
    step = jax.jit(functools.partial(step_to, spike_factor=3.0))
    state = first_state(guard=first_guard())

    def update(loss: float, value: float):
        nonlocal state
        state, metrics = step(state, (jnp.float32(loss), jnp.float32(value), jnp.float32(0)))
        return float(metrics["skipped"]), float(metrics["skipped_spike"])

    assert update(100.0, 0.0) == (0, 0)  # no mean yet: a spike passes
    for _ in range(PATIENCE - 1):
        assert update(1.0, 1.0) == (0, 0)
    mean = (100 + PATIENCE - 1) / PATIENCE
    np.testing.assert_allclose(state["guard"]["mean"], mean, rtol=1e-5)
    assert update(3.1 * mean, 2.0) == (0, 1)
    assert update(jnp.nan, 2.0) == (1, 0)
    assert (float(state["params"]), int(state["step"]), int(state["guard"]["count"])) == (1.0, PATIENCE + 2, PATIENCE)
    np.testing.assert_allclose(state["guard"]["mean"], mean, rtol=1e-5)
    assert update(2.9 * mean, 2.0) == (0, 0)
    np.testing.assert_allclose(state["guard"]["mean"], mean * (1 + 1.9 / PATIENCE), rtol=1e-5)
