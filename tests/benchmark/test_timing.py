"""What is counted and timed: on functions whose arithmetic is known, and on weights of the right shapes."""

import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from radiodiff_jax.benchmark.loop import Times, loop_row
from radiodiff_jax.benchmark.predictions import measure_throughput
from radiodiff_jax.benchmark.roofline import position
from radiodiff_jax.benchmark.timing import measured, peak_memory_gb, timed
from radiodiff_jax.benchmark.updates import avoidable
from radiodiff_jax.benchmark.weights import random_model
from radiodiff_jax.training.ldm_task import first_variables
from tests.micro import micro


def test_first_calls_are_left_out():
    seconds = iter([0.05, 0.05, 0.0, 0.0, 0.02])
    found = timed(lambda: time.sleep(next(seconds)), 3)
    assert found["calls"] == 3 and found["best_s"] <= found["median_s"] < 0.015
    assert 0.005 < found["spread_s"] < 0.02  # between the quartiles of 0, 0 and 20 ms
    assert peak_memory_gb() > 0.05


def test_a_product_of_matrices_has_the_arithmetic_of_one():
    side = 64
    row = measured(jax.jit(jnp.matmul), (jnp.ones((side, side)), jnp.ones((side, side))), side, 3)
    assert row["operations"] == 2 * side**3
    assert row["bytes"] == 3 * 4 * side**2  # two matrices read, one written
    assert row["examples_per_s"] == pytest.approx(side / row["median_s"])


def test_the_dearer_branch_can_be_left_out():
    def choose(flag, x):
        return jax.lax.cond(flag, lambda x: x @ x, lambda x: x, x) @ x

    traced = jax.jit(choose).trace(True, jnp.ones((8, 8)))
    assert sum(map(avoidable, traced.jaxpr.eqns)) == 2 * 8**3


def test_the_roofline_has_two_sides():
    limits = {"teraflops": 1.0, "gigabytes_per_s": 100.0}  # ten operations a byte
    dense = position({"median_s": 2.0, "operations": 1e12, "bytes": 1e9}, limits)
    assert (dense["bound"], dense["peak_share"], dense["roofline_share"]) == ("compute", 0.5, 0.5)
    sparse = position({"median_s": 0.1, "operations": 1e9, "bytes": 1e9}, limits)
    assert sparse["bound"] == "memory" and sparse["roofline_share"] == pytest.approx(0.1)
    assert position({"median_s": 1.0, "operations": 1e12}, {}) == {"teraflops_per_s": 1.0}
    assert position({"median_s": 1.0}, limits) == {}


def loop_times(quarter: int, stalls: dict[int, float]) -> Times:
    """Of a loop whose updates take 1 s, held for 100 s before the 4 bare ones, each logged step waited for."""
    times, now, waited = Times(begun={}, ended={}, logged={}, bare=[]), 30.0, 0
    for number in range(17 * quarter):
        times.ended[number - 1] = now
        if number % (4 * quarter) == quarter:
            times.bare.append(0.98)
            now += 100
        times.begun[number] = now
        if (number + 1) % quarter:
            now += float(number > waited)  # the one before is waited for, unless nothing was under way
        else:
            now += 1 + float(number > waited)
            times.logged[number] = now
            now += stalls.get(number + 1, 0.0)
            waited = number + 1
    return times


@pytest.mark.parametrize("quarter", [1, 2, 10])
def test_the_loop_is_compared_with_the_bare_update(quarter):
    row = loop_row(loop_times(quarter, {4 * quarter: 0.3, 8 * quarter: 0.5, 12 * quarter: 0.2}), quarter)
    assert row["looped_s"] == pytest.approx(1) and row["bare_s"] == 0.98
    assert row["overhead_share"] == pytest.approx(1 / 0.98 - 1)
    assert row["longest_stall_s"] == pytest.approx(0.5) and 0.2 <= row["stall_s"] <= 0.3001


def test_weights_for_timing_have_the_shapes_of_real_ones():
    ldm, vae = micro("ldm"), micro("vae")
    real = jax.eval_shape(lambda key: first_variables(ldm, vae, key), jax.random.key(0))
    describe = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)  # noqa: E731
    assert describe(random_model(ldm, vae).variables) == describe(real)


def test_batches_grow_until_memory_is_full(monkeypatch):
    from radiodiff_jax.benchmark import predictions

    def predict(model, steps, batch, repeats):
        if batch > 32:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: too much")
        return {"batch": batch, "examples_per_s": float(batch)}

    monkeypatch.setattr(predictions, "predict", predict)
    monkeypatch.setattr(predictions, "random_model", lambda *settings: None)
    monkeypatch.setattr(predictions.jax, "default_backend", lambda: "gpu")
    job = SimpleNamespace(ldm=None, vae=None, batch=None, repeats=1)
    (row,) = measure_throughput(job).values()
    assert row["batch"] == 32 and list(row["tried"]) == ["8", "16", "32"]
