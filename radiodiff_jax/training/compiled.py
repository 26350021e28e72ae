"""A training's functions, compiled for a mesh of devices."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from radiodiff_jax.training.devices import batch_sharding, compiler_options, fsdp_sharding, put, replicated
from radiodiff_jax.training.flat import flatten
from radiodiff_jax.training.flops import device_memory_gb, peak_teraflops, traced_flops
from radiodiff_jax.training.progress import four_digits
from radiodiff_jax.training.task import Batch, Metrics, State, Task, Tree

# Updates take the keys fold_in(seed's key, 0), (.., 1), ...; these two are out of their reach.
INITIALISE, PREDICT = np.uint32(2**32 - 1), np.uint32(2**32 - 2)


Predict = Callable[[State, Tree, Batch, Int[Array, ""]], Float[Array, "batch height width"]]


@dataclass(frozen=True)
class CompiledTask:
    """Jitted functions; batches and predictions are sharded, the state as `shapes` says, all else is replicated.

    - `initialise() -> state`, which lies on the mesh from the beginning
    - `step(state, frozen, batch) -> (state, metrics)`; the state that went in is donated
    - `predict(state, frozen, batch, number) -> gain`, with the same noise for the same batch number every time
    - `extra_predictors`: name -> a function as `predict` with other settings
    - `shapes`: shape, type and sharding of every array of the state
    """

    initialise: Callable[[], State]
    step: Callable[[State, Tree, Batch], tuple[State, Metrics]]
    predict: Predict
    extra_predictors: dict[str, Predict]
    shapes: Tree


def compile_task(task: Task, seed: int, mesh: Mesh, *, fsdp: bool = False) -> CompiledTask:
    """Compilation itself happens at the first calls. Randomness is a function of (seed, number of the update).

    With `fsdp` every large array of the state is sharded over the devices; an update gathers the parameters as it needs
    them, and updates each shard where it lies.
    """
    everywhere = replicated(mesh)

    def initialise() -> State:
        state = task.initialise(jax.random.fold_in(jax.random.key(seed), INITIALISE))
        return flatten(state, task.pieces(state))

    def place(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        sharding = fsdp_sharding(leaf.shape, mesh) if fsdp else everywhere
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    shapes = jax.tree.map(place, jax.eval_shape(initialise))
    shardings = jax.tree.map(lambda leaf: leaf.sharding, shapes)

    def gathered(state: State, *names: str) -> State:
        """The state with these parts replicated."""
        if not fsdp:
            return state
        return state | {name: jax.lax.with_sharding_constraint(state[name], everywhere) for name in names}

    def step(state: State, frozen: Tree, batch: Batch) -> tuple[State, Metrics]:
        key = jax.random.fold_in(jax.random.key(seed), state["step"])
        return task.step(gathered(state, "params"), frozen, batch, key)

    def compiled(predictor: Callable) -> Callable:
        def predict(state: State, frozen: Tree, batch: Batch, number: Int[Array, ""]) -> Array:
            key = jax.random.fold_in(jax.random.key(seed), PREDICT)
            return predictor(gathered(state, "params", "ema"), frozen, batch, jax.random.fold_in(key, number))

        return jax.jit(predict, out_shardings=batch_sharding(mesh), compiler_options=compiler_options())

    return CompiledTask(
        lambda: put(initialise(), shardings),  # compiling hundreds of first values would take a minute
        jax.jit(step, donate_argnums=0, out_shardings=(shardings, everywhere), compiler_options=compiler_options()),
        compiled(task.predict),
        {name: compiled(one) for name, one in task.extra_predictors.items()},
        shapes,
    )


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

    def compile(self, state: State, frozen: Tree, batch: Batch, tell: Callable[[str], None] = lambda text: None) -> float:
        """Compile for arguments like these; returns how long it took, in seconds. `tell` is given what is waited for."""
        start = time.perf_counter()
        tell("tracing")
        traced = self._step.trace(state, frozen, batch)
        self.flops = traced_flops(traced)
        done = f"traced in {time.perf_counter() - start:.0f} s"
        tell(f"{done}, lowering")
        before = time.perf_counter()
        lowered = traced.lower()
        tell(f"{done}, lowered in {time.perf_counter() - before:.0f} s, compiling")
        self._executable = lowered.compile()
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
