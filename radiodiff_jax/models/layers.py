"""Layers that every network here shares, with the conventions of the original (PyTorch) where Linen's differ.

Convolutions and dense layers run in `dtype`. What is
added to every position (biases) is added in float32, because its gradient is a sum over all positions.
"""

import math

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from radiodiff_jax.models.convolution import convolve
from radiodiff_jax.models.initialisers import Initialiser, fan_in_uniform, normal, uniform
from radiodiff_jax.models.normalisation import BatchNorm, ChannelLayerNorm, DType, GroupNorm  # noqa: F401  (layers, too)


def add_everywhere(x: Float[Array, "... channels"], bias: Float[Array, "*any channels"]) -> Float[Array, "... channels"]:
    """x + bias in float32, handed back in the dtype of x."""
    return (x.astype(jnp.float32) + bias.astype(jnp.float32)).astype(x.dtype)


def rematerialised(kind: type[nn.Module], remat: bool, train_argument: int | None = None) -> type[nn.Module]:
    """`kind`; with `remat` only the inputs of its calls are kept for the way back, where the rest is computed again.

    `train_argument` is the position of a Boolean among the arguments of the call, counted from 1.
    """
    if not remat:
        return kind
    return nn.remat(kind, static_argnums=() if train_argument is None else (train_argument,))


class Dense(nn.Module):
    """Linear layer on the last axis, [..., in] -> [..., features]."""

    features: int
    use_bias: bool = True
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32
    kernel_init: Initialiser = fan_in_uniform
    bias_init: Initialiser | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "... channels"]) -> Float[Array, "... features"]:
        fan_in = x.shape[-1]
        kernel = self.param("kernel", self.kernel_init, (fan_in, self.features), self.param_dtype)
        y = x.astype(self.dtype) @ kernel.astype(self.dtype)
        if self.use_bias:
            initialiser = self.bias_init or uniform(1 / math.sqrt(fan_in))
            y = add_everywhere(y, self.param("bias", initialiser, (self.features,), self.param_dtype))
        return y


class Convolution(nn.Module):
    """2-D convolution (cross-correlation), kernel HWIO, zero padding given as ((top, bottom), (left, right)).

    `standardise` replaces the kernel by (W - mean) / sqrt(var + 1e-5) over each output filter (weight
    standardisation, arXiv 1903.10520), in float32.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    padding: int | tuple[tuple[int, int], tuple[int, int]] | None = None  # None: kernel_size // 2 on all sides
    use_bias: bool = True
    standardise: bool = False
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32
    kernel_init: Initialiser = fan_in_uniform
    bias_init: Initialiser | None = None

    def parameters(self, channels: int) -> tuple[Array, Array | None]:
        """(kernel HWIO in `dtype`, bias or None)."""
        shape = (self.kernel_size, self.kernel_size, channels, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        kernel = standardised(kernel) if self.standardise else kernel
        bias = None
        if self.use_bias:
            initialiser = self.bias_init or uniform(1 / math.sqrt(math.prod(shape[:3])))
            bias = self.param("bias", initialiser, (self.features,), self.param_dtype)
        return kernel.astype(self.dtype), bias

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch rows columns features"]:
        kernel, bias = self.parameters(x.shape[-1])
        around = self.kernel_size // 2 if self.padding is None else self.padding
        padding = ((around, around), (around, around)) if isinstance(around, int) else around
        y = convolve(x.astype(self.dtype), kernel, self.stride, padding)
        return y if bias is None else add_everywhere(y, bias)


class UpsampleConvolution(Convolution):
    """Nearest upsampling by two, then a 3x3 convolution with padding 1, without ever making the upsampled image.

    Each of the four output phases sees only 2x2 input pixels, so the 3x3 kernel folds into four 2x2 kernels: 16
    multiplications an input pixel and channel pair where the plain order needs 36. Equal to it but for rounding.
    """

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch rows columns features"]:
        kernel, bias = self.parameters(x.shape[-1])
        x = x.astype(self.dtype)
        phases = [convolve(x, part, 1, padding) for part, padding in upsampling_phases(kernel)]
        rows = [jnp.stack(phases[:2], 3), jnp.stack(phases[2:], 3)]
        y = jnp.stack(rows, 2)  # [batch, height, row phase, width, column phase, features]
        batch, height, _, width, _, features = y.shape
        y = y.reshape(batch, 2 * height, 2 * width, features)
        return y if bias is None else add_everywhere(y, bias)


def standardised(kernel: Float[Array, "rows columns channels features"]) -> Float[Array, "rows columns channels features"]:
    """(W - mean) / sqrt(var + 1e-5) over each output filter, float32."""
    kernel = kernel.astype(jnp.float32)
    mean = kernel.mean((0, 1, 2))
    variance = jnp.square(kernel - mean).mean((0, 1, 2))
    return (kernel - mean) * lax.rsqrt(variance + 1e-5)


def upsampling_phases(
    kernel: Float[Array, "3 3 channels features"],
) -> list[tuple[Float[Array, "2 2 channels features"], tuple[tuple[int, int], tuple[int, int]]]]:
    """(kernel, padding) of the output's even rows and even columns, even and odd, odd and even, odd and odd."""
    top, middle, bottom = kernel
    phases = []
    for rows, above in ((jnp.stack([top, middle + bottom]), (1, 0)), (jnp.stack([top + middle, bottom]), (0, 1))):
        left, centre, right = jnp.moveaxis(rows, 1, 0)
        phases.append((jnp.stack([left, centre + right], 1), (above, (1, 0))))
        phases.append((jnp.stack([left + centre, right], 1), (above, (0, 1))))
    return phases


def space_to_depth(x: Float[Array, "batch height width channels"], factor: int) -> Float[Array, "batch h w patches"]:
    """Patches of factor x factor pixels as channels: [row in the patch, column in the patch, channel], row-major."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // factor, factor, width // factor, factor, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height // factor, width // factor, factor * factor * channels)


def depth_to_space(x: Float[Array, "batch h w patches"], factor: int) -> Float[Array, "batch height width channels"]:
    """The inverse of `space_to_depth`."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height, width, factor, factor, channels // factor**2).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, height * factor, width * factor, channels // factor**2)


def resize_matrix(size_in: int, size_out: int) -> np.ndarray:
    """[size_out, size_in] weights of linear interpolation with aligned corners: source = i (in - 1) / (out - 1)."""
    if size_out == 1 or size_in == 1:
        position = np.zeros(size_out)
    else:
        position = np.arange(size_out, dtype=np.float64) * (size_in - 1) / (size_out - 1)
    low = np.minimum(np.floor(position).astype(int), size_in - 1)
    high = np.minimum(low + 1, size_in - 1)
    weight = position - low
    matrix = np.zeros((size_out, size_in))
    np.add.at(matrix, (np.arange(size_out), low), 1 - weight)
    np.add.at(matrix, (np.arange(size_out), high), weight)
    return matrix.astype(np.float32)


def resize_aligned(x: Float[Array, "batch height width channels"], size: tuple[int, int]) -> Array:
    """Bilinear resize with aligned corners, in float32, as two small matrix products; the identity at equal size."""
    dtype = x.dtype
    for axis, out in ((1, size[0]), (2, size[1])):
        if x.shape[axis] != out:
            matrix = resize_matrix(x.shape[axis], out)
            moved = jnp.tensordot(matrix, x.astype(jnp.float32), (1, axis), precision=lax.Precision.HIGHEST)
            x = jnp.moveaxis(moved, 0, axis)
    return x.astype(dtype)


class TimeEmbedding(nn.Module):
    """t in (0, 1] -> vector: random Fourier features of log(t) / 4, then two dense layers with an exact GELU.

    The frequencies, scale * N(0, 1), are never trained and live in the collection "constants".
    """

    channels: int
    scale: float
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, t: Float[Array, " batch"]) -> Float[Array, "batch quadruple"]:
        def draw() -> Array:
            return normal(self.scale)(self.make_rng("params"), (self.channels // 2,))

        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        frequencies = self.variable("constants", "frequencies", draw).value
        phase = (jnp.log(t.astype(jnp.float32)) / 4)[:, None] * frequencies * (2 * jnp.pi)
        h = jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], -1)
        h = nn.gelu(Dense(4 * self.channels, **types, name="hidden")(h), approximate=False)
        return Dense(4 * self.channels, **types, name="output")(h)
