"""What a backbone is: the network of a generator, with no loss, no preconditioning and no noise schedule inside.

    condition = network.encode_condition(features, train)                  what depends on the scene alone
    raw = network.denoise(x, t, condition, train, wanted)                  head -> [batch, h, w, channels]

A backbone's settings are a frozen dataclass with a `name` and the method `build`; `config.py` lists them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from flax import linen as nn
from jaxtyping import Array, Float

from radiodiff_jax.settings import PrecisionConfig

Features = Float[Array, "batch height width features"]
Coordinates = Float[Array, "batch h w channels"]
"""A map, or what a network answers, in the coordinates of a space."""
Times = Float[Array, " batch"]
SCALE = "scale"
"""The head of an error's scale. It reads what the network computes for the map, and no gradient goes back from it into the
rest of the network, so that it costs the map nothing; see `objectives/regression.py`."""


@dataclass(frozen=True)
class Answers:
    """What the other two choices of a generator, space and objective, ask of its network."""

    heads: tuple[str, ...]
    """Names of the answers; only these are built."""
    channels: int
    """Channels of each answer, those of the space."""
    factor: int = 4
    """Image pixels per cell of the space along one axis."""
    noisy: bool = True
    """Whether there are x and t; without, both are None."""
    start_at_zero: bool = False
    """Whether the last layer starts at zero, so that training starts at the estimate."""


class Backbone(Protocol):
    """Settings of a network."""

    name: str

    def build(self, answers: Answers, precision: PrecisionConfig) -> nn.Module:
        """The network."""

    def multiple(self, factor: int) -> int:
        """Both sides of an image must be multiples of this, where a cell of the space is `factor` pixels wide."""

    def check(self, answers: Answers) -> None:
        """Raise UserError where the settings cannot give these answers."""


class Network(Protocol):
    """What `Backbone.build` returns: a Linen module with these methods, all of them pure."""

    def encode_condition(self, features: Features, train: bool = False) -> Any:
        """What depends on the scene alone: a sampler calls it once."""

    def denoise(
        self, x: Coordinates | None, t: Times | None, condition: Any, train: bool = False,
        wanted: Sequence[str] | None = None,
    ) -> dict[str, Coordinates]:  # fmt: skip
        """The raw answers of the heads that are `wanted` (all by default), float32.

        `x` holds the noised map and, as further channels, the estimate where the generator starts from one; `t` in (0, 1].
        """

    def __call__(self, x: Coordinates | None, t: Times | None, features: Features, train: bool = False) -> dict[str, Coordinates]:
        """Both steps, one after the other."""
