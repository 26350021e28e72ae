"""Conditional U-Net of decoupled diffusion: one encoder, two decoders, one for C and one for the noise (SPEC section 8)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from radiodiff_jax.models.initialisers import zeros
from radiodiff_jax.models.layers import Convolution, DType, GroupNorm, UpsampleConvolution, rematerialised
from radiodiff_jax.models.relation import RelationLayer
from radiodiff_jax.models.swin import SwinEncoder
from radiodiff_jax.models.unet_blocks import (
    FourierLayer,
    FullAttention,
    LinearAttention,
    TimeEmbedding,
    TimeResidualBlock,
)
from radiodiff_jax.settings import PrecisionConfig, UNetConfig


class DownLevel(nn.Module):
    """Residual block, relation to the scene, residual block, linear attention; then half the size but at the last."""

    config: UNetConfig
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

    config: UNetConfig
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
    """From the bottleneck to [batch, h, w, latent channels]: Fourier layer, levels from coarse to fine, head."""

    config: UNetConfig
    out_channels: int
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: Array, skips: Sequence[list[Array]], start: Array, time: Array,
                 conditions: Sequence[Array], train: bool) -> Array:  # fmt: skip
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        width = x.shape[-1]
        h = GroupNorm(min(width // 4, 8), 1e-5, **types, name="fourier_norm")(x)
        h = Convolution(width, **types, name="fourier_convolution")(h)
        x = x + FourierLayer(self.param_dtype, name="fourier")(h)
        for level in reversed(range(len(skips))):
            up = UpLevel(self.config, level, **types, remat=self.remat, name=f"up_{level}")
            x = up(x, skips[level], time, conditions[level], train)
        residual = rematerialised(TimeResidualBlock, self.remat)
        block = residual(self.config.base_channels, self.config.normalisation_groups, **types, name="final_block")
        x = block(jnp.concatenate([x, start], -1), time)
        # With a prior, begin at the prior; without, as PyTorch does.
        first = {} if self.config.prior == "none" else {"kernel_init": zeros, "bias_init": zeros}
        last = Convolution(self.out_channels, 1, **types, **first, name="final_convolution")
        return last(x).astype(jnp.float32)


class UNet(nn.Module):
    """(z_t, t, condition) -> (C, noise), each [batch, h, w, latent channels] in float32.

    `encode_condition` depends on the scene alone, so a sampler calls it once; `denoise` does the rest.
    """

    config: UNetConfig
    latent_channels: int = 3
    precision: PrecisionConfig = PrecisionConfig()

    def setup(self):
        config = self.config
        types = {"dtype": jnp.dtype(self.precision.compute), "param_dtype": jnp.dtype(self.precision.parameters)}
        remat = self.precision.remat
        inputs = [config.base_channels, *level_widths(config)[:-1]]
        self.condition_encoder = SwinEncoder(config.swin, self.precision)
        self.condition_projection = [Convolution(width, 1, **types) for width in inputs]
        self.time_embedding = TimeEmbedding(config.base_channels, config.fourier_scale, **types)
        self.initial_convolution = Convolution(config.base_channels, 7, **types)
        self.initial_norm = GroupNorm(min(config.base_channels // 4, 8), 1e-5, **types)
        self.down = [DownLevel(config, level, **types, remat=remat) for level in range(len(inputs))]
        groups, width = config.normalisation_groups, level_widths(config)[-1]
        residual = rematerialised(TimeResidualBlock, remat)
        self.middle_block1 = residual(width, groups, **types)
        attention = rematerialised(FullAttention, remat)
        self.middle_attention = attention(config.attention_heads, config.attention_head_channels, **types)
        self.middle_block2 = residual(width, groups, **types)
        self.attenuation_decoder = Decoder(config, self.latent_channels, **types, remat=remat)
        self.noise_decoder = Decoder(config, self.latent_channels, **types, remat=remat)

    def encode_condition(self, condition: Float[Array, "batch height width channels"], train: bool = False) -> list[Array]:
        """Scene image in {-1, 1} -> [raw finest map, projected map of each level]."""
        maps = self.condition_encoder(condition, train)
        projected = [project(scene) for project, scene in zip(self.condition_projection, maps, strict=True)]
        return [maps[0], *projected]

    def denoise(
        self, z: Float[Array, "batch h w channels"], t: Float[Array, " batch"], features: list[Array],
        train: bool = False, attenuation: bool = True, noise: bool = True,
        prior: Float[Array, "batch h w channels"] | None = None,
    ) -> tuple[Array, Array]:  # fmt: skip
        """(C, noise) for z_t at time t in (0, 1]. A decoder switched off is taken as zero before preconditioning.

        C = (1 - t) z + t / sqrt(t^2 + 1) F1,  noise = sqrt(t) z + sqrt(1 - t) / sqrt(t^2 + 1) F2 (SPEC section 8.2).
        At t = 1 the noise is z whatever F2 says. A `prior`, the scaled latent of a first guess of the map (not in the
        original), joins the input, and C starts from it: C = -prior + t / sqrt(t^2 + 1) F1.
        """
        z = z.astype(jnp.float32)
        t = t.astype(jnp.float32)
        finest, *conditions = features
        if finest.shape[1:3] != z.shape[1:3]:
            size = (*finest.shape[:1], *z.shape[1:3], finest.shape[-1])
            finest = jax.image.resize(finest.astype(jnp.float32), size, "bilinear", antialias=False).astype(finest.dtype)
        latents = [z] if prior is None else [z, prior]
        inputs = [latent.astype(finest.dtype) for latent in latents]
        x = self.initial_norm(self.initial_convolution(jnp.concatenate([*inputs, finest], -1)))
        start, time, skips = x, self.time_embedding(t), []
        for level, condition in zip(self.down, conditions, strict=True):
            x, kept = level(x, time, condition, train)
            skips.append(kept)
        x = self.middle_block1(x, time)
        x = self.middle_block2(self.middle_attention(x), time)

        t = t[:, None, None, None]
        common = jax.lax.rsqrt(t * t + 1)
        c_out = (1 - t) * z if prior is None else -prior
        noise_out = jnp.sqrt(t) * z
        if attenuation:
            c_out += t * common * self.attenuation_decoder(x, skips, start, time, conditions, train)
        if noise:
            noise_out += jnp.sqrt(1 - t) * common * self.noise_decoder(x, skips, start, time, conditions, train)
        return c_out, noise_out

    def __call__(self, z: Array, t: Array, condition: Array, train: bool = False,
                 prior: Array | None = None) -> tuple[Array, Array]:  # fmt: skip
        """(C, noise) with the condition's features computed on the way."""
        return self.denoise(z, t, self.encode_condition(condition, train), train, prior=prior)


def level_widths(config: UNetConfig) -> list[int]:
    """Channels that each level hands to the next."""
    return [config.base_channels * multiplier for multiplier in config.channel_multipliers]


def relation_layer(config: UNetConfig, level: int, types: dict, remat: bool) -> RelationLayer:
    """The relation layer of one level."""
    window = (config.relation_windows[level],) * 2
    layer = rematerialised(RelationLayer, remat, 3)
    return layer((window, window), config.relation_heads, config.relation_dropout, **types, name="relation")


def linear_attention(config: UNetConfig, types: dict, remat: bool) -> LinearAttention:
    """The linear attention of one level."""
    layer = rematerialised(LinearAttention, remat)
    return layer(config.attention_heads, config.attention_head_channels, **types, name="attention")
