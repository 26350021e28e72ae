"""Formulae of `derivations/fourier.md`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.models.radiodiff_blocks import FourierLayer
from tests.derivations.formulas import evaluates

RNG = np.random.default_rng(4)
SIZES = [(4, 6), (5, 4), (4, 5), (3, 3)]
LAYER = FourierLayer()
apply = jax.jit(LAYER.apply)


def transform(x):
    """The whole orthonormal spectrum, by the sum itself."""
    height, width = x.shape
    rows = np.exp(-2j * np.pi * np.outer(np.arange(height), np.arange(height)) / height)
    columns = np.exp(-2j * np.pi * np.outer(np.arange(width), np.arange(width)) / width)
    return rows @ x @ columns / np.sqrt(height * width)


def effective(weights, width):
    """Half spectrum of weights -> the whole spectrum that the layer acts with."""
    height, kept = weights.shape
    whole = np.zeros((height, width), complex)
    for k, column in np.ndindex(height, kept):
        value = weights[k, column]
        if column == 0 or 2 * column == width:
            value = (value + np.conj(weights[-k % height, column])) / 2
            whole[k, column] = value
        else:
            whole[k, column] = value
            whole[-k % height, width - column] = np.conj(value)
    return whole


def filter_of(whole):
    """h = inverse transform with the factor 1 / (H W)."""
    return np.conj(transform(np.conj(whole))) / np.sqrt(whole.size)


def convolved(x, h):
    """Circular convolution, term by term."""
    height, width = x.shape
    out = np.zeros((height, width), h.dtype)
    for a, b, c, d in np.ndindex(height, width, height, width):
        out[a, b] += x[c, d] * h[(a - c) % height, (b - d) % width]
    return out


def applied(weights, x):
    """The layer on one channel."""
    params = {"real": weights.real[..., None], "imaginary": weights.imag[..., None]}
    params = {name: leaf.astype(np.float32) for name, leaf in params.items()}
    return np.asarray(apply({"params": params}, x[None, ..., None].astype(np.float32)))[0, ..., 0]


def drawn(height, width):
    """(x, free complex weights of the half spectrum)."""
    shape = (height, width // 2 + 1)
    return RNG.normal(size=(height, width)), RNG.normal(size=shape) + 1j * RNG.normal(size=shape)


@evaluates(1, 2)
@pytest.mark.parametrize("size", SIZES[:2])
def test_layer_multiplies_the_orthonormal_spectrum(size):
    x, weights = drawn(*size)
    spectrum = transform(x)
    assert np.sum(np.abs(spectrum) ** 2) == pytest.approx(np.sum(x**2))
    mirrored = spectrum[-np.arange(size[0])[:, None] % size[0], -np.arange(size[1])[None] % size[1]]
    np.testing.assert_allclose(mirrored, spectrum.conj(), atol=1e-12)
    expected = transform(np.conj(effective(weights, size[1]) * spectrum)).conj()
    np.testing.assert_allclose(expected.imag, 0, atol=1e-12)
    np.testing.assert_allclose(applied(weights, x), expected.real, atol=2e-5)
    np.testing.assert_allclose(applied(np.ones_like(weights), x), x, atol=1e-5)


@evaluates(3, 5)
@pytest.mark.parametrize("size", SIZES)
def test_layer_is_a_circular_convolution(size):
    x, weights = drawn(*size)
    h = filter_of(effective(weights, size[1]))
    np.testing.assert_allclose(h.imag, 0, atol=1e-12)
    np.testing.assert_allclose(applied(weights, x), convolved(x, h.real), atol=2e-5)


@evaluates(4)
def test_layer_commutes_with_circular_shifts():
    x, weights = drawn(4, 6)
    np.testing.assert_allclose(
        applied(weights, np.roll(x, (1, -2), (0, 1))), np.roll(applied(weights, x), (1, -2), (0, 1)), atol=2e-5
    )


@evaluates(6)
@pytest.mark.parametrize("size", [(4, 6), (3, 5)])
def test_numbers_too_many(size):
    """Rank of the map from stored numbers to outputs, against how many are stored."""
    height, width = size
    impulse = np.zeros(size)
    impulse[0, 0] = 1
    stored = 2 * height * (width // 2 + 1)

    def respond(numbers):
        params = dict(zip(("real", "imaginary"), numbers.reshape(2, height, width // 2 + 1, 1), strict=True))
        return LAYER.apply({"params": params}, jnp.asarray(impulse[None, ..., None], jnp.float32)).ravel()

    outputs = jax.jit(jax.vmap(respond))(np.eye(stored, dtype=np.float32))
    assert np.linalg.matrix_rank(np.asarray(outputs), tol=1e-4) == height * width
    assert stored - height * width == (height if width % 2 else 2 * height)


@evaluates(7)
def test_power_at_the_start():
    x = RNG.normal(size=(4, 6))
    initial = jax.jit(LAYER.init)(jax.random.key(0), jnp.zeros((1, 16, 16, 8)))["params"]
    assert np.std(initial["real"]) == pytest.approx(0.02, rel=0.06) and np.std(initial["imaginary"]) == pytest.approx(
        0.02, rel=0.06
    )
    many = 20_000  # channels that share the input
    params = {name: jnp.asarray(0.02 * RNG.normal(size=(4, 4, many)), jnp.float32) for name in ("real", "imaginary")}
    inputs = jnp.broadcast_to(jnp.asarray(x, jnp.float32)[None, ..., None], (1, 4, 6, many))
    found = np.sum(np.asarray(apply({"params": params}, inputs), np.float64) ** 2) / many
    self_mirrored = np.sum(np.abs(transform(x)[:, [0, 3]]) ** 2)
    assert found == pytest.approx(0.02**2 * (2 * np.sum(x**2) - self_mirrored), rel=0.02)
