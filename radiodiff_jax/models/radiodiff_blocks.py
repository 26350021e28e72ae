"""Blocks of RadioDiff's U-Net: residual block with time, two attentions, adaptive Fourier layer."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from radiodiff_jax.models.attention import attend, softmax
from radiodiff_jax.models.initialisers import normal
from radiodiff_jax.models.layers import Convolution, Dense, DType
from radiodiff_jax.models.normalisation import ChannelLayerNorm, GroupNorm


class StandardisedBlock(nn.Module):
    """Weight-standardised 3x3 convolution, group norm, optional x (scale + 1) + shift, SiLU."""

    features: int
    groups: int = 8
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"],
                 scale_shift: tuple[Array, Array] | None = None) -> Float[Array, "batch height width features"]:  # fmt: skip
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = Convolution(self.features, standardise=True, **types, name="convolution")(x)
        return GroupNorm(self.groups, 1e-5, **types, swish=True, name="norm")(x, scale_shift)


class TimeResidualBlock(nn.Module):
    """Two standardised blocks, the first modulated by the time vector, plus the input (1x1 where channels change)."""

    features: int
    groups: int = 8
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"], time: Float[Array, "batch width"]) -> Array:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        modulation = Dense(2 * self.features, **types, name="time")(nn.silu(time))
        h = StandardisedBlock(self.features, self.groups, **types, name="block1")(x, jnp.split(modulation, 2, -1))
        h = StandardisedBlock(self.features, self.groups, **types, name="block2")(h)
        if x.shape[-1] != self.features:
            x = Convolution(self.features, 1, **types, name="shortcut")(x)
        return x + h


def split_heads(mixed: Float[Array, "batch height width channels"], heads: int) -> tuple[Array, ...]:
    """q | k | v, each head-major on the channel axis -> three [batch, positions, heads, head channels]."""
    batch, height, width, channels = mixed.shape
    parts = mixed.reshape(batch, height * width, 3, heads, channels // (3 * heads))
    return tuple(parts[:, :, i] for i in range(3))


class LinearAttention(nn.Module):
    """x + attention(norm(x)) at a cost linear in the number of positions (Shen et al., arXiv 1812.01243).

    Softmax of q over its channels and of k over positions; v is divided by the number of positions.
    """

    heads: int = 4
    head_channels: int = 32
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width channels"]:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        batch, height, width, channels = x.shape
        inner = self.heads * self.head_channels
        h = ChannelLayerNorm(**types, name="norm")(x)
        mixed = Convolution(3 * inner, 1, use_bias=False, **types, name="qkv")(h)
        query, key, value = split_heads(mixed, self.heads)
        query = softmax(query) * self.head_channels**-0.5
        key = softmax(key, axis=1)
        context = jnp.einsum("bnhd,bnhe->bhde", key, value / (height * width))
        h = jnp.einsum("bhde,bnhd->bnhe", context, query).reshape(batch, height, width, inner)
        h = Convolution(channels, 1, **types, name="projection")(h)
        return x + ChannelLayerNorm(**types, name="norm_out")(h)


class FullAttention(nn.Module):
    """x + attention(norm(x)) over all positions, scale head channels^-1/2."""

    heads: int = 4
    head_channels: int = 32
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width channels"]:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        batch, height, width, channels = x.shape
        inner = self.heads * self.head_channels
        h = ChannelLayerNorm(**types, name="norm")(x)
        query, key, value = split_heads(Convolution(3 * inner, 1, use_bias=False, **types, name="qkv")(h), self.heads)
        h = attend(query, key, value, self.head_channels**-0.5).reshape(batch, height, width, inner)
        return x + Convolution(channels, 1, **types, name="projection")(h)


class FourierLayer(nn.Module):
    """Adaptive Fourier layer: multiply the 2-D spectrum by learned complex weights (RadioDiff, section on the AFT).

    The weights have the size of the half spectrum, [height, width // 2 + 1, channels], kept as real and imaginary
    part; the transform is float32 and orthonormal. The inverse ignores what breaks the Hermitian symmetry in the first
    and (for even width) last column.
    """

    param_dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width channels"]:
        _, height, width, channels = x.shape
        shape = (height, width // 2 + 1, channels)
        real = self.param("real", normal(0.02), shape, self.param_dtype).astype(jnp.float32)
        imaginary = self.param("imaginary", normal(0.02), shape, self.param_dtype).astype(jnp.float32)
        spectrum = jnp.fft.rfft2(x.astype(jnp.float32), axes=(1, 2), norm="ortho")
        spectrum = spectrum * (real + 1j * imaginary)
        return jnp.fft.irfft2(spectrum, s=(height, width), axes=(1, 2), norm="ortho").astype(x.dtype)
