"""The networks of a configuration, made as training makes them, and traced."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from radiodiff_jax.config import LDMConfig, VAEConfig
from radiodiff_jax.objectives.decoupled_diffusion import needed_outputs, time_grid
from radiodiff_jax.reporting.architecture.trace import Network, trace
from radiodiff_jax.training.ldm_task import latent_size, make_unet
from radiodiff_jax.training.vae_task import Networks


def image_of(*size: int) -> jax.ShapeDtypeStruct:
    """One float32 image (or vector) as a shape."""
    return jax.ShapeDtypeStruct((1, *size), jnp.float32)


@lru_cache(16)  # networks: the runs of a report often share theirs
def traced(module: nn.Module, arguments: tuple[tuple[str, Any], ...], outputs: tuple[str, ...]) -> Network:
    """`trace`, once for each module with the same settings and sizes."""
    return trace(module, dict(arguments), outputs)


@dataclass(frozen=True)
class VAE:
    """The autoencoder and its discriminator; each is traced when it is first asked for."""

    config: VAEConfig

    @property
    def image(self) -> tuple[int, int, int]:
        """(height, width, channels) of a map."""
        return (*self.config.image_size, self.config.autoencoder.image_channels)

    @property
    def latent(self) -> tuple[int, int, int]:
        """(height, width, channels) of the latent."""
        factor = self.config.autoencoder.downsampling
        return (*(side // factor for side in self.config.image_size), self.config.autoencoder.embedding_channels)

    @cached_property
    def autoencoder(self) -> Network:
        """image -> reconstruction."""
        network = Networks(self.config).autoencoder
        return traced(network, (("radio map", image_of(*self.image)),), ("reconstruction",))

    @cached_property
    def discriminator(self) -> Network:
        """image -> logits."""
        network = Networks(self.config).discriminator
        return traced(network, (("radio map", image_of(*self.image)), ("train", False)), ("one logit a patch",))

    def sum_of(self, names: tuple[str, ...]) -> int:
        """Operations of some blocks at the top of the autoencoder."""
        return sum(block.operations for block in self.autoencoder.top.children if block.path[0] in names)

    @property
    def encoding(self) -> int:
        """Operations to encode one map."""
        return self.sum_of(ENCODING)

    @property
    def decoding(self) -> int:
        """Operations to decode one latent."""
        return self.autoencoder.top.operations - self.encoding


ENCODING = ("encoder", "moments_mixing")


@dataclass(frozen=True)
class LDM:
    """The diffusion model over an autoencoder; the U-Net is traced when it is first asked for."""

    config: LDMConfig
    vae: VAE

    @property
    def latent(self) -> tuple[int, int, int]:
        """(height, width, channels) of the latent."""
        return latent_size(self.config, self.vae.config)

    @property
    def has_prior(self) -> bool:
        """Whether the U-Net starts from a first guess of the map."""
        return self.config.unet.prior != "none"

    @cached_property
    def unet(self) -> Network:
        """(z, t, condition, first guess) -> (C, noise)."""
        latent = image_of(*self.latent)
        inputs = {
            "noisy latent": latent,
            "time": image_of(),
            "condition image": image_of(*self.config.image_size, self.config.unet.condition_channels),
            "train": False,
            "first guess": latent if self.has_prior else None,
        }
        return traced(make_unet(self.config, self.vae.config), tuple(inputs.items()), ("C", "noise"))

    @property
    def conditioning(self) -> int:
        """Operations on the scene alone, done once a map."""
        blocks = self.unet.top.children
        return sum(b.operations for b in blocks if b.path[0].startswith("condition_"))

    @property
    def evaluations(self) -> list[tuple[float, float]]:
        """(t, step) of every evaluation of the network when a map is sampled."""
        objective = self.config.objective
        times, moves = time_grid(objective.sampling_steps, objective.smallest_time)
        return list(zip(times.tolist(), moves.tolist(), strict=True))

    @property
    def denoising(self) -> list[int]:
        """Operations of every evaluation; a decoder whose answer does not count is not run."""
        top = self.unet.top
        decoders = [top.find(f"{name}_decoder").operations for name in ("attenuation", "noise")]
        common = top.operations - self.conditioning - sum(decoders)
        return [
            common + sum(work for work, needed in zip(decoders, needed_outputs(time), strict=True) if needed)
            for time, _ in self.evaluations
        ]

    @property
    def sampling(self) -> int:
        """Operations from a scene to a radio map."""
        guess = self.vae.encoding if self.has_prior else 0
        return self.conditioning + guess + sum(self.denoising) + self.vae.decoding
