"""Patch discriminator: one logit for each overlapping patch (Isola et al., arXiv 1611.07004)."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from radiodiff_jax.models.initialisers import normal
from radiodiff_jax.models.layers import Convolution
from radiodiff_jax.models.normalisation import BatchNorm
from radiodiff_jax.settings import DiscriminatorConfig, PrecisionConfig


class Discriminator(nn.Module):
    """4x4 convolutions with leaky ReLU and batch normalisation; raw logits, float32."""

    config: DiscriminatorConfig
    precision: PrecisionConfig = PrecisionConfig()

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"], train: bool) -> Float[Array, "batch rows columns 1"]:
        types = {"dtype": jnp.dtype(self.precision.compute), "param_dtype": jnp.dtype(self.precision.parameters)}
        options = types | {"kernel_init": normal(0.02)}
        layers = self.config.layers
        x = Convolution(self.config.base_channels, 4, 2, 1, **options, name="convolution_0")(x)
        x = nn.leaky_relu(x, 0.2)
        for layer in range(1, layers + 1):
            width = self.config.base_channels * min(2**layer, 8)
            stride = 2 if layer < layers else 1
            x = Convolution(width, 4, stride, 1, use_bias=False, **options, name=f"convolution_{layer}")(x)
            x = BatchNorm(0.1, 1e-5, **types, scale_init=normal(0.02, mean=1.0), name=f"norm_{layer}")(x, train)
            x = nn.leaky_relu(x, 0.2)
        return Convolution(1, 4, 1, 1, **options, name=f"convolution_{layers + 1}")(x).astype(jnp.float32)
