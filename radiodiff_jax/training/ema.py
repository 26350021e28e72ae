"""Exponential moving average of weights and batch statistics, with the original's warm-up (`ema_pytorch`).

With k finished calls, and nothing done unless k is a multiple of `update_every`: up to k = `update_after` the average
is a copy; the next such call copies once more and starts averaging,

    average += (1 - decay) * (online - average),   decay = min(cap, 1 - (1 + e)^-power),   e = k - update_after.

Only floating-point leaves are averaged; others keep their first value.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from radiodiff_jax.settings import EMAConfig
from radiodiff_jax.training.task import Tree

EMAState = dict[str, Tree]  # {"average": like the online tree, "calls": int32 scalar, "initialised": bool scalar}


def initialise(online: Tree) -> EMAState:
    """The state before the first call."""
    return {
        "average": jax.tree.map(jnp.copy, online),
        "calls": jnp.zeros((), jnp.int32),
        "initialised": jnp.zeros((), bool),
    }


def decay_at(config: EMAConfig, calls: Int[Array, ""]) -> Float[Array, ""]:
    """Decay of the call that makes the number of calls `calls`; 0 until averaging starts."""
    elapsed = jnp.maximum(calls - config.update_after - 1, 0).astype(jnp.float32)
    return jnp.clip(1 - (1 + elapsed) ** -config.power, 0.0, config.decay)


def update(config: EMAConfig, state: EMAState, online: Tree) -> EMAState:
    """One call, after an update of the online tree. Reads the trees only when this call changes the average."""
    finished = state["calls"]
    calls = finished + 1

    def move(operands: tuple[Tree, Array]) -> tuple[Tree, Array]:
        average, initialised = operands
        copying = (finished <= config.update_after) | ~initialised
        weight = 1 - decay_at(config, calls)

        def blend(old: Array, new: Array) -> Array:
            if not jnp.issubdtype(old.dtype, jnp.floating):
                return old
            return jnp.where(copying, new, (old + weight * (new - old)).astype(old.dtype))

        return jax.tree.map(blend, average, online), initialised | (finished > config.update_after)

    operands = (state["average"], state["initialised"])
    if config.update_every == 1:
        average, initialised = move(operands)
    else:
        average, initialised = lax.cond(finished % config.update_every == 0, move, lambda same: same, operands)
    return {"average": average, "calls": calls, "initialised": initialised}
