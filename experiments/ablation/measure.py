"""What one update of an item costs, and so how many of them its budget buys; called in a process of its own.

Nothing is trained for it: autoencoders and regressions that an item builds on are stood in for by untrained ones.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from experiments.ablation.plan import Budget
from experiments.training import data_arguments
from radiodiff_jax.benchmark.job import random_autoencoder
from radiodiff_jax.benchmark.measure import avoidable_flops, cores, processor
from radiodiff_jax.composition import Composition, compose
from radiodiff_jax.config import Config, GeneratorConfig
from radiodiff_jax.settings import VAEConfig
from radiodiff_jax.training.compiled import MeasuredStep, compile_task
from radiodiff_jax.training.devices import describe_devices, device_mesh, put_batch, replicate
from radiodiff_jax.training.flat import host_shapes
from radiodiff_jax.training.flops import traced_flops
from radiodiff_jax.training.frozen import read_perceptual
from radiodiff_jax.training.run_folder import count_parameters, git_commit, package_versions
from radiodiff_jax.training.task import Task, Tree
from radiodiff_jax.training.update import make_update
from radiodiff_jax.training.vae_update import make_vae_update

WARM_UP, FEWEST = 3, 8  # updates before the timed ones, and fewest timed ones
SHARE, LEAST_S, MOST_S = 0.1, 1.0, 10.0  # of a budget in seconds that is spent on timing


@dataclass(frozen=True)
class Request:
    """An item to measure; `seconds` is how long updates are timed, or None where only their FLOPs are wanted."""

    config: Config
    vae: VAEConfig | None
    start: GeneratorConfig | None
    data: Path
    seconds: float | None


def measure(request: Request) -> dict[str, Any]:
    """{"parameters", "update_flops", "later_flops", "later_from", "update_seconds", "timed_updates", "machine"}.

    An autoencoder's updates cost `later_flops` from number `later_from` on, once its discriminator takes part. Raises
    UserError for data that do not fit.
    """
    config = request.config
    task, frozen = stand_ins(request)
    mesh = device_mesh()
    compiled = compile_task(task, config.training.seed, mesh, fsdp=config.training.fsdp)
    batches, frozen = data_arguments(config, request.data)["batches"], replicate(frozen, mesh)
    traced = compiled.step.trace(compiled.shapes, frozen, put_batch(next(batches), mesh))
    most = traced_flops(traced)
    found = {
        "parameters": count_parameters(host_shapes(compiled.shapes["params"]))["total"],
        "update_flops": most,
        "machine": machine(),
    }
    if isinstance(config, VAEConfig):
        found["parameters"] = count_parameters(host_shapes(compiled.shapes["params"]))["autoencoder"]
        found["update_flops"] = most - sum(map(avoidable_flops, traced.jaxpr.eqns))
        found |= {"later_flops": most, "later_from": config.objective.discriminator_start}
    if request.seconds is None:
        return found
    step = MeasuredStep(compiled.step, config.precision.compute)
    state = compiled.initialise()
    step.compile(state, frozen, put_batch(next(batches), mesh))
    count, seconds = time_updates(step, state, frozen, lambda: put_batch(next(batches), mesh), request.seconds)
    return found | {"update_seconds": seconds / count, "timed_updates": count}


def stand_ins(request: Request) -> tuple[Task, Tree]:
    """(the training of an item, its frozen tree before any training)."""
    if isinstance(request.config, VAEConfig):
        return make_vae_update(request.config), read_perceptual(request.config.objective)[0]
    generator: Composition = compose(request.config, request.vae, request.start)
    frozen: dict[str, Any] = {}
    if request.vae is not None:
        frozen |= {"autoencoder": random_autoencoder(request.vae), "scale": jnp.float32(1)}
    if generator.base is not None:
        frozen["base"] = generator.base.first_variables(jax.random.key(2))
    return make_update(generator), frozen


def time_updates(step: Any, state: Tree, frozen: Tree, next_batch: Any, least: float) -> tuple[int, float]:
    """(updates, seconds) of at least `least` seconds of training, data and metrics fetched as the loop does it."""
    for _ in range(WARM_UP):
        state, before = step(state, frozen, next_batch())
    jax.block_until_ready(state)
    count, begin = 0, time.perf_counter()
    while count < FEWEST or time.perf_counter() - begin < least:
        state, metrics = step(state, frozen, next_batch())
        jax.device_get(before)  # of the update before, while the device works on this one
        before, count = metrics, count + 1
    jax.block_until_ready(state)
    return count, time.perf_counter() - begin


def probe_seconds(budget: Budget) -> float | None:
    """How long updates are timed for a budget; None where it is not in seconds."""
    return min(MOST_S, max(LEAST_S, SHARE * budget.amount)) if budget.kind == "seconds" else None


def updates_of(budget: Budget, measured: dict[str, Any]) -> tuple[int, str]:
    """(how many updates the budget buys, how that was found)."""
    if budget.kind == "updates":
        return max(1, round(budget.amount)), "given"
    if budget.kind == "seconds":
        one, count = measured["update_seconds"], measured["timed_updates"]
        updates = max(1, round(budget.amount / one))
        return (
            updates,
            f"{budget.amount:g} s / {1000 * one:.4g} ms an update, timed over {count} updates before the first run",
        )
    first, later, begin = flops_of(measured)
    in_first = begin * first
    updates = budget.amount / first if budget.amount <= in_first else begin + (budget.amount - in_first) / later
    return max(1, round(updates)), f"{budget.amount:.4g} FLOPs / {first:.4g} FLOPs an update"


def training_flops(updates: int, measured: dict[str, Any]) -> float:
    """FLOPs of so many updates."""
    first, later, begin = flops_of(measured)
    return min(updates, begin) * first + max(0, updates - begin) * later


def flops_of(measured: dict[str, Any]) -> tuple[float, float, float]:
    """(FLOPs of an early update, of a later one, number of the first later one)."""
    first = measured["update_flops"]
    return first, measured.get("later_flops", first), measured.get("later_from", math.inf)


def machine() -> dict[str, Any]:
    """What the runs are made on and with."""
    return {
        "devices": describe_devices(), "processor": processor(), "cores": cores(), "versions": package_versions(),
        "git_commit": git_commit(),
    }  # fmt: skip
