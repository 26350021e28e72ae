"""A task's functions, compiled for a mesh."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from radiodiff_jax.training.devices import compiler_options, divided, put, replicated, shared
from radiodiff_jax.training.guard import first_guard, guarded
from radiodiff_jax.training.task import Batch, Metrics, State, Task, Tree

# Updates take the keys fold_in(seed's key, 0), (.., 1), ...; these two are out of their reach.
INITIALISE, PREDICT = np.uint32(2**32 - 1), np.uint32(2**32 - 2)


Predict = Callable[[State, Tree, Batch, Int[Array, ""]], Float[Array, "batch height width 1"]]


@dataclass(frozen=True)
class CompiledTask:
    """Jitted functions; batches and predictions are shared among devices, the state as `shapes` says, all else is whole.

    - `initialise() -> state`, which lies on the mesh from the beginning
    - `step(state, frozen, batch) -> (state, metrics)`, guarded (see guard.py); the state that went in is gone (donated)
    - `predict(state, frozen, batch, number) -> gain`, with the same noise for the same batch number every time
    - `other_ways`: name -> another way to predict
    - `shapes`: shape, type and sharding of every array of the state
    """

    initialise: Callable[[], State]
    step: Callable[[State, Tree, Batch], tuple[State, Metrics]]
    predict: Predict
    other_ways: dict[str, Predict]
    shapes: Tree


def compile_task(
    task: Task, seed: int, mesh: Mesh, *, spike_factor: float | None = None, fsdp: bool = False
) -> CompiledTask:
    """Compilation itself happens at the first calls. Randomness is a function of (seed, number of the update).

    `spike_factor`: see `guard.guarded`; the state then has the part "guard". With `fsdp` every large array of the state
    is divided among the devices; an update gathers the parameters as it needs them, and moves each part where it lies.
    """
    everywhere = replicated(mesh)

    def initialise() -> State:
        state = task.initialise(jax.random.fold_in(jax.random.key(seed), INITIALISE))
        return state if spike_factor is None else state | {"guard": first_guard()}

    def place(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        sharding = divided(leaf.shape, mesh) if fsdp else everywhere
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    shapes = jax.tree.map(place, jax.eval_shape(initialise))
    shardings = jax.tree.map(lambda leaf: leaf.sharding, shapes)
    update = guarded(task.step, spike_factor)

    def whole(state: State, *names: str) -> State:
        """The state with these parts whole on every device."""
        if not fsdp:
            return state
        return state | {name: jax.lax.with_sharding_constraint(state[name], everywhere) for name in names}

    def step(state: State, frozen: Tree, batch: Batch) -> tuple[State, Metrics]:
        key = jax.random.fold_in(jax.random.key(seed), state["step"])
        return update(whole(state, "params"), frozen, batch, key)

    def predicting(way: Callable) -> Callable:
        def predict(state: State, frozen: Tree, batch: Batch, number: Int[Array, ""]) -> Array:
            key = jax.random.fold_in(jax.random.key(seed), PREDICT)
            return way(whole(state, "params", "ema"), frozen, batch, jax.random.fold_in(key, number))

        return jax.jit(predict, out_shardings=shared(mesh), compiler_options=compiler_options())

    return CompiledTask(
        lambda: put(initialise(), shardings),  # compiling hundreds of first values would take a minute
        jax.jit(step, donate_argnums=0, out_shardings=(shardings, everywhere), compiler_options=compiler_options()),
        predicting(task.predict),
        {name: predicting(way) for name, way in task.other_ways.items()},
        shapes,
    )
