"""Normalisations in float32 that keep only their input, in its own data type, and the statistics for the way back.

With n = (x - mean) r, r = (variance + epsilon)^-1/2 and y = n gain + shift, a cotangent g of y gives

    of shift: sum g,    of gain: sum g n,    of x: r (g gain - mean(g gain) - n mean(g gain n)),

the sums over all that shares a gain, the means over all that shares the statistics (Ioffe and Szegedy, arXiv 1502.03167,
section 3). A swish that follows is part of the same function, so that its input is made again and not kept.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from radiodiff_jax.models.initialisers import Initialiser, ones, zeros

DType = jnp.dtype | type | str
BATCH = 0  # in place of a number of groups: statistics of a channel over the whole batch


def fitting_groups(channels: int, most: int) -> int:
    """The largest number of equal groups, at most `most`, that `channels` split into."""
    return next(groups for groups in range(max(most, 1), 0, -1) if channels % groups == 0)


def mean_over_positions(y: Float[Array, "batch height width channels"]) -> Float[Array, "batch channels"]:
    """Mean over rows and columns; on CPUs one after the other, so that long sums stay exact and the fast axis stays whole."""
    return y.mean(1).mean(1) if jax.default_backend() == "cpu" else y.mean((1, 2))


def shared_mean(each: Float[Array, "batch channels"], groups: int) -> Float[Array, "batch_or_one channels"]:
    """Means of single channels -> mean of the group that each is in, or over the batch."""
    if groups == BATCH:
        return each.mean(0, keepdims=True)
    mean = each.reshape(each.shape[0], groups, -1).mean(-1, keepdims=True)
    return jnp.broadcast_to(mean, (each.shape[0], groups, each.shape[1] // groups)).reshape(each.shape)


def everywhere(each: Float[Array, "batch channels"]) -> Float[Array, "batch 1 1 channels"]:
    """For all positions."""
    return each[:, None, None]


def statistics(
    x: Float[Array, "batch height width channels"], groups: int
) -> tuple[Float[Array, "batch_or_one channels"], Float[Array, "batch_or_one channels"]]:
    """(mean, variance) in float32 by two passes."""
    x = x.astype(jnp.float32)
    mean = shared_mean(mean_over_positions(x), groups)
    return mean, shared_mean(mean_over_positions(jnp.square(x - everywhere(mean))), groups)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def normalise(
    x: Float[Array, "batch height width channels"], gain: Float[Array, "batch_or_one channels"],
    shift: Float[Array, "batch_or_one channels"], groups: int, epsilon: float, swish: bool,
) -> Float[Array, "batch height width channels"]:  # fmt: skip
    """x normalised over groups of channels of each map (or, with `BATCH`, over the batch), times gain, plus shift; then swish.

    Computed in float32, handed back in the dtype of x.
    """
    return _normalise_forward(x, gain, shift, groups, epsilon, swish)[0]


@partial(jax.jit, static_argnums=(3, 4, 5))
def _normalise_forward(x: Array, gain: Array, shift: Array, groups: int, epsilon: float, swish: bool) -> tuple:
    mean, variance = statistics(x, groups)
    r = lax.rsqrt(variance + epsilon)
    y = (x.astype(jnp.float32) - everywhere(mean)) * everywhere(r * gain) + everywhere(shift)
    y = y * nn.sigmoid(y) if swish else y
    return y.astype(x.dtype), (x, mean, r, gain, shift)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _normalise_backward(groups: int, _: float, swish: bool, kept: tuple, cotangent: Array) -> tuple[Array, Array, Array]:
    x, mean, r, gain, shift = kept
    centred, of_y = x.astype(jnp.float32) - everywhere(mean), cotangent.astype(jnp.float32)
    if swish:
        y = centred * everywhere(r * gain) + everywhere(shift)
        gate = nn.sigmoid(y)
        of_y = of_y * (gate * (1 + y * (1 - gate)))
    first, second = mean_over_positions(of_y), mean_over_positions(of_y * centred)
    along, across = shared_mean(gain * second, groups) * r * r, shared_mean(gain * first, groups)
    of_x = everywhere(r) * (of_y * everywhere(gain) - everywhere(across) - centred * everywhere(along))

    def summed(each: Array, to: Array) -> Array:
        each = each * (x.shape[1] * x.shape[2])
        return each if to.shape[0] == each.shape[0] else each.sum(0, keepdims=True)

    return of_x.astype(x.dtype), summed(second * r, gain), summed(first, shift)


normalise.defvjp(_normalise_forward, _normalise_backward)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def normalise_channels(
    x: Float[Array, "... channels"], gain: Float[Array, " channels"], shift: Float[Array, " channels"], epsilon: float
) -> Float[Array, "... channels"]:
    """x normalised over its channels at each position, times gain, plus shift; in float32, handed back in the dtype of x."""
    return _channels_forward(x, gain, shift, epsilon)[0]


@partial(jax.jit, static_argnums=3)
def _channels_forward(x: Array, gain: Array, shift: Array, epsilon: float) -> tuple:
    wide = x.astype(jnp.float32)
    mean = wide.mean(-1, keepdims=True)
    centred = wide - mean
    r = lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + epsilon)
    return (centred * r * gain + shift).astype(x.dtype), (x, mean, r, gain)


@partial(jax.jit, static_argnums=0)
def _channels_backward(_: float, kept: tuple, cotangent: Array) -> tuple[Array, Array, Array]:
    x, mean, r, gain = kept
    normal, of_y = (x.astype(jnp.float32) - mean) * r, cotangent.astype(jnp.float32)
    scaled = of_y * gain
    of_x = r * (scaled - scaled.mean(-1, keepdims=True) - normal * (scaled * normal).mean(-1, keepdims=True))
    others = tuple(range(x.ndim - 1))
    return of_x.astype(x.dtype), (of_y * normal).sum(others), of_y.sum(others)


normalise_channels.defvjp(_channels_forward, _channels_backward)


class GroupNorm(nn.Module):
    """Group normalisation with gain and bias; eps as given (1e-6 in the autoencoder, 1e-5 in the U-Net).

    Then, where they are given, x (scale + 1) + shift with numbers of each map, and with `swish` x sigmoid(x).
    """

    groups: int
    epsilon: float
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32
    swish: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"],
        modulation: tuple[Float[Array, "batch channels"], Float[Array, "batch channels"]] | None = None,
    ) -> Float[Array, "batch height width channels"]:  # fmt: skip
        channels = x.shape[-1]
        scale = self.param("scale", ones, (channels,), self.param_dtype)
        gain, shift = modulated(scale, self.param("bias", zeros, (channels,), self.param_dtype), modulation)
        return normalise(x, gain, shift, self.groups, self.epsilon, self.swish).astype(self.dtype)


def modulated(
    scale: Float[Array, " channels"], bias: Float[Array, " channels"],
    modulation: tuple[Float[Array, "batch channels"], Float[Array, "batch channels"]] | None,
) -> tuple[Float[Array, "batch_or_one channels"], Float[Array, "batch_or_one channels"]]:  # fmt: skip
    """(gain, shift) of a group norm with these parameters, float32."""
    gain, shift = (part.astype(jnp.float32)[None] for part in (scale, bias))
    if modulation is None:
        return gain, shift
    times, plus = (part.astype(jnp.float32) for part in modulation)
    return gain * (times + 1), shift * (times + 1) + plus


class LayerNorm(nn.Module):
    """Layer normalisation over channels, population variance, eps 1e-5, with a gain and, if so wished, a bias."""

    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "... channels"]) -> Float[Array, "... channels"]:
        channels = x.shape[-1]
        gain = self.param("scale", ones, (channels,), self.param_dtype).astype(jnp.float32)
        shift = jnp.zeros(channels, jnp.float32)
        if self.use_bias:
            shift = self.param("bias", zeros, (channels,), self.param_dtype).astype(jnp.float32)
        return normalise_channels(x, gain, shift, 1e-5).astype(self.dtype)


class ChannelLayerNorm(LayerNorm):
    """The same without a bias, as the original's U-Net has it."""

    use_bias: bool = False


class BatchNorm(nn.Module):
    """Batch normalisation that keeps PyTorch's books: normalise by the biased variance, remember the unbiased one.

    `momentum` is the weight of the new batch (PyTorch's convention). Running values live in "batch_stats" and move
    only when that collection is mutable. The statistics are those of the whole batch, across devices too.
    """

    momentum: float
    epsilon: float
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32
    scale_init: Initialiser = ones

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"], train: bool) -> Float[Array, "batch height width channels"]:
        channels = x.shape[-1]
        gain = self.param("scale", self.scale_init, (channels,), self.param_dtype).astype(jnp.float32)
        shift = self.param("bias", zeros, (channels,), self.param_dtype).astype(jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,), jnp.float32)
        running_variance = self.variable("batch_stats", "variance", jnp.ones, (channels,), jnp.float32)
        if not train:
            gain = gain * lax.rsqrt(running_variance.value + self.epsilon)
            return ((x.astype(jnp.float32) - running_mean.value) * gain + shift).astype(self.dtype)
        if not self.is_initializing() and self.is_mutable_collection("batch_stats"):
            count, keep = math.prod(x.shape[:3]), 1 - self.momentum
            mean, variance = (one[0] for one in lax.stop_gradient(statistics(x, BATCH)))
            unbiased = variance * (count / max(count - 1, 1))
            running_mean.value = keep * running_mean.value + self.momentum * mean
            running_variance.value = keep * running_variance.value + self.momentum * unbiased
        return normalise(x, gain[None], shift[None], BATCH, self.epsilon, False).astype(self.dtype)
