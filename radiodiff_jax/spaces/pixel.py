"""The space of pixels: patches of p x p pixels as channels; every grey level comes back."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax.numpy as jnp

from radiodiff_jax import bounds
from radiodiff_jax.bounds import Flag
from radiodiff_jax.models.layers import depth_to_space, space_to_depth
from radiodiff_jax.settings import STRICT, VAEConfig
from radiodiff_jax.spaces.buildings import blank_buildings, fill_buildings
from radiodiff_jax.spaces.space import Buildings, Coordinates, Gain

CENTRE, SCALE = 0.5, 4.0  # of gains in [0, 1], so that x0 has about unit variance


@dataclass(frozen=True)
class PixelSpace:
    """x0 = 4 (gain - 1/2), a patch's pixels as channels; lossless but for half a unit in the last place."""

    __pydantic_config__ = STRICT
    name: Literal["pixel"] = "pixel"  # pixels themselves, without an autoencoder
    patch: bounds.Patch = 2  # pixels of a patch along one axis, which become channels
    fill: Flag = True  # building pixels take the value of the nearest outdoor pixel before encoding
    needs_autoencoder: ClassVar[bool] = False

    def open(self, autoencoder: VAEConfig | None) -> "PixelSpace":
        """The space itself."""
        return self

    @property
    def factor(self) -> int:
        """Image pixels per cell along one axis."""
        return self.patch

    @property
    def channels(self) -> int:
        """Pixels of a patch."""
        return self.patch**2

    def encode(self, frozen: Any, gain: Gain, buildings: Buildings, noise: Coordinates | None = None) -> Coordinates:
        """Gain in [0, 1] -> x0 in [-2, 2]; the noise is not used."""
        filled = fill_buildings(gain, buildings) if self.fill else gain
        return space_to_depth(SCALE * (filled - CENTRE)[..., None], self.patch)

    encode_mean = encode

    def decode(self, frozen: Any, x0: Coordinates, buildings: Buildings) -> Gain:
        """x0 -> gain in [0, 1], 0 inside buildings."""
        gain = depth_to_space(x0, self.patch)[..., 0] / SCALE + CENTRE
        return blank_buildings(jnp.clip(gain, 0.0, 1.0), buildings)

    def decode_scale(self, scale: Coordinates, buildings: Buildings) -> Gain:
        """Sizes of errors of x0 -> of the gain, 0 inside buildings."""
        return blank_buildings(depth_to_space(scale, self.patch)[..., 0] / SCALE, buildings)

    def outdoors(self, buildings: Buildings) -> Coordinates:
        """1 at outdoor pixels, 0 inside buildings."""
        return space_to_depth(1.0 - buildings[..., None].astype(jnp.float32), self.patch)
