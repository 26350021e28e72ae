"""RadioDiff's network: a U-Net with one encoder and one decoder a head, conditioned on the scene by a Swin transformer.

Wang et al., "RadioDiff", arXiv 2408.08593. Module names follow the original's, see `torch_weights.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array

from radiodiff_jax import bounds
from radiodiff_jax.errors import UserError
from radiodiff_jax.models.backbone import SCALE, Answers, Coordinates, Features, Times
from radiodiff_jax.models.initialisers import zeros
from radiodiff_jax.models.layers import (
    Convolution,
    DType,
    TimeEmbedding,
    UpsampleConvolution,
    rematerialised,
)
from radiodiff_jax.models.normalisation import GroupNorm, fitting_groups
from radiodiff_jax.models.radiodiff_blocks import (
    FourierLayer,
    FullAttention,
    LinearAttention,
    TimeResidualBlock,
)
from radiodiff_jax.models.relation import RelationLayer
from radiodiff_jax.models.swin import SwinEncoder
from radiodiff_jax.settings import STRICT, PrecisionConfig, SwinConfig, check_groups


@dataclass(frozen=True)
class RadioDiffBackbone:
    """Settings of `RadioDiffNetwork`; the defaults are the original's."""

    __pydantic_config__ = STRICT
    name: Literal["radiodiff"] = "radiodiff"  # which network: RadioDiff's
    base_channels: bounds.Channels = 128  # channels of the first level
    # channels of each level, as multiples of base_channels
    channel_multipliers: Annotated[tuple[bounds.Multiplier, ...], bounds.Levels] = (1, 2, 4, 4)
    # pixels pooled into one, along one axis, before scene and map attend to one another, a level each
    relation_windows: Annotated[tuple[bounds.Window, ...], bounds.Levels] = (8, 4, 2, 1)
    relation_heads: bounds.Heads = 8  # attention heads of these
    relation_dropout: bounds.Dropout = 0.1  # share of their activations that training sets to 0
    attention_heads: bounds.Heads = 4  # heads of the attention within the map
    attention_head_channels: bounds.Channels = 32  # channels of such a head
    normalisation_groups: bounds.Groups = 8  # groups of the group norms
    fourier_scale: bounds.Positive = 16.0  # spread of the frequencies that tell the network the time
    swin: SwinConfig = field(default_factory=SwinConfig)

    def build(self, answers: Answers, precision: PrecisionConfig) -> "RadioDiffNetwork":
        """The network."""
        return RadioDiffNetwork(self, answers, precision)

    def multiple(self, factor: int) -> int:
        """Both sides of an image must be multiples of this: each level but the last halves the map."""
        return factor * 2 ** (len(self.channel_multipliers) - 1)

    def check(self, answers: Answers) -> None:
        """Raise UserError for levels that do not fit together or widths that cannot be shared evenly."""
        swin = self.swin
        if not len(self.channel_multipliers) == len(self.relation_windows) == len(swin.depths) == len(swin.heads):
            raise UserError(
                "backbone.channel_multipliers, backbone.relation_windows, backbone.swin.depths and backbone.swin.heads "
                "must have the same length, one entry a level"
            )
        for stage, heads in enumerate(swin.heads):
            if swin.embedding_channels * 2**stage % heads:
                raise UserError(
                    f"backbone.swin.heads: stage {stage} has {swin.embedding_channels * 2**stage} channels, which "
                    f"{heads} heads cannot share evenly; choose a divisor"
                )
        if SCALE in answers.heads:
            raise UserError(
                "backbone radiodiff has no head for the scale of the error; take backbone unet or objective.error_scale=false"
            )
        widths = [self.base_channels, *level_widths(self)]
        check_groups("backbone.base_channels", widths, self.normalisation_groups)
        check_groups("backbone.base_channels", widths, self.relation_heads)
        check_groups("backbone.base_channels", widths, 2)  # half of them code the row, half the column


class DownLevel(nn.Module):
    """Residual block, relation to the scene, residual block, linear attention; then half the size but at the last."""

    config: RadioDiffBackbone
    level: int
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: Array, time: Array, condition: Array, train: bool) -> tuple[Array, list[Array]]:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        config, width, groups = self.config, x.shape[-1], self.config.normalisation_groups
        widths, residual = level_widths(config), rematerialised(TimeResidualBlock, self.remat)
        x = residual(width, groups, **types, name="block1")(x, time)
        skips = [x]
        x = relation_layer(config, self.level, types, self.remat)(condition, x, train)
        x = residual(width, groups, **types, name="block2")(x, time)
        x = linear_attention(config, types, self.remat)(x)
        skips.append(x)
        if self.level < len(widths) - 1:
            x = Convolution(widths[self.level], 4, 2, 1, **types, name="resample")(x)
        else:
            x = Convolution(widths[self.level], **types, name="resample")(x)
        return x, skips


class UpLevel(nn.Module):
    """The mirror of `DownLevel`; both residual blocks also see a skip from the encoder, after the current features."""

    config: RadioDiffBackbone
    level: int
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: Array, skips: list[Array], time: Array, condition: Array, train: bool) -> Array:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        config, groups = self.config, self.config.normalisation_groups
        inputs = [config.base_channels, *level_widths(config)]
        width, out = inputs[self.level + 1], inputs[self.level]
        residual = rematerialised(TimeResidualBlock, self.remat)
        x = residual(width, groups, **types, name="block1")(jnp.concatenate([x, skips[1]], -1), time)
        x = relation_layer(config, self.level, types, self.remat)(condition, x, train)
        x = residual(width, groups, **types, name="block2")(jnp.concatenate([x, skips[0]], -1), time)
        x = linear_attention(config, types, self.remat)(x)
        layer = UpsampleConvolution if self.level else Convolution
        return layer(out, **types, name="resample")(x)


class Decoder(nn.Module):
    """From the bottleneck to [batch, h, w, channels]: Fourier layer, levels from coarse to fine, head."""

    config: RadioDiffBackbone
    out_channels: int
    start_at_zero: bool = False
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: Array, skips: Sequence[list[Array]], start: Array, time: Array,
                 conditions: Sequence[Array], train: bool) -> Array:  # fmt: skip
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        width = x.shape[-1]
        h = GroupNorm(fitting_groups(width, min(width // 4, 8)), 1e-5, **types, name="fourier_norm")(x)
        h = Convolution(width, **types, name="fourier_convolution")(h)
        x = x + FourierLayer(self.param_dtype, name="fourier")(h)
        for level in reversed(range(len(skips))):
            up = UpLevel(self.config, level, **types, remat=self.remat, name=f"up_{level}")
            x = up(x, skips[level], time, conditions[level], train)
        residual = rematerialised(TimeResidualBlock, self.remat)
        block = residual(self.config.base_channels, self.config.normalisation_groups, **types, name="final_block")
        x = block(jnp.concatenate([x, start], -1), time)
        first = {"kernel_init": zeros, "bias_init": zeros} if self.start_at_zero else {}
        last = Convolution(self.out_channels, 1, **types, **first, name="final_convolution")
        return last(x).astype(jnp.float32)


class RadioDiffNetwork(nn.Module):
    """The backbone `radiodiff` (see `backbone.Network`): "HEAD_decoder" answers the head HEAD."""

    config: RadioDiffBackbone
    answers: Answers = Answers(("attenuation", "noise"), 3)
    precision: PrecisionConfig = PrecisionConfig()

    def setup(self):
        config, answers = self.config, self.answers
        types = {"dtype": jnp.dtype(self.precision.compute), "param_dtype": jnp.dtype(self.precision.parameters)}
        remat, base = self.precision.remat, config.base_channels
        inputs = [base, *level_widths(config)[:-1]]
        self.condition_encoder = SwinEncoder(config.swin, self.precision)
        self.condition_projection = [Convolution(width, 1, **types) for width in inputs]
        self.time_embedding = TimeEmbedding(base, config.fourier_scale, **types)
        self.initial_convolution = Convolution(base, 7, **types)
        self.initial_norm = GroupNorm(fitting_groups(base, min(base // 4, 8)), 1e-5, **types)
        self.down = [DownLevel(config, level, **types, remat=remat) for level in range(len(inputs))]
        groups, width = config.normalisation_groups, level_widths(config)[-1]
        residual = rematerialised(TimeResidualBlock, remat)
        self.middle_block1 = residual(width, groups, **types)
        attention = rematerialised(FullAttention, remat)
        self.middle_attention = attention(config.attention_heads, config.attention_head_channels, **types)
        self.middle_block2 = residual(width, groups, **types)
        for head in answers.heads:
            decoder = Decoder(config, answers.channels, answers.start_at_zero, **types, remat=remat)
            setattr(self, f"{head}_decoder", decoder)

    def encode_condition(self, features: Features, train: bool = False) -> list[Array]:
        """[raw finest map of the Swin transformer, projected map of each level]."""
        maps = self.condition_encoder(features, train)
        projected = [project(scene) for project, scene in zip(self.condition_projection, maps, strict=True)]
        return [maps[0], *projected]

    def denoise(
        self, x: Coordinates | None, t: Times | None, condition: list[Array], train: bool = False,
        wanted: Sequence[str] | None = None,
    ) -> dict[str, Coordinates]:  # fmt: skip
        """See `backbone.Network.denoise`. Without x the network sees the scene alone, at time 1."""
        finest, *conditions = condition
        batch, *size = finest.shape[:3] if x is None else x.shape[:3]
        t = jnp.ones(batch, jnp.float32) if t is None else t.astype(jnp.float32)
        if x is None:  # the Swin transformer's finest map has a quarter of the image's size
            size = [side * 4 // self.answers.factor for side in size]
        if finest.shape[1:3] != tuple(size):
            resized = jax.image.resize(
                finest.astype(jnp.float32), (batch, *size, finest.shape[-1]), "bilinear", antialias=False
            )
            finest = resized.astype(finest.dtype)
        inputs = finest if x is None else jnp.concatenate([x.astype(finest.dtype), finest], -1)
        h = self.initial_norm(self.initial_convolution(inputs))
        start, time, skips = h, self.time_embedding(t), []
        for level, scene in zip(self.down, conditions, strict=True):
            h, kept = level(h, time, scene, train)
            skips.append(kept)
        h = self.middle_block1(h, time)
        h = self.middle_block2(self.middle_attention(h), time)
        heads = self.answers.heads if wanted is None else wanted
        return {head: getattr(self, f"{head}_decoder")(h, skips, start, time, conditions, train) for head in heads}

    def __call__(self, x: Array | None, t: Array | None, features: Array, train: bool = False) -> dict[str, Array]:
        """All heads, with the condition encoded on the way."""
        return self.denoise(x, t, self.encode_condition(features, train), train)


def level_widths(config: RadioDiffBackbone) -> list[int]:
    """Channels that each level hands to the next."""
    return [config.base_channels * multiplier for multiplier in config.channel_multipliers]


def relation_layer(config: RadioDiffBackbone, level: int, types: dict, remat: bool) -> RelationLayer:
    """The relation layer of one level."""
    window = (config.relation_windows[level],) * 2
    layer = rematerialised(RelationLayer, remat, 3)
    return layer((window, window), config.relation_heads, config.relation_dropout, **types, name="relation")


def linear_attention(config: RadioDiffBackbone, types: dict, remat: bool) -> LinearAttention:
    """The linear attention of one level."""
    layer = rematerialised(LinearAttention, remat)
    return layer(config.attention_heads, config.attention_head_channels, **types, name="attention")
