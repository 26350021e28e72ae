"""The stages by name, each of which runs in a process of its own."""

import importlib

from radiodiff_jax.benchmark.job import Job, Row

STAGES = {
    "vae_step": "updates",
    "ldm_step": "updates",
    "ldm_step_cached": "updates",
    "prediction": "predictions",
    "throughput": "predictions",
    "encoder": "networks",
    "decoder": "networks",
    "discriminator": "networks",
    "condition": "networks",
    "unet": "networks",
    "loop_overhead": "loop",
    "resume": "resume",
    "reading": "inputs",
    "simulator": "inputs",
    "simulator_on_device": "inputs",
}
"""Name -> file of this folder with `measure_NAME(job) -> {what: row}`; in the order in which they run."""

FIXED_BATCH = ("reading", "simulator", "simulator_on_device")
"""Stages that no batch size applies to."""


def run_stage(name: str, job: Job) -> dict[str, Row]:
    """The rows of a stage, with the most memory that this process has used."""
    from radiodiff_jax.benchmark.timing import peak_memory_gb

    module = importlib.import_module(f"radiodiff_jax.benchmark.{STAGES[name]}")
    rows = getattr(module, f"measure_{name}")(job)
    peak = peak_memory_gb()
    return {what: row | {"peak_gb": peak} for what, row in rows.items()}
