"""Compilation ahead of time, and seconds of calls that are waited for."""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax

from radiodiff_jax.benchmark.job import Row
from radiodiff_jax.training.devices import release_freed_memory
from radiodiff_jax.training.speed_limits import device_memory_gb, traced_operations

LONG = 20.0  # seconds of timed calls after which no more than three are made
FEWEST = 3


def timed(run: Callable[[], Any], repeats: int) -> Row:
    """Seconds of `repeats` calls after two (or, if they are slow, one) that are not counted."""
    start = time.perf_counter()
    jax.block_until_ready(run())
    if time.perf_counter() - start < 1:
        jax.block_until_ready(run())
    seconds: list[float] = []
    while len(seconds) < repeats and (len(seconds) < FEWEST or sum(seconds) < LONG):
        start = time.perf_counter()
        jax.block_until_ready(run())
        seconds.append(time.perf_counter() - start)
    return summary(seconds)


def summary(seconds: list[float]) -> Row:
    """Median, best, and how far apart the quartiles are."""
    quartiles = statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else [seconds[0]] * 3
    return {
        "median_s": quartiles[1], "best_s": min(seconds), "spread_s": quartiles[2] - quartiles[0], "calls": len(seconds)
    }  # fmt: skip


def compiled(trace: Callable[[], Any]) -> tuple[jax.stages.Compiled, Row]:
    """(executable, {"compile_s", "operations", "bytes", "planned_gb"}) of `trace()`, a `jax.jit(f).trace(...)`.

    "bytes" are those that XLA says go to and from memory, caches left aside; absent where it does not say.
    "planned_gb" is what arguments, results and all between them take on a device.
    """
    start = time.perf_counter()
    traced = trace()
    executable = traced.lower().compile()
    row = {"compile_s": time.perf_counter() - start, "operations": traced_operations(traced)}
    cost = executable.cost_analysis() or {}
    if cost.get("bytes accessed"):
        row["bytes"] = float(cost["bytes accessed"])
    memory = executable.memory_analysis()
    if memory is not None:
        planned = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
        row["planned_gb"] = (planned - memory.alias_size_in_bytes) / 1e9
    release_freed_memory()
    return executable, row


def measured(function: Callable, inputs: tuple, batch: int, repeats: int) -> Row:
    """The row of a jitted function of `inputs`, which stay on the device."""
    inputs = jax.device_put(inputs)
    executable, row = compiled(lambda: function.trace(*inputs))
    return with_rate(row | timed(lambda: executable(*inputs), repeats), batch)


def with_rate(row: Row, batch: int) -> Row:
    """The row with "batch" and, by the median, "examples_per_s"."""
    return row | {"batch": batch, "examples_per_s": batch / row["median_s"]}


def peak_memory_gb() -> float:
    """The most memory used so far, in GB (10^9 bytes): the device's, or this process's resident set on a CPU."""
    on_device = device_memory_gb()
    if on_device is not None:
        return on_device
    kilo = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilo / 1e9
