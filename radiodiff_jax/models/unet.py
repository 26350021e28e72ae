"""Our own lean U-Net: patches of the features at the size of the space, convolutions, attention where the map is small.

    features -> patches -> [x, estimate joined] -> 5x5 convolution
    level i: two residual blocks of widths[i] (attention at the coarsest `attention_levels`), then half the size
    back up with skips -> norm, SiLU, 3x3 convolution a head; for the head `scale` two, which read the patches too

For patches of 2 x 2 pixels (the space `pixel`) the levels have 1/2, 1/4, ... of the image's size. Residual blocks of two
3x3 convolutions with group norms before them (Ho et al., arXiv 2006.11239; Dhariwal and Nichol, arXiv 2105.05233), whose
second convolution starts at zero; time scales and shifts the second norm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from radiodiff_jax import bounds
from radiodiff_jax.models.attention import attend
from radiodiff_jax.models.backbone import SCALE, Answers, Coordinates, Features, Times
from radiodiff_jax.models.initialisers import lecun_normal, zeros
from radiodiff_jax.models.layers import (
    Convolution,
    Dense,
    DType,
    TimeEmbedding,
    UpsampleConvolution,
    rematerialised,
    space_to_depth,
)
from radiodiff_jax.models.normalisation import GroupNorm
from radiodiff_jax.settings import STRICT, PrecisionConfig, check_groups

HEAD_CHANNELS = 64  # of an attention head
SCALE_CHANNELS = 32  # between the two convolutions of the head `scale`


@dataclass(frozen=True)
class UNetBackbone:
    """Settings of `UNetNetwork`: about 0.4, 7.8 and 21 M parameters for widths 16-24-32-32-32, 64-96-128-160-160 and
    64-128-256-256-256."""

    __pydantic_config__ = STRICT
    name: Literal["unet"] = "unet"  # which network: ours
    # channels of each level; each level but the last halves the map
    widths: Annotated[tuple[bounds.Channels, ...], bounds.Levels] = (64, 96, 128, 160, 160)
    blocks_per_level: bounds.Layers = 2  # residual blocks a level
    attention_levels: bounds.LayersOrNone = 2  # coarsest levels that have attention
    normalisation_groups: bounds.Groups = 8  # groups of the group norms
    fourier_scale: bounds.Positive = 1.0  # spread of the frequencies that tell the network the time

    def build(self, answers: Answers, precision: PrecisionConfig) -> "UNetNetwork":
        """The network."""
        return UNetNetwork(self, answers, precision)

    def multiple(self, factor: int) -> int:
        """Both sides of an image must be multiples of this: each level but the last halves the map."""
        return factor * 2 ** (len(self.widths) - 1)

    def check(self, answers: Answers) -> None:
        """Raise UserError for widths that the groups cannot share evenly."""
        check_groups("backbone.widths", list(self.widths), self.normalisation_groups)


class ResidualBlock(nn.Module):
    """x + convolution(norm(convolution(norm(x)))), the second norm scaled and shifted by the time vector if there is one."""

    features: int
    groups: int
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"], time: Float[Array, "batch width"] | None) -> Array:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        kernel = types | {"kernel_init": lecun_normal, "bias_init": zeros}
        h = GroupNorm(self.groups, 1e-6, **types, swish=True, name="norm1")(x)
        h = Convolution(self.features, **kernel, name="convolution1")(h)
        modulation = None
        if time is not None:
            dense = Dense(2 * self.features, **types, kernel_init=zeros, bias_init=zeros, name="time")
            modulation = jnp.split(dense(nn.silu(time)), 2, -1)
        h = GroupNorm(self.groups, 1e-6, **types, swish=True, name="norm2")(h, modulation)
        last = types | {"kernel_init": zeros, "bias_init": zeros}
        h = Convolution(self.features, **last, name="convolution2")(h)
        if x.shape[-1] != self.features:
            x = Convolution(self.features, 1, **kernel, name="shortcut")(x)
        return x + h


class Attention(nn.Module):
    """x + attention(norm(x)) over all positions, one head for each 64 channels."""

    groups: int
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width channels"]:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        linear = types | {"kernel_init": lecun_normal, "bias_init": zeros}
        batch, height, width, channels = x.shape
        heads = max(1, channels // HEAD_CHANNELS)
        while channels % heads:
            heads -= 1
        h = GroupNorm(self.groups, 1e-6, **types, name="norm")(x).reshape(batch, height * width, channels)
        query, key, value = (
            Dense(channels, **linear, name=name)(h).reshape(batch, height * width, heads, channels // heads)
            for name in ("query", "key", "value")
        )
        h = attend(query, key, value, (channels // heads) ** -0.5).reshape(batch, height * width, channels)
        return x + Dense(channels, **linear, name="projection")(h).reshape(x.shape)


class UNetNetwork(nn.Module):
    """The backbone `unet` (see `backbone.Network`)."""

    config: UNetBackbone
    answers: Answers
    precision: PrecisionConfig = PrecisionConfig()

    def setup(self):
        config, answers, precision = self.config, self.answers, self.precision
        types = {"dtype": jnp.dtype(precision.compute), "param_dtype": jnp.dtype(precision.parameters)}
        kernel = types | {"kernel_init": lecun_normal, "bias_init": zeros}
        widths, groups, levels = config.widths, config.normalisation_groups, range(len(config.widths))
        residual = rematerialised(ResidualBlock, precision.remat)
        attention = rematerialised(Attention, precision.remat)
        self.input_convolution = Convolution(widths[0], 5, **kernel)
        if answers.noisy:
            self.time_embedding = TimeEmbedding(widths[0], config.fourier_scale, **types)
        blocks = range(config.blocks_per_level)
        self.down_block = [[residual(widths[i], groups, **types) for _ in blocks] for i in levels]
        self.up_block = [[residual(widths[i], groups, **types) for _ in blocks] for i in levels]
        self.attention = [attention(groups, **types) for _ in levels[max(0, len(widths) - config.attention_levels) :]]
        self.downsample = [Convolution(width, 2, 2, 0, **kernel) for width in widths[1:]]
        self.upsample = [UpsampleConvolution(width, **kernel) for width in widths[:-1]]
        self.output_norm = GroupNorm(groups, 1e-6, **types, swish=True)
        first = {"kernel_init": zeros if answers.start_at_zero else lecun_normal, "bias_init": zeros}
        for head in answers.heads:
            setattr(self, f"{head}_output", Convolution(answers.channels, **types, **first))
        if SCALE in answers.heads:
            self.scale_hidden = Convolution(SCALE_CHANNELS, **kernel)

    def encode_condition(self, features: Features, train: bool = False) -> Coordinates:
        """Patches of the features, one a cell of the space."""
        return space_to_depth(features, self.answers.factor)

    def denoise(
        self, x: Coordinates | None, t: Times | None, condition: Coordinates, train: bool = False,
        wanted: Sequence[str] | None = None,
    ) -> dict[str, Coordinates]:  # fmt: skip
        """See `backbone.Network.denoise`."""
        dtype, levels = jnp.dtype(self.precision.compute), len(self.config.widths)
        inputs = condition if x is None else jnp.concatenate([x, condition], -1)
        time = self.time_embedding(t) if self.answers.noisy else None
        h, skips = self.input_convolution(inputs.astype(dtype)), []
        for level in range(levels):
            for block in self.down_block[level]:
                h = block(h, time)
            with_attention = level - (levels - len(self.attention))
            if with_attention >= 0:
                h = self.attention[with_attention](h)
            skips.append(h)
            if level < levels - 1:
                h = self.downsample[level](h)
        for level in reversed(range(levels)):
            if level < levels - 1:
                h = self.upsample[level](h)
            h = jnp.concatenate([h, skips[level]], -1)
            for block in self.up_block[level]:
                h = block(h, time)
        h = self.output_norm(h)
        heads = self.answers.heads if wanted is None else wanted
        read = {head: h for head in heads}
        if SCALE in heads:
            seen = jnp.concatenate([h, condition.astype(h.dtype)], -1)
            read[SCALE] = nn.silu(self.scale_hidden(lax.stop_gradient(seen)))
        return {head: getattr(self, f"{head}_output")(read[head]).astype(jnp.float32) for head in heads}

    def __call__(self, x: Array | None, t: Array | None, features: Array, train: bool = False) -> dict[str, Array]:
        """All heads."""
        return self.denoise(x, t, self.encode_condition(features, train), train)
