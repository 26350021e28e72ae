"""From gradients to parameters: accumulation, clipping by the global norm, AdamW as PyTorch has it, and the guard.

An update that would do harm is skipped inside the compiled step: not finite, or a spike of the loss. A skipped update
changes nothing but two counters: the number of the step, so that the data, the random keys and the schedule go on, and
the optimizer's position in its schedule. Its moments, its count of applied updates (for the bias correction) and the
averages stay as they were.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from radiodiff_jax.settings import OptimizerConfig
from radiodiff_jax.training.task import Metrics, State, Tree

Schedule = Callable[[Int[Array, ""] | int], Float[Array, ""]]
TORCH_EPSILON = 1e-6  # what torch.nn.utils.clip_grad_norm_ adds to the norm


def learning_rate(config: OptimizerConfig, updates: int) -> Schedule:
    """Learning rate as a function of the number i of finished updates, float32; constant from i = `updates` (N) on.

    constant: base; cosine: base * (m + (1 - m) * (1 + cos(pi i / N)) / 2) with m = `minimum`; polynomial:
    base * max((1 - i / N)^power, m), as the original trains. All are multiplied by min(1, (i + 1) / warmup_steps).
    """

    def rate(finished: Int[Array, ""] | int) -> Float[Array, ""]:
        finished = jnp.minimum(jnp.asarray(finished, jnp.float32), updates)
        left = (updates - finished) / updates  # 1 - i/N, exact near the end too
        if config.schedule == "constant":
            factor = jnp.ones((), jnp.float32)
        elif config.schedule == "cosine":
            factor = config.minimum + (1 - config.minimum) * (1 - jnp.cos(jnp.pi * left)) / 2
        else:
            factor = jnp.maximum(left**config.power, config.minimum)
        if config.warmup_steps:
            factor *= jnp.minimum(1.0, (finished + 1) / config.warmup_steps)
        return config.learning_rate * factor

    return rate


def clip_by_global_norm(limit: float) -> optax.GradientTransformation:
    """Scale gradients by min(1, limit / (norm + 1e-6)), where norm is that of all of them together.

    PyTorch's rule; Optax's own lacks the 1e-6. The norm before clipping is `optax.tree.norm(gradients)`.
    """

    def clip(gradients, state, params=None):
        factor = jnp.minimum(1.0, limit / (optax.tree.norm(gradients) + TORCH_EPSILON))
        return jax.tree.map(lambda gradient: (gradient * factor).astype(gradient.dtype), gradients), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), clip)


def optimizer(config: OptimizerConfig, updates: int) -> optax.GradientTransformation:
    """AdamW over `updates` updates: p -= lr * (m / (sqrt(v) + epsilon) + weight_decay * p), moments bias-corrected.

    Decoupled weight decay on all parameters and `epsilon` outside the root, as in torch.optim.AdamW; gradients are
    clipped first where `clip_norm` is set.
    """
    first, second = config.betas
    rate = learning_rate(config, updates)
    adamw = optax.adamw(rate, b1=first, b2=second, eps=config.epsilon, weight_decay=config.weight_decay)
    return adamw if config.clip_norm is None else optax.chain(clip_by_global_norm(config.clip_norm), adamw)


Gradients = Callable[[Tree, Tree, Array | int], tuple[Tree, Tree, Metrics]]


def accumulate(gradients: Gradients, carry: Tree, batch: Tree, parts: int) -> tuple[Tree, Tree, Metrics]:
    """(mean of the gradients, last carry, mean of the metrics) over `parts` microbatches of `batch`.

    `gradients(carry, microbatch, number) -> (gradients, carry, metrics)` is called once for each; the carry (batch
    statistics) goes from one to the next. Microbatch i holds the examples i, i + parts, i + 2 parts, ... of the batch,
    so that each device works on its own examples. Gradients are added up in float32. With one part the function is
    called on the batch as it is.
    """
    if parts == 1:
        return gradients(carry, batch, 0)

    def cut(x: Array) -> Array:
        return x.reshape(x.shape[0] // parts, parts, *x.shape[1:]).swapaxes(0, 1)

    def add(held: tuple[Tree, Tree], piece: tuple[Tree, Array]) -> tuple[tuple[Tree, Tree], Metrics]:
        total, carry = held
        found, carry, metrics = gradients(carry, *piece)
        return (jax.tree.map(lambda a, b: a + b.astype(jnp.float32) / parts, total, found), carry), metrics

    pieces = (jax.tree.map(cut, batch), jnp.arange(parts))
    shapes, _, _ = jax.eval_shape(gradients, carry, *jax.tree.map(lambda x: x[0], pieces))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.float32), shapes)
    (total, carry), metrics = lax.scan(add, (zeros, carry), pieces)
    mean = jax.tree.map(lambda x, leaf: x.astype(leaf.dtype), total, shapes)
    return mean, carry, jax.tree.map(lambda x: x.mean(0), metrics)


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
