"""Compiling for an NVIDIA card on a machine that has none: kernels, seconds and planned memory of an update.

Needs the extra `cuda13`, no driver. Nothing is tuned without a card, so the seconds are the compiler's own.
"""

import re
import time
from collections import Counter
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from radiodiff_jax.errors import UserError
from radiodiff_jax.training.devices import AXIS

PLATFORM = "cuda"
CARDS = {
    "h100": """
gpu_device_info {
  cuda_compute_capability { major: 9 minor: 0 }
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152 shared_memory_per_core: 233472
  threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98 device_memory_size: 84978434048
  shared_memory_per_block_optin: 232448 registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA" dnn_version_info { major: 9 minor: 19 } device_description_str: "NVIDIA H100 80GB HBM3"
"""
}
"""Name -> what XLA's compiler wants to know of a card, as its text format has it."""


OPTIONS = {"xla_gpu_enable_triton_gemm": False}  # the tiles of these products are found by trying them on a card


def card_mesh(card: str) -> Mesh:
    """A mesh of one device of a card in `CARDS`. Raises UserError where no compiler for it is installed."""
    from jax.experimental import topologies  # rarely needed

    try:
        found = topologies.get_topology_desc(
            platform=PLATFORM, topology_name=PLATFORM, target_config=CARDS[card], topology="1x1x1"
        )
    except Exception as error:  # as many classes as there are things that can be missing
        raise UserError(
            f"--compile-for {card}: no compiler for NVIDIA cards is installed ({' '.join(str(error).split())[:120]}); "
            "install it with pip install -e '.[cuda13]'"
        ) from error
    return Mesh(np.array(found.devices), (AXIS,))


def compiled_counts(lowered: jax.stages.Lowered) -> dict[str, Any]:
    """"kernels" and their kinds in the entry of the program, "compile_seconds", "planned_bytes"."""
    start = time.perf_counter()
    executable = lowered.compile(OPTIONS)
    seconds, memory = time.perf_counter() - start, executable.memory_analysis()
    entry = executable.as_text().split("\nENTRY ")[-1]
    kinds = Counter(re.findall(r" (fusion|custom-call|copy|while|all-reduce|sort|fft|conditional)\(", entry))
    planned = memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes
    return {
        "kernels": kinds["fusion"] + kinds["custom-call"],
        "kernel_kinds": dict(kinds),
        "compile_seconds": round(seconds, 1),
        "planned_bytes": planned - memory.alias_size_in_bytes,
    }
