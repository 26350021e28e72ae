"""Swin transformer as condition encoder: four maps of a scene, at 1/4 to 1/32 of its size.

Liu et al., arXiv 2103.14030; the variant of RadioDiff (arXiv 2408.08593). Stateless: whether windows are shifted
depends on the size of the map alone, where the original remembers the last small map it saw.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from radiodiff_jax.models.attention import softmax
from radiodiff_jax.models.initialisers import normal, xavier_uniform, zeros
from radiodiff_jax.models.layers import Convolution, Dense, DType, rematerialised
from radiodiff_jax.models.normalisation import LayerNorm
from radiodiff_jax.settings import PrecisionConfig, SwinConfig

small_normal = normal(0.02)
LOOPED = 4  # blocks of a stage from which on they are a loop


def relative_position_index(window: int) -> np.ndarray:
    """[window^2, window^2] index (dy + w - 1)(2w - 1) + dx + w - 1 into the bias table; dy = query row - key row."""
    rows, columns = np.divmod(np.arange(window * window), window)
    dy = rows[:, None] - rows[None, :] + window - 1
    dx = columns[:, None] - columns[None, :] + window - 1
    return dy * (2 * window - 1) + dx


def shift_mask(size: tuple[int, int], window: int, shift: tuple[int, int]) -> np.ndarray:
    """[windows, window^2, window^2]: -100 between tokens that only the cyclic shift brought together, else 0."""

    def regions(length: int, offset: int) -> np.ndarray:
        label = np.zeros(length, int)
        if offset:
            label[length - window : length - offset] = 1
            label[length - offset :] = 2
        return label

    label = 3 * regions(size[0], shift[0])[:, None] + regions(size[1], shift[1])[None, :]
    label = label.reshape(size[0] // window, window, size[1] // window, window).transpose(0, 2, 1, 3)
    label = label.reshape(-1, window * window)
    return np.where(label[:, :, None] != label[:, None, :], -100.0, 0.0).astype(np.float32)


class WindowAttention(nn.Module):
    """Multi-head attention inside windows of the (shifted) map, with a learned bias for each relative position.

    The map is padded with zeros at bottom and right to whole windows; padding takes part as keys, as in the original.
    """

    window: int
    heads: int
    shifted: bool
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width channels"]:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        batch, height, width, channels = x.shape
        window, head_channels = self.window, channels // self.heads
        padded = tuple(-(-side // window) * window for side in (height, width))
        shift = tuple(window // 2 if self.shifted and side > window else 0 for side in padded)
        x = jnp.pad(x, ((0, 0), (0, padded[0] - height), (0, padded[1] - width), (0, 0)))
        x = jnp.roll(x, (-shift[0], -shift[1]), (1, 2))
        windows = (padded[0] // window, padded[1] // window)
        x = x.reshape(batch, windows[0], window, windows[1], window, channels)
        tokens = x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, windows[0] * windows[1], window**2, channels)

        mixed = Dense(3 * channels, **types, kernel_init=small_normal, bias_init=zeros, name="qkv")(tokens)
        mixed = mixed.reshape(*mixed.shape[:3], 3, self.heads, head_channels)
        query, key, value = jnp.moveaxis(mixed, 3, 0)
        logits = jnp.einsum("bnqhc,bnkhc->bnhqk", query * head_channels**-0.5, key)
        table = self.param("position_bias", small_normal, ((2 * window - 1) ** 2, self.heads), self.param_dtype)
        bias = table[relative_position_index(window).reshape(-1)].reshape(window**2, window**2, self.heads)
        logits = logits.astype(jnp.float32) + bias.transpose(2, 0, 1).astype(jnp.float32)
        if any(shift):
            logits += shift_mask(padded, window, shift)[None, :, None]
        out = jnp.einsum("bnhqk,bnkhc->bnqhc", softmax(logits, dtype=self.dtype), value)
        out = out.reshape(tokens.shape)
        out = Dense(channels, **types, kernel_init=small_normal, bias_init=zeros, name="projection")(out)

        out = out.reshape(batch, *windows, window, window, channels).transpose(0, 1, 3, 2, 4, 5)
        out = jnp.roll(out.reshape(batch, *padded, channels), shift, (1, 2))
        return out[:, :height, :width]


class SwinBlock(nn.Module):
    """x + drop(attention(norm(x))), then x + drop(MLP(norm(x))); drop removes the branch of whole examples.

    It does so at the rate `stochastic_depth`, or at the one that the call is given, a number that need not be known in tracing.
    """

    window: int
    heads: int
    shifted: bool
    mlp_ratio: int = 4
    stochastic_depth: float = 0.0
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], train: bool = False, rate: Float[Array, ""] | None = None
    ) -> Array:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        channels = x.shape[-1]
        dense = types | {"kernel_init": xavier_uniform, "bias_init": normal(1e-6)}
        drop = nn.Dropout(self.stochastic_depth, broadcast_dims=(1, 2, 3), deterministic=not train)
        if rate is not None and train:
            drop = partial(self._drop, rate=rate)
        attention = WindowAttention(self.window, self.heads, self.shifted, **types, name="attention")
        x = x + drop(attention(LayerNorm(**types, name="norm1")(x)))
        h = Dense(self.mlp_ratio * channels, **dense, name="hidden")(LayerNorm(**types, name="norm2")(x))
        h = Dense(channels, **dense, name="output")(nn.gelu(h, approximate=False))
        return x + drop(h)

    def _drop(self, branch: Array, rate: Float[Array, ""]) -> Array:
        kept = jax.random.bernoulli(self.make_rng("dropout"), 1 - rate, (branch.shape[0], 1, 1, 1))
        return jnp.where(kept, branch / (1 - rate).astype(branch.dtype), 0)


class PatchMerging(nn.Module):
    """2x2 neighbours to one token of twice the channels; odd sizes are padded with zeros at the end."""

    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch rows columns double"]:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        _, height, width, channels = x.shape
        x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
        x = jnp.concatenate([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        x = LayerNorm(**types, name="norm")(x)
        return Dense(2 * channels, use_bias=False, **types, kernel_init=small_normal, name="reduction")(x)


class SwinEncoder(nn.Module):
    """[batch, height, width, 3] -> one map a stage: C channels at 1/4, 2C at 1/8, 4C at 1/16, 8C at 1/32 of the size.

    Sizes not divisible by 4 lose the remainder; stages halve with rounding up. No norm after the stages.
    """

    config: SwinConfig
    precision: PrecisionConfig = PrecisionConfig()

    @nn.compact
    def __call__(self, condition: Float[Array, "batch height width channels"], train: bool = False) -> list[Array]:
        config = self.config
        types = {"dtype": jnp.dtype(self.precision.compute), "param_dtype": jnp.dtype(self.precision.parameters)}
        condition = condition[:, : condition.shape[1] // 4 * 4, : condition.shape[2] // 4 * 4]
        x = Convolution(config.embedding_channels, 4, 4, 0, **types, name="patch_embedding")(condition)
        x = LayerNorm(**types, name="patch_norm")(x)
        transform = rematerialised(SwinBlock, self.precision.remat, 2)
        total, index, maps = sum(config.depths), 0, []
        for stage, (depth, heads) in enumerate(zip(config.depths, config.heads, strict=True)):
            if stage:
                x = PatchMerging(**types, name=f"merging_{stage - 1}")(x)
            rates = config.stochastic_depth * (index + np.arange(depth)) / max(total - 1, 1)
            names = [f"stage_{stage}_block_{block}" for block in range(depth)]
            kinds = [partial(transform, config.window, heads, shifted, config.mlp_ratio, **types) for shifted in (False, True)]
            looped = depth // 2 * 2 if depth >= LOOPED and self._loops_pay() else 0
            if looped:
                x = self._in_pairs([kind(parent=None) for kind in kinds], names[:looped], rates[:looped], x, train)
            for block in range(looped, depth):
                x = kinds[block % 2](float(rates[block]), name=names[block])(x, train)
            index += depth
            maps.append(x)
        return maps

    def _loops_pay(self) -> bool:
        """Not on CPUs, where a stage of 18 blocks takes 1.6 times as long so; nor where somebody asks for more than the
        result: first parameters, or what is between the layers."""
        watched = self.is_initializing() or self.is_mutable_collection("intermediates")
        return jax.default_backend() != "cpu" and not watched

    def _in_pairs(self, blocks: list[nn.Module], names: list[str], rates: np.ndarray, x: Array, train: bool) -> Array:
        """Blocks of two kinds in turn, as a loop over pairs: compiled once, and not once each."""
        weights = [self.variables["params"][name] for name in names]
        stacked = tuple(jax.tree.map(lambda *leaves: jnp.stack(leaves), *weights[which::2]) for which in range(2))
        dropping = train and self.config.stochastic_depth > 0
        keys = jax.random.split(self.make_rng("dropout"), (len(names) // 2, 2)) if dropping else None

        def pair(x: Array, given: tuple) -> tuple[Array, None]:
            weights, rates, keys = given
            for which, block in enumerate(blocks):
                extra = (rates[which],) if dropping else ()
                rngs = {"dropout": keys[which]} if dropping else None
                x = block.apply({"params": weights[which]}, x, train, *extra, rngs=rngs)
            return x, None

        return lax.scan(pair, x, (stacked, jnp.float32(rates).reshape(-1, 2), keys))[0]
