"""The kernel's gradient by matrix products is XLA's, for every padding, size and type."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.models.convolution import SMALLEST_IMAGE, convolve, convolve_for_cpu, kernel_gradient, plain

CASES = [
    ((2, 12, 10, 3), (3, 3), ((1, 1), (1, 1))),
    ((1, 11, 9, 2), (2, 2), ((1, 0), (0, 1))),
    ((3, 8, 8, 4), (7, 7), ((3, 3), (3, 3))),
    ((1, 9, 12, 2), (3, 5), ((0, 0), (2, 2))),
]


@pytest.mark.parametrize(("shape", "size", "padding"), CASES)
def test_gradients_are_those_of_xla(shape, size, padding):
    keys = jax.random.split(jax.random.key(0), 3)
    x, kernel = jax.random.normal(keys[0], shape), jax.random.normal(keys[1], (*size, shape[-1], 5))
    output, pull = jax.vjp(lambda x, k: convolve_for_cpu(x, k, padding), x, kernel)
    expected, pull_plain = jax.vjp(lambda x, k: plain(x, k, 1, padding), x, kernel)
    np.testing.assert_array_equal(output, expected)
    along = jax.random.normal(keys[2], output.shape)
    for found, wanted in zip(pull(along), pull_plain(along), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_many_blocks(monkeypatch):
    monkeypatch.setattr("radiodiff_jax.models.convolution.BLOCK", 16)
    x, along = (jax.random.normal(jax.random.key(seed), (2, 12, 4, 3)) for seed in (1, 2))
    found = kernel_gradient(x, along, (3, 3), ((1, 1), (1, 1)))
    wanted = jax.vjp(lambda k: plain(x, k, 1, ((1, 1), (1, 1))), jnp.zeros((3, 3, 3, 3)))[1](along)[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_half_precision_is_summed_in_float32():
    x = jnp.ones((1, 64, 64, 1), jnp.bfloat16)
    kernel = jnp.zeros((3, 3, 1, 1), jnp.bfloat16)
    gradient = jax.grad(lambda k: convolve(x, k, 1, ((1, 1), (1, 1))).astype(jnp.float32).sum())(kernel)
    assert gradient.dtype == jnp.bfloat16 and float(gradient[1, 1, 0, 0]) == 4096


def test_where_it_is_used():
    """On CPUs, for large images, with stride 1; never on other devices."""

    def used(side, stride=1, kernel=3):
        x = jnp.zeros((1, side, side, 2))
        return "custom_vjp" in str(jax.make_jaxpr(lambda k: convolve(x, k, stride, ((1, 1), (1, 1))))(
            jnp.zeros((kernel, kernel, 2, 2))))  # fmt: skip

    assert SMALLEST_IMAGE == 64**2
    assert [used(64), used(63), used(64, 2)] == [True, False, False]
