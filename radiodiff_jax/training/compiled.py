"""A training's functions, compiled for a mesh of devices."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from radiodiff_jax.training.devices import batch_sharding, compiler_options, fsdp_sharding, put, replicated
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
        return task.initialise(jax.random.fold_in(jax.random.key(seed), INITIALISE))

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
