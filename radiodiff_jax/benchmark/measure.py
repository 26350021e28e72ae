"""How things are measured: seconds of calls, compilation, memory, FLOPs and bytes, and what the device can do at best."""

import os
import platform
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import JaxprEqn

from radiodiff_jax.training.devices import compiler_options, describe_devices, release_freed_memory
from radiodiff_jax.training.flops import device_memory_gb, equation_flops, parts, peak_teraflops, traced_flops
from radiodiff_jax.training.run_folder import git_commit, package_versions

Row = dict[str, Any]
"""One line of the tables: "median_s", "best_s", "spread_s" (between the quartiles), "calls", and where they make sense
"batch", "compile_s", "flops", "bytes", "planned_gb", "examples_per_s", "peak_gb"."""

LONG = 20.0  # seconds of timed calls after which no more than three are made
FEWEST = 3

GIGABYTES_PER_S = {
    "H200": 4800.0,
    "H100": 3350.0,
    "A100": 2039.0,
    "L40S": 864.0,
    "L40": 864.0,
    "L4": 300.0,
    "A10G": 600.0,
    "RTX 4090": 1008.0,
    "RTX 3090": 936.0,
    "V100": 900.0,
    "T4": 320.0,
    "TPU v4": 1228.0,
    "TPU v5 lite": 819.0,
    "TPU v5p": 2765.0,
    "TPU v6 lite": 1640.0,
}
"""Memory bandwidth of one device by its name, from the vendors' data sheets (SXM, 80 GB, where there are several)."""

SIDE = 2048  # of the square matrices that measure a device's limit
VALUES = 1 << 26  # of float32, 256 MB: beyond every cache


# ---- time, memory, FLOPs ----


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
    """(executable, {"compile_s", "flops", "bytes", "planned_gb"}) of `trace()`, a `jax.jit(f).trace(...)`.

    "bytes" are those that XLA says go to and from memory, caches left aside; absent where it does not say.
    "planned_gb" is what arguments, results and all between them take on a device.
    """
    start = time.perf_counter()
    traced = trace()
    executable = traced.lower().compile()
    row = {"compile_s": time.perf_counter() - start, "flops": traced_flops(traced)}
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
    """The row of a function of `inputs`, which stay on the device."""
    inputs = jax.device_put(inputs)
    executable, row = compiled(lambda: jitted(function).trace(*inputs))
    return with_rate(row | timed(lambda: executable(*inputs), repeats), batch)


def jitted(function: Callable) -> Callable:
    """Compiled as everything here is."""
    return jax.jit(function, compiler_options=compiler_options())


def with_rate(row: Row, batch: int) -> Row:
    """The row with "batch" and, by the median, "examples_per_s"."""
    return row | {"batch": batch, "examples_per_s": batch / row["median_s"]}


def avoidable_flops(equation: JaxprEqn) -> int:
    """By how many FLOPs the dearest branches of the choices inside an equation surpass the cheapest."""
    inside = list(parts(equation.params))
    if equation.primitive.name == "cond":
        branches = [sum(map(equation_flops, branch.eqns)) for branch in inside]
        return max(branches, default=0) - min(branches, default=0)
    turns = equation.params["length"] if equation.primitive.name == "scan" else 1
    return turns * sum(avoidable_flops(one) for part in inside for one in part.eqns)


def peak_memory_gb() -> float:
    """The most memory used so far, in GB (10^9 bytes): the device's, or this process's resident set on a CPU."""
    on_device = device_memory_gb()
    if on_device is not None:
        return on_device
    kilo = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilo / 1e9


# ---- what the device can do at best, and how near a row is to it ----


def roofline(row: Row, limits: dict[str, Any]) -> Row:
    """What follows from a row's median, FLOPs and bytes (Williams et al., "Roofline", CACM 52(4), 2009).

    "teraflops_per_s"; "peak_share" of the device's limit (MFU); "intensity" in FLOPs a byte; "bound", whether the
    intensity is above ("compute") or below ("memory") the device's own ratio; "roofline_share", the time that this
    limit allows over the time taken. What cannot be known is left out.
    """
    flops, seconds, moved = row.get("flops"), row.get("median_s"), row.get("bytes")
    if not flops or not seconds:
        return {}
    found: Row = {"teraflops_per_s": flops / seconds / 1e12}
    if limits:
        found["peak_share"] = found["teraflops_per_s"] / limits["teraflops"]
    if moved:
        found["intensity"] = flops / moved
    if limits and moved:
        computing, moving = flops / limits["teraflops"] / 1e12, moved / limits["gigabytes_per_s"] / 1e9
        found["bound"] = "compute" if computing >= moving else "memory"
        found["roofline_share"] = max(computing, moving) / seconds
    return found


def limits(compute: str, calibrate: bool = False) -> dict[str, Any]:
    """{"teraflops", "gigabytes_per_s", "source"} of all devices together; empty for an unknown one that is no CPU.

    From data sheets where the device is in the tables; measured on CPUs, and wherever `calibrate` says so.
    """
    if calibrate or jax.default_backend() == "cpu":
        return calibrated(compute)
    kind, count = jax.devices()[0].device_kind, jax.device_count()
    teraflops, bandwidth = peak_teraflops(kind, compute), peak_gigabytes_per_s(kind)
    if teraflops is None or bandwidth is None:
        return {}
    return {"teraflops": teraflops * count, "gigabytes_per_s": bandwidth * count, "source": "data sheet"}


def peak_gigabytes_per_s(device_kind: str) -> float | None:
    """The data sheet's memory bandwidth of one device; None if not in the table."""
    return next((value for name, value in GIGABYTES_PER_S.items() if re.search(rf"\b{name}\b", device_kind)), None)


def calibrated(compute: str) -> dict[str, Any]:
    """The best of a few products of square matrices, and of a few passes over a large array, on the first device."""
    matrix = jnp.ones((SIDE, SIDE), compute)
    multiply = jax.jit(jnp.matmul)
    pass_over = jax.jit(lambda x: x + 1, donate_argnums=0)  # in place: new memory would cost more than moving it
    product = best(lambda _: multiply(matrix, matrix), matrix)
    passing = best(pass_over, jnp.ones(VALUES))
    return {
        "teraflops": 2 * SIDE**3 / product / 1e12,
        "gigabytes_per_s": 2 * 4 * VALUES / passing / 1e9,
        "source": "measured",
    }


def best(run: Callable[[jax.Array], jax.Array], value: jax.Array) -> float:
    """Seconds of the fastest of up to eight calls, each on the result of the one before, within about a second."""
    value = jax.block_until_ready(run(value))
    seconds: list[float] = []
    while len(seconds) < 8 and sum(seconds) < 1:
        start = time.perf_counter()
        value = jax.block_until_ready(run(value))
        seconds.append(time.perf_counter() - start)
    return min(seconds)


# ---- what the rows were measured on ----


def machine(compute: str, calibrate: bool) -> dict[str, Any]:
    """The machine, its versions and its limits."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "backend": jax.default_backend(),
        "devices": describe_devices(),
        "processor": processor(),
        "cores": cores(),
        "compute": compute,
        "versions": package_versions(),
        "git_commit": git_commit(),
        "limits": limits(compute, calibrate),
    }


def processor() -> str:
    """The processor's name."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text().splitlines() if table.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
