"""A task's functions, compiled for a mesh."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from radiodiff_jax.training.devices import compiler_options, replicated, shared
from radiodiff_jax.training.task import Batch, Metrics, State, Task, Tree

# Updates take the keys fold_in(seed's key, 0), (.., 1), ...; these two are out of their reach.
INITIALISE, PREDICT = np.uint32(2**32 - 1), np.uint32(2**32 - 2)


@dataclass(frozen=True)
class CompiledTask:
    """Jitted functions; everything is replicated but batches and predictions, which are shared among devices.

    - `initialise() -> state`, which lies on the mesh from the beginning
    - `step(state, frozen, batch) -> (state, metrics)`; the state that went in is gone (donated)
    - `predict(state, frozen, batch, number) -> gain`, with the same noise for the same batch number every time
    - `shapes`: shape, type and sharding of every array of the state
    """

    initialise: Callable[[], State]
    step: Callable[[State, Tree, Batch], tuple[State, Metrics]]
    predict: Callable[[State, Tree, Batch, Int[Array, ""]], Float[Array, "batch height width 1"]]
    shapes: Tree


def compile_task(task: Task, seed: int, mesh: Mesh) -> CompiledTask:
    """Compilation itself happens at the first calls. Randomness is a function of (seed, number of the update)."""
    everywhere = replicated(mesh)

    def initialise() -> State:
        return task.initialise(jax.random.fold_in(jax.random.key(seed), INITIALISE))

    def step(state: State, frozen: Tree, batch: Batch) -> tuple[State, Metrics]:
        return task.step(state, frozen, batch, jax.random.fold_in(jax.random.key(seed), state["step"]))

    def predict(state: State, frozen: Tree, batch: Batch, number: Int[Array, ""]) -> Array:
        key = jax.random.fold_in(jax.random.key(seed), PREDICT)
        return task.predict(state, frozen, batch, jax.random.fold_in(key, number))

    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=everywhere), jax.eval_shape(initialise)
    )
    return CompiledTask(
        lambda: jax.device_put(initialise(), everywhere),  # compiling hundreds of first values would take a minute
        jax.jit(step, donate_argnums=0, out_shardings=everywhere, compiler_options=compiler_options()),
        jax.jit(predict, out_shardings=shared(mesh), compiler_options=compiler_options()),
        shapes,
    )
