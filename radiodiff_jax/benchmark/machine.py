"""What the rows were measured on."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax

from radiodiff_jax.benchmark.limits import limits
from radiodiff_jax.training.devices import describe_devices
from radiodiff_jax.training.provenance import git_commit, package_versions


def machine(compute: str, calibrate: bool) -> dict[str, Any]:
    """What the rows were measured on, and its limits."""
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
