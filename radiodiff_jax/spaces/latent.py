"""The space of a frozen autoencoder's latent (Rombach et al., arXiv 2112.10752), as RadioDiff predicts in."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from radiodiff_jax import bounds
from radiodiff_jax.bounds import Flag
from radiodiff_jax.models.autoencoder import Autoencoder, posterior_mean, posterior_sample
from radiodiff_jax.settings import STRICT, VAEConfig
from radiodiff_jax.spaces.buildings import blank_buildings, fill_buildings
from radiodiff_jax.spaces.space import Buildings, Coordinates, Gain

Moments = Float[Array, "batch h w moments"]


@dataclass(frozen=True)
class LatentSpace:
    """Settings of the latent space; whether buildings are filled is the autoencoder's setting."""

    __pydantic_config__ = STRICT
    name: Literal["latent"] = "latent"  # the latent of an autoencoder, which --vae names
    # latents are multiplied by it; auto: 1 / their standard deviation
    scale_factor: bounds.Positive | Literal["auto"] = "auto"
    blank_buildings: Flag = True  # gain inside buildings is 0 by definition of the maps, so say so
    correct_by_estimate: Flag = False  # take off what the autoencoder is known to lose of the estimate
    needs_autoencoder: ClassVar[bool] = True

    def open(self, autoencoder: VAEConfig | None) -> "Latent":
        """The space over an autoencoder."""
        return Latent(autoencoder, self.blank_buildings)


@dataclass(frozen=True)
class Latent:
    """x0 = scale * sample of the posterior. `frozen` holds "autoencoder" (parameters) and "scale"."""

    config: VAEConfig
    blank: bool = True

    @property
    def factor(self) -> int:
        """Image pixels per latent pixel along one axis."""
        return self.config.autoencoder.downsampling

    @property
    def channels(self) -> int:
        """Width of the latent."""
        return self.config.autoencoder.latent_channels

    def moments(self, frozen: Any, gain: Gain, buildings: Buildings) -> Moments:
        """Gain in [0, 1] -> mean and log variance of the posterior, not scaled."""
        image = to_image(fill_buildings(gain, buildings) if self.config.fill else gain)
        return self._apply(frozen["autoencoder"], image, method="encode")

    def scaled_sample(self, frozen: Any, moments: Moments, noise: Coordinates) -> Coordinates:
        """x0 from moments, which may have been computed beforehand."""
        return lax.stop_gradient(frozen["scale"] * posterior_sample(moments, noise))

    def encode(self, frozen: Any, gain: Gain, buildings: Buildings, noise: Coordinates) -> Coordinates:
        """Gain in [0, 1] -> x0, a sample of the posterior."""
        return self.scaled_sample(frozen, self.moments(frozen, gain, buildings), noise)

    def encode_mean(self, frozen: Any, gain: Gain, buildings: Buildings) -> Coordinates:
        """Gain in [0, 1] -> the posterior's mean, scaled."""
        return lax.stop_gradient(frozen["scale"] * posterior_mean(self.moments(frozen, gain, buildings)))

    def decode(self, frozen: Any, x0: Coordinates, buildings: Buildings) -> Gain:
        """x0 -> gain in [0, 1], 0 inside buildings where the settings say so."""
        gain = to_gain(self._apply(frozen["autoencoder"], x0 / frozen["scale"], method="decode"))
        return blank_buildings(gain, buildings) if self.blank else gain

    def outdoors(self, buildings: Buildings) -> None:
        """A latent pixel is no set of pixels: all count alike."""

    @property
    def module(self) -> Autoencoder:
        """The autoencoder."""
        return Autoencoder(self.config.autoencoder, self.config.precision)

    def _apply(self, params: Any, *inputs: Array, method: str) -> Array:
        return self.module.apply({"params": params}, *inputs, method=method)


def to_image(gain: Gain) -> Float[Array, "batch height width 1"]:
    """Gain in [0, 1] -> the autoencoder's image in [-1, 1]."""
    return 2 * gain[..., None] - 1


def to_gain(image: Float[Array, "batch height width 1"]) -> Gain:
    """The autoencoder's output, about [-1, 1] -> gain clipped to [0, 1]."""
    return jnp.clip((image[..., 0] + 1) / 2, 0.0, 1.0)
