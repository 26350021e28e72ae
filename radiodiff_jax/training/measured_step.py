"""The compiled update of a session: compiled once, ahead of time, with its cost counted."""

import time
from collections.abc import Callable

import jax

from radiodiff_jax.training.flops import device_memory_gb, peak_teraflops, traced_flops
from radiodiff_jax.training.progress import four_digits
from radiodiff_jax.training.task import Batch, Metrics, State, Tree


class MeasuredStep:
    """`step(state, frozen, batch) -> (state, metrics)`, compiled for the first arguments it meets and for no others.

    An update that would need another compilation raises TypeError or ValueError instead.
    """

    def __init__(self, step: Callable, compute: str):
        self._step = step
        self._limit = peak_teraflops(jax.devices()[0].device_kind, compute)
        self._executable: Callable | None = None
        self.flops = 0  # of one update, over all devices

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return self._executable is not None

    def compile(self, state: State, frozen: Tree, batch: Batch) -> float:
        """Compile for arguments like these; returns how long it took, in seconds."""
        start = time.perf_counter()
        traced = self._step.trace(state, frozen, batch)
        self.flops = traced_flops(traced)
        self._executable = traced.lower().compile()
        return round(time.perf_counter() - start, 3)

    def __call__(self, state: State, frozen: Tree, batch: Batch) -> tuple[State, Metrics]:
        """One update; the state that went in is gone."""
        return self._executable(state, frozen, batch)

    def utilisation(self, step_ms: float | None) -> dict[str, float]:
        """"teraflops_per_s" over all devices, "mfu" (share of the data sheet's limit) where the device is known, and
        "device_memory_gb" where it tells. Without a time only the memory."""
        found = {}
        if step_ms:
            found["teraflops_per_s"] = self.flops / step_ms / 1e9
            if self._limit:
                found["mfu"] = found["teraflops_per_s"] / (self._limit * jax.device_count())
        memory = device_memory_gb()
        if memory is not None:
            found["device_memory_gb"] = memory
        return {name: four_digits(value) for name, value in found.items()}
