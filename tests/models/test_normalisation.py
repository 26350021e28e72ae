"""Norms and softmax with a backward pass of their own: values and gradients are those of the plain formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.models.attention import softmax
from radiodiff_jax.models.normalisation import BATCH, normalise, normalise_channels

EPSILON = 1e-5
SHAPE = (2, 5, 6, 8)


def plain(x, gain, shift, groups, swish):
    """The definition, which JAX differentiates."""
    parts = x[..., None] if groups == BATCH else x.reshape(*x.shape[:3], groups, -1)
    axes = (0, 1, 2) if groups == BATCH else (1, 2, 4)
    mean = parts.mean(axes, keepdims=True)
    variance = jnp.square(parts - mean).mean(axes, keepdims=True)
    y = ((parts - mean) / jnp.sqrt(variance + EPSILON)).reshape(x.shape) * gain[:, None, None] + shift[:, None, None]
    return jax.nn.silu(y) if swish else y


def arrays(rows):
    """(x, gain, shift, cotangent); x far from centred, as activations are."""
    random = np.random.default_rng(0)
    x = 3 + random.standard_normal(SHAPE, np.float32)
    return x, *(1 + random.standard_normal((2, rows, 8), np.float32)), random.standard_normal(SHAPE, np.float32)


@pytest.mark.parametrize("rows", [1, 2], ids=["shared", "of-each-map"])
@pytest.mark.parametrize("groups", [BATCH, 1, 2, 8])
@pytest.mark.parametrize("swish", [False, True])
def test_group_and_batch_norm(groups, swish, rows):
    x, gain, shift, cotangent = arrays(rows)
    ours, pull = jax.vjp(lambda *inputs: normalise(*inputs, groups, EPSILON, swish), x, gain, shift)
    theirs, plain_pull = jax.vjp(lambda *inputs: plain(*inputs, groups, swish), x, gain, shift)
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)
    for found, expected in zip(pull(cotangent), plain_pull(cotangent), strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)


def test_norm_over_channels():
    x, gain, shift, cotangent = arrays(1)
    ours, pull = jax.vjp(lambda *inputs: normalise_channels(*inputs, EPSILON), x, gain[0], shift[0])

    def definition(x, gain, shift):
        mean = x.mean(-1, keepdims=True)
        return (x - mean) / jnp.sqrt(jnp.square(x - mean).mean(-1, keepdims=True) + EPSILON) * gain + shift

    theirs, plain_pull = jax.vjp(definition, x, gain[0], shift[0])
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)
    for found, expected in zip(pull(cotangent), plain_pull(cotangent), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("axis", [1, -1])
def test_softmax(axis):
    x, _, _, cotangent = arrays(1)
    ours, pull = jax.vjp(lambda x: softmax(x, axis), x)
    theirs, plain_pull = jax.vjp(lambda x: jax.nn.softmax(x, axis), x)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    np.testing.assert_allclose(pull(cotangent)[0], plain_pull(cotangent)[0], rtol=1e-4, atol=1e-6)


def test_sixteen_bits_keep_sixteen_bits():
    """For the backward pass only the input and small statistics are kept, in no wider type than they came."""
    x, gain, shift, cotangent = arrays(1)
    _, pull = jax.vjp(lambda x: normalise(x, gain, shift, 2, EPSILON, True), x.astype(jnp.bfloat16))
    assert pull(cotangent.astype(jnp.bfloat16))[0].dtype == jnp.bfloat16
    assert sorted(leaf.dtype.name for leaf in jax.tree.leaves(pull) if leaf.size >= x.size) == ["bfloat16"]
    _, pull = jax.vjp(lambda x: softmax(x, dtype=jnp.bfloat16), x)
    assert [leaf.dtype.name for leaf in jax.tree.leaves(pull) if leaf.size >= x.size] == ["bfloat16"]
