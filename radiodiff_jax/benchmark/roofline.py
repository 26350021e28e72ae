"""How near a measured row is to what the device can do at best. Numbers only: needs no JAX."""

from typing import Any

from radiodiff_jax.benchmark.job import Row


def position(row: Row, limits: dict[str, Any]) -> Row:
    """What follows from a row's median, operations and bytes.

    "teraflops_per_s"; "peak_share" of the device's limit (MFU); "intensity" in operations a byte; "bound", whether the
    intensity is above ("compute") or below ("memory") the device's own ratio; "roofline_share", the time that this
    limit allows over the time taken. What cannot be known is left out.
    """
    operations, seconds, moved = row.get("operations"), row.get("median_s"), row.get("bytes")
    if not operations or not seconds:
        return {}
    found: Row = {"teraflops_per_s": operations / seconds / 1e12}
    if limits:
        found["peak_share"] = found["teraflops_per_s"] / limits["teraflops"]
    if moved:
        found["intensity"] = operations / moved
    if limits and moved:
        computing, moving = operations / limits["teraflops"] / 1e12, moved / limits["gigabytes_per_s"] / 1e9
        found["bound"] = "compute" if computing >= moving else "memory"
        found["roofline_share"] = max(computing, moving) / seconds
    return found
