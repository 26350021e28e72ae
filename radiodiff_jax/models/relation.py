"""Relation layer of RadioDiff (arXiv 2408.08593): window-pooled cross-attention from the scene to the U-Net's features."""

import math

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from radiodiff_jax.models.attention import attend
from radiodiff_jax.models.initialisers import kaiming_normal, xavier_normal, zeros
from radiodiff_jax.models.layers import Convolution, Dense, DType, resize_aligned
from radiodiff_jax.models.normalisation import BatchNorm, GroupNorm, fitting_groups


def sine_positions(height: int, width: int, channels: int) -> np.ndarray:
    """[height, width, channels] code: y half then x half, sin and cos interleaved, positions from 1, not normalised."""
    half = channels // 2
    j = np.arange(half)
    frequency = 10000.0 ** (2 * (j // 2) / half)

    def code(length: int) -> np.ndarray:
        angle = np.arange(1, length + 1)[:, None] / frequency
        return np.where(j % 2 == 0, np.sin(angle), np.cos(angle))

    y, x = code(height), code(width)
    grid = [np.broadcast_to(y[:, None], (height, width, half)), np.broadcast_to(x[None], (height, width, half))]
    return np.concatenate(grid, -1).astype(np.float32)


def pool_windows(x: Float[Array, "batch height width channels"], window: tuple[int, int]) -> Array:
    """Mean over tiles of (rows, columns) after zero padding at bottom and right; padding counts in the mean."""
    batch, height, width, channels = x.shape
    rows, columns = -(-height // window[0]), -(-width // window[1])
    x = jnp.pad(x, ((0, 0), (0, rows * window[0] - height), (0, columns * window[1] - width), (0, 0)))
    return x.reshape(batch, rows, window[0], columns, window[1], channels).mean((2, 4))


class CrossAttention(nn.Module):
    """Queries (and the residual) come from the condition, keys and values from the feature map.

    The softmax is not scaled, there is no output projection, and values carry the position code too, as in the original.
    """

    windows: tuple[tuple[int, int], tuple[int, int]]  # (rows, columns) of the condition's and of the feature's tiles
    heads: int
    dropout: float
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, condition: Float[Array, "batch rows columns channels"],
                 feature: Float[Array, "batch height width channels"], train: bool = False) -> Array:  # fmt: skip
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        convolution = types | {"kernel_init": kaiming_normal, "bias_init": zeros}
        linear = types | {"kernel_init": xavier_normal, "bias_init": zeros}
        batch, height, width, channels = feature.shape
        drop = nn.Dropout(self.dropout, deterministic=not train)

        both = jnp.concatenate([resize_aligned(condition, (height, width)), feature], -1)
        base = feature + Convolution(channels, 1, **convolution, name="concatenation")(both)
        base = GroupNorm(fitting_groups(channels, 8), 1e-5, **types, name="norm")(base)

        query_map, key_map = pool_windows(condition, self.windows[0]), pool_windows(feature, self.windows[1])

        def project(pooled: Array, name: str) -> Array:
            placed = pooled + sine_positions(*pooled.shape[1:]).astype(pooled.dtype)
            tokens = Dense(channels, **linear, name=name)(placed)
            return tokens.reshape(batch, math.prod(pooled.shape[1:3]), self.heads, channels // self.heads)

        query, key, value = project(query_map, "query"), project(key_map, "key"), project(key_map, "value")
        y = query_map + attend(query, key, value, 1.0).reshape(query_map.shape)
        h = drop(nn.relu(Convolution(2 * channels, 1, **convolution, name="hidden")(y)))
        y = y + drop(Convolution(channels, 1, **convolution, name="output")(h))
        return base + Convolution(channels, 1, **convolution, name="projection")(resize_aligned(y, (height, width)))


class RelationLayer(nn.Module):
    """1x1 convolution and batch normalisation of both inputs, then cross-attention; no residual connection."""

    windows: tuple[tuple[int, int], tuple[int, int]]
    heads: int = 8
    dropout: float = 0.1
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, condition: Float[Array, "batch rows columns any"],
                 feature: Float[Array, "batch height width channels"], train: bool = False) -> Array:  # fmt: skip
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        channels = feature.shape[-1]
        condition = Convolution(channels, 1, **types, name="condition_convolution")(condition)
        condition = BatchNorm(0.03, 1e-3, **types, name="condition_norm")(condition, train)
        feature = Convolution(channels, 1, **types, name="feature_convolution")(feature)
        feature = BatchNorm(0.03, 1e-3, **types, name="feature_norm")(feature, train)
        attention = CrossAttention(self.windows, self.heads, self.dropout, **types, name="attention")
        return attention(condition, feature, train)
