"""What a device can do at best: from data sheets, or measured in a second or two."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from radiodiff_jax.training.speed_limits import peak_teraflops

GIGABYTES_PER_S = {
    "H200": 4800.0,
    "H100": 3350.0,
    "A100": 2039.0,
    "L40S": 864.0,
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

SIDE = 2048  # of the square matrices
VALUES = 1 << 26  # of float32, 256 MB: beyond every cache


def limits(compute: str, calibrate: bool = False) -> dict[str, Any]:
    """{"teraflops", "gigabytes_per_s", "source"} of all devices together; empty for an unknown one that is no CPU.

    From data sheets where the device is in the tables; measured on CPUs, and wherever `calibrate` says so.
    """
    kind, count = jax.devices()[0].device_kind, jax.device_count()
    teraflops = peak_teraflops(kind, compute)
    bandwidth = next((value for name, value in GIGABYTES_PER_S.items() if name in kind), None)
    if calibrate or jax.default_backend() == "cpu":
        return calibrated(compute)
    if teraflops is None or bandwidth is None:
        return {}
    return {"teraflops": teraflops * count, "gigabytes_per_s": bandwidth * count, "source": "data sheet"}


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
