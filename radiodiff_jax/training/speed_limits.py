"""What one update costs, and how near the device's limit it runs."""

from typing import Any

import jax

from radiodiff_jax.training.arithmetic import operations

PEAKS = {
    "H200": (989.0, 494.0),
    "H100": (989.0, 494.0),
    "A100": (312.0, 156.0),
    "L40S": (362.0, 183.0),
    "L4": (121.0, 60.0),
    "A10G": (70.0, 35.0),
    "RTX 4090": (165.0, 82.6),
    "RTX 3090": (71.0, 35.6),
    "V100": (125.0, 15.7),
    "T4": (65.0, 8.1),
    "TPU v4": (275.0, 137.5),
    "TPU v5 lite": (197.0, 98.5),
    "TPU v5p": (459.0, 229.5),
    "TPU v6 lite": (918.0, 459.0),
}
"""Tera-operations a second of one device by its name: (16-bit, 32-bit as JAX multiplies by default: TF32 where there is
such), dense matrices, accumulated in 32 bits. From the vendors' data sheets."""


def peak_teraflops(device_kind: str, compute: str) -> float | None:
    """The data sheet's limit of one device in 10^12 operations a second for a compute type; None if not in the table."""
    found = [peaks for name, peaks in PEAKS.items() if name in device_kind]
    if not found:
        return None
    half, single = found[0]
    return single if compute == "float32" else half


def traced_operations(traced: Any) -> int:
    """Operations of a traced function (`jax.jit(f).trace(...)`) over all devices, as `arithmetic` counts them."""
    return sum(map(operations, traced.jaxpr.eqns))


def device_memory_gb() -> float | None:
    """The most memory in use so far on the first device of this process, in GB (10^9 bytes); None on CPUs."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    peak = statistics.get("peak_bytes_in_use")
    return None if peak is None else peak / 1e9
