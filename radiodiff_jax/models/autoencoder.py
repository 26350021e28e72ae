"""KL autoencoder: a radio map to a small latent and back (Rombach et al., arXiv 2112.10752)."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from radiodiff_jax.models.attention import attend
from radiodiff_jax.models.layers import (
    Convolution,
    DType,
    UpsampleConvolution,
    rematerialised,
)
from radiodiff_jax.models.normalisation import GroupNorm
from radiodiff_jax.settings import AutoencoderConfig, PrecisionConfig


class ResidualBlock(nn.Module):
    """norm, swish, 3x3, norm, swish, dropout, 3x3, plus the input (through a 1x1 where the channels change)."""

    features: int
    groups: int = 32
    dropout: float = 0.0
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"], train: bool = False) -> Array:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        h = GroupNorm(self.groups, 1e-6, **types, swish=True, name="norm1")(x)
        h = Convolution(self.features, **types, name="convolution1")(h)
        h = GroupNorm(self.groups, 1e-6, **types, swish=True, name="norm2")(h)
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        h = Convolution(self.features, **types, name="convolution2")(h)
        if x.shape[-1] != self.features:
            x = Convolution(self.features, 1, **types, name="shortcut")(x)
        return x + h


class AttentionBlock(nn.Module):
    """Single-head attention over all positions, scale channels^-1/2, with a residual."""

    groups: int = 32
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width channels"]:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        batch, height, width, channels = x.shape
        h = GroupNorm(self.groups, 1e-6, **types, name="norm")(x)
        query, key, value = (
            Convolution(channels, 1, **types, name=name)(h).reshape(batch, height * width, 1, channels)
            for name in ("query", "key", "value")
        )
        h = attend(query, key, value, channels**-0.5).reshape(x.shape)
        return x + Convolution(channels, 1, **types, name="projection")(h)


class Middle(nn.Module):
    """Residual block, attention, residual block."""

    groups: int
    dropout: float
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        channels = x.shape[-1]
        block, attention = rematerialised(ResidualBlock, self.remat, 2), rematerialised(AttentionBlock, self.remat)
        x = block(channels, self.groups, self.dropout, **types, name="block_0")(x, train)
        x = attention(self.groups, **types, name="attention")(x)
        return block(channels, self.groups, self.dropout, **types, name="block_1")(x, train)


class Encoder(nn.Module):
    """[batch, height, width, 1] -> moments before the 1x1 mixing, at 1 / downsampling of the size."""

    config: AutoencoderConfig
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"], train: bool = False) -> Array:
        config, types = self.config, {"dtype": self.dtype, "param_dtype": self.param_dtype}
        groups, dropout = config.normalisation_groups, config.dropout
        residual = rematerialised(ResidualBlock, self.remat, 2)
        x = Convolution(config.base_channels, **types, name="convolution_in")(x)
        last = len(config.channel_multipliers) - 1
        for level, multiplier in enumerate(config.channel_multipliers):
            width = config.base_channels * multiplier
            for block in range(config.blocks_per_level):
                x = residual(width, groups, dropout, **types, name=f"down_{level}_block_{block}")(x, train)
            if level != last:
                x = Convolution(width, 3, 2, ((0, 1), (0, 1)), **types, name=f"down_{level}_downsample")(x)
        x = Middle(groups, dropout, **types, remat=self.remat, name="middle")(x, train)
        x = nn.swish(GroupNorm(groups, 1e-6, **types, name="norm_out")(x))
        return Convolution(2 * config.latent_channels, **types, name="convolution_out")(x)


class Decoder(nn.Module):
    """Latent -> the input of the last convolution: [batch, height, width, base channels * first multiplier]."""

    config: AutoencoderConfig
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, z: Float[Array, "batch height width channels"], train: bool = False) -> Array:
        config, types = self.config, {"dtype": self.dtype, "param_dtype": self.param_dtype}
        groups, dropout = config.normalisation_groups, config.dropout
        residual = rematerialised(ResidualBlock, self.remat, 2)
        widths = [config.base_channels * multiplier for multiplier in config.channel_multipliers]
        x = Convolution(widths[-1], **types, name="convolution_in")(z)
        x = Middle(groups, dropout, **types, remat=self.remat, name="middle")(x, train)
        for level in reversed(range(len(widths))):
            for block in range(config.blocks_per_level + 1):
                x = residual(widths[level], groups, dropout, **types, name=f"up_{level}_block_{block}")(x, train)
            if level:
                x = UpsampleConvolution(widths[level], **types, name=f"up_{level}_upsample")(x)
        return nn.swish(GroupNorm(groups, 1e-6, **types, name="norm_out")(x))


class Autoencoder(nn.Module):
    """Encoder, posterior moments, decoder; no squashing at the output.

    Moments hold mean and log variance in the two halves of the last axis. `hidden` and `last_layer` are the two parts
    of `decode`, apart because the adversarial loss needs the gradient at the last layer alone.
    """

    config: AutoencoderConfig
    precision: PrecisionConfig = PrecisionConfig()

    def setup(self):
        types = {"dtype": jnp.dtype(self.precision.compute), "param_dtype": jnp.dtype(self.precision.parameters)}
        self.encoder = Encoder(self.config, **types, remat=self.precision.remat)
        self.moments_mixing = Convolution(2 * self.config.latent_channels, 1, **types)
        self.latent_mixing = Convolution(self.config.latent_channels, 1, **types)
        self.decoder = Decoder(self.config, **types, remat=self.precision.remat)
        self.convolution_out = Convolution(1, **types)

    def encode(self, x: Float[Array, "batch height width channels"], train: bool = False) -> Array:
        """Image in [-1, 1] -> posterior moments [batch, h, w, 2 * latent channels], float32."""
        return self.moments_mixing(self.encoder(x, train)).astype(jnp.float32)

    def hidden(self, z: Float[Array, "batch h w channels"], train: bool = False) -> Array:
        """Latent -> the input of the last convolution."""
        return self.decoder(self.latent_mixing(z), train)

    def last_layer(self, hidden: Float[Array, "batch height width channels"]) -> Array:
        """The last convolution: -> image, float32."""
        return self.convolution_out(hidden).astype(jnp.float32)

    def decode(self, z: Float[Array, "batch h w channels"], train: bool = False) -> Array:
        """Latent -> image (about [-1, 1], not clipped), float32."""
        return self.last_layer(self.hidden(z, train))

    def __call__(self, x: Array, train: bool = False) -> Array:
        """Image -> reconstruction from the posterior mean."""
        return self.decode(posterior_mean(self.encode(x, train)), train)


def split_moments(moments: Float[Array, "... channels"]) -> tuple[Array, Array]:
    """(mean, log variance clamped to [-30, 20], where the gradient is zero outside) of a diagonal Gaussian."""
    mean, log_variance = jnp.split(moments, 2, axis=-1)
    return mean, jnp.clip(log_variance, -30.0, 20.0)


def posterior_mean(moments: Float[Array, "... channels"]) -> Array:
    """Mean of the posterior."""
    return split_moments(moments)[0]


def posterior_sample(moments: Float[Array, "... channels"], noise: Float[Array, "... half"]) -> Array:
    """mean + exp(log variance / 2) * noise."""
    mean, log_variance = split_moments(moments)
    return mean + jnp.exp(0.5 * log_variance) * noise


def kl_divergence(moments: Float[Array, "batch h w channels"]) -> Float[Array, " batch"]:
    """KL(posterior || N(0, 1)) in nats, summed over a map: 1/2 sum(mean^2 + var - 1 - log var).

    Kingma and Welling, arXiv 1312.6114, appendix B.
    """
    mean, log_variance = split_moments(moments)
    return 0.5 * jnp.sum(jnp.square(mean) + jnp.exp(log_variance) - 1.0 - log_variance, axis=(1, 2, 3))


def negative_log_likelihood(moments: Float[Array, "batch h w channels"], z: Array) -> Float[Array, " batch"]:
    """-log N(z; mean, var) in nats, summed over a map."""
    mean, log_variance = split_moments(moments)
    terms = jnp.log(2 * jnp.pi) + log_variance + jnp.square(z - mean) * lax.exp(-log_variance)
    return 0.5 * jnp.sum(terms, axis=(1, 2, 3))
