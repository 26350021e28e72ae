"""Updates that would do harm are left out, inside the compiled step: not finite, or a spike of the loss.

A left-out update changes nothing but two counters: the number of the step, so that the data, the random keys and the
schedule go on, and the optimizer's position in its schedule. Its moments, its count of applied updates (for the bias
correction) and the averages stay as they were.
"""

import functools

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from radiodiff_jax.training.task import Metrics, State, Tree

PATIENCE = 100  # applied updates before a loss can be called a spike, and the memory of the mean in updates


def first_guard() -> dict[str, Array]:
    """What the spike guard remembers: running mean of the loss, number of applied updates."""
    return {"mean": jnp.zeros((), jnp.float32), "count": jnp.zeros((), jnp.int32)}


def skip_bad_updates(old: State, new: State, metrics: Metrics, spike_factor: float | None) -> tuple[State, Metrics]:
    """`new`, or `old` but for its counters where the update would do harm.

    The metrics gain "skipped" (not finite) and, with a `spike_factor`, "skipped_spike".

    Not finite means: any metric ("loss" and the norms of the gradients among them) or any new batch statistic. With
    these finite AdamW cannot make a parameter that is not: it moves none by more than a few learning rates. With a
    `spike_factor`, state["guard"] must hold what `first_guard` makes; a spike is a loss above factor * mean, where the
    mean is over all applied updates at first, then decays by 1 / PATIENCE an update. Before PATIENCE updates, and where
    the mean is not positive, there are no spikes.
    """
    good = all_finite((metrics, new.get("batch_stats")))
    metrics = metrics | {"skipped": 1.0 - good.astype(jnp.float32)}
    if spike_factor is not None:
        guard = old["guard"]
        spike = good & is_spike(guard, metrics["loss"], spike_factor)
        good &= ~spike
        metrics["skipped_spike"] = spike.astype(jnp.float32)
    rest = old | {"step": new["step"]}
    if "optimizer" in old:
        rest["optimizer"] = advance_schedules(old["optimizer"])
    kept = choose(good, new, rest)
    if spike_factor is not None:
        kept["guard"] = choose(good, remember(guard, metrics["loss"]), guard)
    return kept, metrics


def all_finite(tree: Tree) -> Bool[Array, ""]:
    """Whether no floating-point leaf has an infinity or a NaN."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    # The least of them by sorting: XLA would repeat a chain of `and` in every operation that asks for the answer.
    return jnp.sort(jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]))[0]


def choose(condition: Bool[Array, ""], first: Tree, second: Tree) -> Tree:
    """`first` where the condition holds, else `second`; fused with what makes `first`, where `lax.cond` would copy."""
    return jax.tree.map(functools.partial(jnp.where, condition), first, second)


def advance_schedules(optimizer_state: Tree) -> Tree:
    """The optimizer's state with one more update counted for its learning-rate schedules, and nothing else."""

    def is_schedule(node: Tree) -> bool:
        return isinstance(node, optax.ScaleByScheduleState)

    def advance(node: Tree) -> Tree:
        return node._replace(count=optax.safe_increment(node.count)) if is_schedule(node) else node

    return jax.tree.map(advance, optimizer_state, is_leaf=is_schedule)


def is_spike(guard: dict[str, Array], loss: Float[Array, ""], factor: float) -> Bool[Array, ""]:
    """Whether a loss is above `factor` times the running mean, once there is a mean to trust."""
    return (guard["count"] >= PATIENCE) & (guard["mean"] > 0) & (loss > factor * guard["mean"])


def remember(guard: dict[str, Array], loss: Float[Array, ""]) -> dict[str, Array]:
    """The guard's memory after an applied update."""
    count = guard["count"] + 1
    share = 1 / jnp.minimum(count, PATIENCE).astype(jnp.float32)
    return {"mean": guard["mean"] + share * (loss.astype(jnp.float32) - guard["mean"]), "count": count}
