"""Softmax attention that never holds the weights of all pairs of positions, nor keeps any for the backward pass.

Many queries are taken 1024 at a time. For each block the backward pass makes the weights p again from the logarithm of
their sum, and with the output o and the cotangent g of it (Dao et al., arXiv 2205.14135, algorithm 4):

    dv = p^T g,    ds = p * (g v^T - sum(g * o)),    dq = scale ds k,    dk = scale ds^T q.

Weights are held as [keys, queries]: all products then take them as they lie, and no large array is transposed.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

BLOCK = 1024
DType = jnp.dtype | type | str


def softmax(logits: Array, axis: int = -1, dtype: DType | None = None) -> Array:
    """Softmax in float32, handed back in `dtype` (of `logits` if None), and kept in nothing wider for the way back."""
    return _softmax(logits, axis, logits.dtype if dtype is None else jnp.dtype(dtype))


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _softmax(logits: Array, axis: int, dtype: jnp.dtype) -> Array:
    return nn.softmax(logits.astype(jnp.float32), axis).astype(dtype)


def _softmax_forward(logits: Array, axis: int, dtype: jnp.dtype) -> tuple[Array, tuple[Array, Array]]:
    weights = _softmax(logits, axis, dtype)
    return weights, (weights, jnp.zeros((), logits.dtype))


def _softmax_backward(axis: int, _: jnp.dtype, kept: tuple[Array, Array], cotangent: Array) -> tuple[Array]:
    weights, cotangent = kept[0].astype(jnp.float32), cotangent.astype(jnp.float32)
    found = weights * (cotangent - (cotangent * weights).sum(axis, keepdims=True))
    return (found.astype(kept[1].dtype),)


_softmax.defvjp(_softmax_forward, _softmax_backward)


def attend(
    query: Float[Array, "batch queries heads channels"],
    key: Float[Array, "batch keys heads channels"],
    value: Float[Array, "batch keys heads channels"],
    scale: float,
) -> Float[Array, "batch queries heads channels"]:
    """softmax(scale q k^T) v for each head, softmax in float32; in blocks where queries are a multiple of 1024."""
    count = query.shape[1]
    if count > BLOCK and count % BLOCK == 0:
        return attend_in_blocks(query * scale, key, value)
    weights = softmax(jnp.einsum("bqhc,bkhc->bhqk", query * scale, key))
    return jnp.einsum("bhqk,bkhc->bqhc", weights, value)


@jax.custom_vjp
def attend_in_blocks(query: Array, key: Array, value: Array) -> Array:
    """softmax(q k^T) v; shapes as for `attend`."""
    return _forward(query, key, value)[0]


def _forward(query: Array, key: Array, value: Array) -> tuple[Array, tuple[Array, ...]]:
    def one(block: Array) -> tuple[Array, Array]:
        logits = products(key, block)
        top = logits.max(2, keepdims=True)
        weights = jnp.exp(logits - top)
        total = weights.sum(2, keepdims=True)
        output = jnp.einsum("bkhc,bhkq->bhcq", value, weights.astype(value.dtype)) / total
        return jnp.moveaxis(output, 3, 1).astype(query.dtype), top + jnp.log(total)

    outputs, sums = lax.map(one, blocks(query))
    output = merge_blocks(outputs)
    return output, (query, key, value, output, sums)


def _backward(kept: tuple[Array, ...], cotangent: Array) -> tuple[Array, Array, Array]:
    query, key, value, output, sums = kept

    def one(found: tuple[Array, Array], parts: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
        block, its_output, its_cotangent, its_sums = parts
        weights = jnp.exp(products(key, block) - its_sums)
        shift = (its_cotangent.astype(jnp.float32) * its_output.astype(jnp.float32)).sum(-1)  # [batch, queries, heads]
        of_logits = (weights * (products(value, its_cotangent) - jnp.moveaxis(shift, 1, 2)[:, :, None])).astype(key.dtype)
        of_block = jnp.moveaxis(jnp.einsum("bkhc,bhkq->bhcq", key, of_logits), 3, 1)
        summed = partial(jnp.einsum, "bhkq,bqhc->bkhc", preferred_element_type=jnp.float32)
        of_key, of_value = found
        return (of_key + summed(of_logits, block), of_value + summed(weights.astype(value.dtype), its_cotangent)), of_block

    nothing = (jnp.zeros(key.shape, jnp.float32), jnp.zeros(value.shape, jnp.float32))
    (of_key, of_value), of_query = lax.scan(one, nothing, (*map(blocks, (query, output, cotangent)), sums))
    return merge_blocks(of_query), of_key.astype(key.dtype), of_value.astype(value.dtype)


attend_in_blocks.defvjp(_forward, _backward)


def products(
    keys: Float[Array, "batch keys heads channels"], queries: Float[Array, "batch queries heads channels"]
) -> Float[Array, "batch heads keys queries"]:
    """Scalar products of all pairs, float32."""
    return jnp.einsum("bkhc,bqhc->bhkq", keys, queries, preferred_element_type=jnp.float32)


def blocks(
    x: Float[Array, "batch queries heads channels"],
) -> Float[Array, "blocks batch block_queries heads channels"]:
    """Divided into blocks of queries."""
    return jnp.moveaxis(x.reshape(x.shape[0], -1, BLOCK, *x.shape[2:]), 1, 0)


def merge_blocks(
    x: Float[Array, "blocks batch block_queries heads channels"],
) -> Float[Array, "batch queries heads channels"]:
    """The inverse of `blocks`."""
    return jnp.moveaxis(x, 0, 1).reshape(x.shape[1], -1, *x.shape[3:])
