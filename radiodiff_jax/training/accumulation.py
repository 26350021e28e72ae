"""One gradient from several microbatches, one after the other: a large batch in the memory of a small one."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from radiodiff_jax.training.task import Metrics, Tree

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
