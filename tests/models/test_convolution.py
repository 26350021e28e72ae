"""The kernel's gradient by matrix products is XLA's, for every padding, size and type."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.models.convolution import SMALLEST_IMAGE, convolve, convolve_for_cpu, kernel_gradient, plain

CASES = [
    ((2, 12, 10, 3), (3, 3), 1, ((1, 1), (1, 1))),
    ((1, 11, 9, 2), (2, 2), 1, ((1, 0), (0, 1))),
    ((3, 8, 8, 4), (7, 7), 1, ((3, 3), (3, 3))),
    ((1, 9, 12, 2), (3, 5), 1, ((0, 0), (2, 2))),
    ((2, 9, 8, 2), (3, 3), 2, ((0, 1), (0, 1))),
    ((2, 8, 10, 3), (4, 4), 2, ((1, 1), (1, 1))),
    ((1, 7, 9, 2), (4, 4), 3, ((1, 1), (2, 0))),
    ((2, 7, 6, 3), (4, 4), 1, ((1, 1), (1, 1))),
]


@pytest.mark.parametrize(("shape", "size", "stride", "padding"), CASES)
def test_gradients_are_those_of_xla(shape, size, stride, padding):
    keys = jax.random.split(jax.random.key(0), 3)
    x, kernel = jax.random.normal(keys[0], shape), jax.random.normal(keys[1], (*size, shape[-1], 5))
    output, pull = jax.vjp(lambda x, k: convolve_for_cpu(x, k, stride, padding), x, kernel)
    expected, pull_plain = jax.vjp(lambda x, k: plain(x, k, stride, padding), x, kernel)
    np.testing.assert_array_equal(output, expected)
    along = jax.random.normal(keys[2], output.shape)
    for found, wanted in zip(pull(along), pull_plain(along), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_many_blocks(monkeypatch):
    monkeypatch.setattr("radiodiff_jax.models.convolution.BLOCK", 16)
    x, along = (jax.random.normal(jax.random.key(seed), (2, 12, 4, 3)) for seed in (1, 2))
    found = kernel_gradient(x, along, (3, 3), 1, ((1, 1), (1, 1)))
    wanted = jax.vjp(lambda k: plain(x, k, 1, ((1, 1), (1, 1))), jnp.zeros((3, 3, 3, 3)))[1](along)[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_half_precision_is_summed_in_float32():
    x = jnp.ones((1, 64, 64, 1), jnp.bfloat16)
    kernel = jnp.zeros((3, 3, 1, 1), jnp.bfloat16)
    gradient = jax.grad(lambda k: convolve(x, k, 1, ((1, 1), (1, 1))).astype(jnp.float32).sum())(kernel)
    assert gradient.dtype == jnp.bfloat16 and float(gradient[1, 1, 0, 0]) == 4096


def test_where_it_is_used():
    """On CPUs, for large images and the discriminator's kernels; never on other devices."""

    def used(side, kernel=3):
        x = jnp.zeros((1, side, side, 2))
        return "custom_vjp" in str(jax.make_jaxpr(lambda k: convolve(x, k, 1, ((1, 1), (1, 1))))(
            jnp.zeros((kernel, kernel, 2, 2))))  # fmt: skip

    assert SMALLEST_IMAGE == 64**2
    assert [used(64), used(63), used(63, 4)] == [True, False, True]


def test_half_precision_image_gradient_has_the_type_of_the_image():
    x, kernel = jnp.ones((1, 6, 6, 2), jnp.bfloat16), jnp.ones((4, 4, 2, 3), jnp.bfloat16)
    gradient = jax.grad(lambda x: convolve(x, kernel, 2, ((1, 1), (1, 1))).astype(jnp.float32).sum())(x)
    assert gradient.dtype == jnp.bfloat16 and float(gradient[0, 2, 2, 0]) == 4 * 3
