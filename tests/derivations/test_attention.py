"""Formulae of `derivations/attention.md`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.models.attention import attend
from radiodiff_jax.models.layers import resize_aligned
from radiodiff_jax.models.radiodiff_blocks import LinearAttention
from radiodiff_jax.models.relation import CrossAttention, pool_windows, sine_positions
from radiodiff_jax.models.swin import WindowAttention, relative_position_index, shift_mask
from tests.derivations.formulas import evaluates

RNG = np.random.default_rng(3)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def with_random_parameters(module, *inputs):
    """{"params": ...} drawn without running the module."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs))
    return jax.tree.map(lambda leaf: jnp.asarray(0.7 * normal(*leaf.shape)), shapes)


def weights_of(logits):
    grown = np.exp(logits - logits.max(-1, keepdims=True))
    return grown / grown.sum(-1, keepdims=True)


def dense(x, layer):
    """A dense layer or a 1x1 convolution on the last axis."""
    kernel = np.asarray(layer["kernel"], np.float64)
    return x @ kernel.reshape(kernel.shape[-2:]) + np.asarray(layer.get("bias", 0.0), np.float64)


def heads_apart(x, heads):
    """[n, c] -> [heads, n, c / heads]."""
    return x.reshape(len(x), heads, -1).transpose(1, 0, 2)


@evaluates(1)
def test_scaled_dot_product():
    query, key, value = normal(1, 5, 2, 3), normal(1, 7, 2, 3), normal(1, 7, 2, 3)
    found = np.asarray(attend(query, key, value, 0.6))
    for head in range(2):
        for i in range(5):
            grown = np.exp([0.6 * query[0, i, head] @ key[0, j, head] for j in range(7)])
            expected = sum(grown[j] * value[0, j, head] for j in range(7)) / grown.sum()
            np.testing.assert_allclose(found[0, i, head], expected, rtol=1e-4, atol=1e-5)
    moved = attend(query, key + normal(3), value, 0.6)  # a bias on all keys
    np.testing.assert_allclose(moved, found, rtol=1e-3, atol=1e-5)


@evaluates(2)
def test_scale_keeps_the_variance_of_logits():
    """Read off the logits of `attend` with two keys, one of them zero: value 1 and 0 give the sigmoid of the logit."""
    for channels in (4, 64):
        query, key = normal(1, 20_000, 1, channels), normal(1, 1, 1, channels)
        key *= np.sqrt(channels) / np.linalg.norm(key)  # sum of squares as expected
        keys = np.concatenate([key, np.zeros_like(key)], 1)
        value = np.broadcast_to(np.array([1.0, 0.0], np.float32)[None, :, None, None], keys.shape)
        share = np.asarray(attend(query, keys, value, channels**-0.5), np.float64)[0, :, 0, 0]
        assert np.log(share / (1 - share)).var() == pytest.approx(1, rel=0.05)


@evaluates(3)
def test_relative_positions():
    window = 3
    found = relative_position_index(window)
    for i in range(window**2):
        for j in range(window**2):
            down, right = i // window - j // window, i % window - j % window
            assert found[i, j] == (down + window - 1) * (2 * window - 1) + right + window - 1


@evaluates(4, 5)
@pytest.mark.parametrize("shifted", [False, True])
def test_window_attention_token_by_token(shifted):
    """4 x 4 map, windows of 2: every pair of tokens is looked at, shifts and mask by the page's rule."""
    size, window, heads, channels = 4, 2, 2, 4
    x = normal(1, size, size, channels)
    module = WindowAttention(window, heads, shifted)
    variables = with_random_parameters(module, x)
    found = np.asarray(jax.jit(module.apply)(variables, x))[0]
    params = variables["params"]
    shift = window // 2 if shifted else 0
    query, key, value = np.split(dense(x[0].astype(np.float64), params["qkv"]), 3, -1)
    width = channels // heads
    parted = 0
    for y, x_ in np.ndindex(size, size):
        here = (y - shift) % size, (x_ - shift) % size
        mixed = np.zeros(channels)
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            logits, values = [], []
            for v, u in np.ndindex(size, size):
                there = (v - shift) % size, (u - shift) % size
                if (here[0] // window, here[1] // window) != (there[0] // window, there[1] // window):
                    continue
                row = (here[0] - there[0] + window - 1) * (2 * window - 1) + here[1] - there[1] + window - 1
                neighbours = (y < shift) == (v < shift) and (x_ < shift) == (u < shift)
                parted += not neighbours
                logit = query[y, x_, part] @ key[v, u, part] * width**-0.5
                logits.append(logit + float(params["position_bias"][row, head]) - (0 if neighbours else 100))
                values.append(value[v, u, part])
            mixed[part] = weights_of(np.array(logits)) @ np.array(values)
        np.testing.assert_allclose(found[y, x_], dense(mixed, params["projection"]), rtol=1e-4, atol=1e-5)
    assert bool(parted) == shifted


@evaluates(5)
def test_mask_parts_tokens_of_which_one_has_wrapped():
    height, width, window, shift = 8, 12, 4, 2
    mask = shift_mask((height, width), window, (shift, shift))
    place = np.arange(height * width).reshape(height, width)
    moved = np.roll(place, (-shift, -shift), (0, 1))
    windows = (
        moved.reshape(height // window, window, width // window, window).transpose(0, 2, 1, 3).reshape(-1, window**2)
    )
    y, x = np.divmod(windows, width)
    wrapped = 2 * (y < shift) + (x < shift)
    np.testing.assert_array_equal(mask, np.where(wrapped[:, :, None] == wrapped[:, None, :], 0, -100))


def products(jaxpr):
    """Floating-point operations of all matrix products of a program."""
    total = 0
    for equation in jaxpr.eqns:
        total += sum(products(inner.jaxpr) for inner in equation.params.values() if hasattr(inner, "jaxpr"))
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            summed = np.prod([equation.invars[0].aval.shape[axis] for axis in contracted])
            total += 2 * int(summed) * int(np.prod(equation.outvars[0].aval.shape))
    return total


@evaluates(6)
@pytest.mark.parametrize("window", [2, 8])
def test_cost(window):
    """The matrix products of the layer itself; a window as large as the map is full attention."""
    n, channels = 64, 6
    x = jnp.zeros((1, 8, 8, channels))
    module = WindowAttention(window, 2, False)
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), x))
    program = jax.make_jaxpr(module.apply)(shapes, x)
    assert products(program.jaxpr) == 8 * n * channels**2 + 4 * n * window**2 * channels


@evaluates(7)
def test_linear_attention():
    heads, width, n = 2, 3, 12
    x = normal(1, 3, 4, 5)
    module = LinearAttention(heads, width)
    variables = with_random_parameters(module, x)
    params = variables["params"]

    def normed(x, scale):
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * np.asarray(scale, np.float64)

    flat = x.reshape(n, 5).astype(np.float64)
    mixed = dense(normed(flat, params["norm"]["scale"]), params["qkv"])
    query, key, value = (heads_apart(part, heads) for part in np.split(mixed, 3, -1))
    query = weights_of(query) / np.sqrt(width)
    key = weights_of(key.transpose(0, 2, 1)).transpose(0, 2, 1)
    out = np.zeros((heads, n, width))
    for head, i, a, j in np.ndindex(heads, n, width, n):
        out[head, i] += query[head, i, a] * key[head, j, a] * value[head, j] / n
    out = dense(out.transpose(1, 0, 2).reshape(n, -1), params["projection"])
    expected = flat + normed(out, params["norm_out"]["scale"])
    np.testing.assert_allclose(
        np.asarray(jax.jit(module.apply)(variables, x)).reshape(n, 5), expected, rtol=1e-3, atol=1e-4
    )


def pooled(x, window):
    """Means over windows of a map [H, W, c], zeros beyond its edges."""
    rows, columns = -(-x.shape[0] // window), -(-x.shape[1] // window)
    out = np.zeros((rows, columns, x.shape[2]))
    for row, column in np.ndindex(rows, columns):
        for y, x_ in np.ndindex(window, window):
            if window * row + y < x.shape[0] and window * column + x_ < x.shape[1]:
                out[row, column] += x[window * row + y, window * column + x_] / window**2
    return out


def code_of(rows, columns, channels):
    half = channels // 2
    out = np.zeros((rows, columns, channels))
    for row, column, j in np.ndindex(rows, columns, half):
        wave = np.cos if j % 2 else np.sin
        period = 10000 ** (2 * (j // 2) / half)
        out[row, column, j] = wave((row + 1) / period)
        out[row, column, half + j] = wave((column + 1) / period)
    return out


def resized(x, size):
    """A map [H, W, c] at another size, corners on corners."""
    for axis, out in enumerate(size):
        x = np.moveaxis(x, axis, 0)
        place = np.arange(out) * (len(x) - 1) / (out - 1)
        low = np.minimum(np.floor(place).astype(int), len(x) - 2)
        share = (place - low).reshape(-1, 1, 1)
        x = np.moveaxis((1 - share) * x[low] + share * x[low + 1], 0, axis)
    return x


@evaluates(8, 9, 11)
def test_pooling_positions_and_resizing():
    x = normal(1, 5, 6, 4)
    np.testing.assert_allclose(pool_windows(x, (2, 2))[0], pooled(x[0], 2), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sine_positions(3, 5, 8), code_of(3, 5, 8), atol=1e-6)
    for size in ((7, 9), (3, 4)):
        np.testing.assert_allclose(resize_aligned(x, size)[0], resized(x[0].astype(np.float64), size), atol=1e-5)


@evaluates(10, 12)
def test_relation_layer():
    heads, channels, window = 2, 8, 2
    scene, feature = normal(1, 4, 4, channels), normal(1, 5, 6, channels)
    module = CrossAttention(((window, window), (window, window)), heads, 0.0)
    variables = with_random_parameters(module, scene, feature)
    params = variables["params"]
    g, f = scene[0].astype(np.float64), feature[0].astype(np.float64)

    asking, answering = pooled(g, window), pooled(f, window)
    placed_asking, placed_answering = (part + code_of(*part.shape) for part in (asking, answering))
    query, key, value = (
        heads_apart(dense(part.reshape(-1, channels), params[name]), heads)
        for part, name in ((placed_asking, "query"), (placed_answering, "key"), (placed_answering, "value"))
    )
    mixed = weights_of(query @ key.transpose(0, 2, 1)) @ value
    y = asking + mixed.transpose(1, 0, 2).reshape(asking.shape)
    y = y + dense(np.maximum(0, dense(y, params["hidden"])), params["output"])

    both = np.concatenate([resized(g, f.shape[:2]), f], -1)
    base = f + dense(both, params["concatenation"])
    centred = base - base.mean((0, 1))  # as many groups as channels
    base = centred / np.sqrt((centred**2).mean((0, 1)) + 1e-5)
    base = base * np.asarray(params["norm"]["scale"]) + np.asarray(params["norm"]["bias"])
    expected = base + dense(resized(y, f.shape[:2]), params["projection"])
    np.testing.assert_allclose(jax.jit(module.apply)(variables, scene, feature)[0], expected, rtol=1e-3, atol=2e-4)
