"""What is counted and timed: on functions whose FLOPs are known, and on weights of the right shapes."""

import time
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from radiodiff_jax.benchmark import stages
from radiodiff_jax.benchmark.job import Job, random_batch, with_latents
from radiodiff_jax.benchmark.loop import Times, loop_row
from radiodiff_jax.benchmark.measure import (
    avoidable_flops,
    measured,
    peak_gigabytes_per_s,
    peak_memory_gb,
    roofline,
    timed,
)
from radiodiff_jax.training.frozen import autoencoder_shapes
from tests.micro import micro


def test_first_calls_are_left_out():
    seconds = iter([0.05, 0.05, 0.0, 0.0, 0.02])
    found = timed(lambda: time.sleep(next(seconds)), 3)
    assert found["calls"] == 3 and found["best_s"] <= found["median_s"] < 0.015
    assert 0.005 < found["spread_s"] < 0.02  # between the quartiles of 0, 0 and 20 ms
    assert peak_memory_gb() > 0.05


def test_a_product_of_matrices_has_the_flops_of_one():
    side = 64
    row = measured(jnp.matmul, (jnp.ones((side, side)), jnp.ones((side, side))), side, 3)
    assert row["flops"] == 2 * side**3
    assert row["bytes"] == 3 * 4 * side**2  # two matrices read, one written
    assert row["examples_per_s"] == pytest.approx(side / row["median_s"])


def test_the_dearer_branch_can_be_left_out():
    def choose(flag, x):
        return jax.lax.cond(flag, lambda x: x @ x, lambda x: x, x) @ x

    traced = jax.jit(choose).trace(True, jnp.ones((8, 8)))
    assert sum(map(avoidable_flops, traced.jaxpr.eqns)) == 2 * 8**3


def test_the_roofline_has_two_sides():
    limits = {"teraflops": 1.0, "gigabytes_per_s": 100.0}  # ten FLOPs a byte
    dense = roofline({"median_s": 2.0, "flops": 1e12, "bytes": 1e9}, limits)
    assert (dense["bound"], dense["peak_share"], dense["roofline_share"]) == ("compute", 0.5, 0.5)
    sparse = roofline({"median_s": 0.1, "flops": 1e9, "bytes": 1e9}, limits)
    assert sparse["bound"] == "memory" and sparse["roofline_share"] == pytest.approx(0.1)
    assert roofline({"median_s": 1.0, "flops": 1e12}, {}) == {"teraflops_per_s": 1.0}
    assert roofline({"median_s": 1.0}, limits) == {}


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


def test_a_bandwidth_is_found_by_the_whole_name():
    names = ("NVIDIA L40", "NVIDIA L4", "NVIDIA L40S", "NVIDIA A100-SXM4-80GB", "NVIDIA L400")
    assert list(map(peak_gigabytes_per_s, names)) == [864.0, 300.0, 864.0, 2039.0, None]


def described(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


@pytest.mark.parametrize("objective", ["decoupled", "residual_flow"])
def test_weights_for_timing_have_the_shapes_of_real_ones(objective):
    words = ["estimate=none", f"objective.name={objective}"]
    vae = micro("vae")
    job = Job(micro("radiodiff", *words), vae)
    composition = job.composition
    real = jax.eval_shape(composition.first_variables, jax.random.key(0))
    assert described(job.generator.variables) == described(real)
    assert described(job.frozen["autoencoder"]) == described(autoencoder_shapes(vae))
    assert ("base" in job.frozen) == (objective == "residual_flow")
    if composition.base is not None:
        base = jax.eval_shape(composition.base.first_variables, jax.random.key(0))
        assert described(job.frozen["base"]) == described(base)


def test_batches_for_timing_are_those_of_the_pipeline(tmp_path):
    from radiodiff_jax.data.pipeline import training_batches
    from radiodiff_jax.data.sources import open_varied_source
    from tests.micro import write_data

    folder = write_data(tmp_path)
    words = ["data.observed_pixels=20", "features=[buildings,transmitter,observed]"]
    for config in (micro("radiodiff"), micro("radiodiff", *words)):
        real = next(training_batches(open_varied_source(folder, "train", config.data), 4, 0))
        found = random_batch(config, 4)
        assert described(found) == {name: one for name, one in described(real).items() if name not in ("map", "transmitter")}
    known, buildings = found["observed"], found["buildings"]
    assert known.any() and not (known & buildings).any() and 0 < buildings.mean() < 0.6
    place = found["position"]
    assert not buildings[range(4), place[:, 0], place[:, 1]].any()


def test_cached_batches_hold_latents():
    job = Job(micro("radiodiff"), micro("vae"))
    batch = with_latents(random_batch(job.config, 2), job.composition)
    assert "gain" not in batch and batch["moments"].shape == (2, 8, 8, 6) and batch["estimate"].shape == (2, 8, 8, 3)


def test_batches_grow_until_memory_is_full(monkeypatch):
    def predict(generator, steps, batch, repeats):
        if batch > 32:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: too much")
        return {"batch": batch, "examples_per_s": float(batch)}

    monkeypatch.setattr(stages, "predict", predict)
    monkeypatch.setattr(stages.jax, "default_backend", lambda: "gpu")
    job = SimpleNamespace(generator=None, batch=None, repeats=1)
    (row,) = stages.measure_throughput(job).values()
    assert row["batch"] == 32 and list(row["tried"]) == ["8", "16", "32"]
