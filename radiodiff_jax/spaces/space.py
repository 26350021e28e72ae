"""What a space is: an encoder and a decoder of radio maps around what a generator predicts.

A space's settings are a frozen dataclass with a `name`; `config.py` lists them. `open` gives the space itself.
"""

from typing import Any, Protocol

from jaxtyping import Array, Bool, Float

from radiodiff_jax.settings import VAEConfig

Gain = Float[Array, "batch height width"]
Buildings = Bool[Array, "batch height width"]
Coordinates = Float[Array, "batch h w channels"]


class SpaceSettings(Protocol):
    """Settings of a space."""

    name: str
    needs_autoencoder: bool

    def open(self, autoencoder: VAEConfig | None) -> "Space":
        """The space, over an autoencoder where it needs one."""


class Space(Protocol):
    """Pure functions between maps and coordinates. `frozen` holds what a generator reads and never trains."""

    factor: int
    """Image pixels per cell along one axis."""
    channels: int

    def encode(self, frozen: Any, gain: Gain, buildings: Buildings, noise: Coordinates) -> Coordinates:
        """Gain in [0, 1] -> x0, of about unit variance. `noise` is N(0, 1), for spaces whose encoder is random."""

    def encode_mean(self, frozen: Any, gain: Gain, buildings: Buildings) -> Coordinates:
        """As `encode`, without randomness: for first estimates."""

    def decode(self, frozen: Any, x0: Coordinates, buildings: Buildings) -> Gain:
        """x0 -> gain in [0, 1], 0 inside buildings."""

    def outdoors(self, buildings: Buildings) -> Float[Array, "batch h w channels"] | None:
        """Weights of a loss on outdoor pixels; None where a cell is not a set of pixels."""
