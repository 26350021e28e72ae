"""The networks of a configuration, made as training makes them, and traced."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from radiodiff_jax.composition import Composition, compose
from radiodiff_jax.config import GeneratorConfig
from radiodiff_jax.features import feature_channels
from radiodiff_jax.objectives.decoupled import Decoupled, needed_heads, time_grid
from radiodiff_jax.reporting.architecture.trace import Network, trace
from radiodiff_jax.settings import VAEConfig
from radiodiff_jax.training.vae_update import Networks

ENCODING = ("encoder", "moments_mixing")
HEADS = {"attenuation": "C", "noise": "noise", "velocity": "velocity", "x0": "map", "x0_first": "map of the first U-Net",
         "scale": "scale of its error"}  # fmt: skip
"""What a network answers, in words; a head that is not here is named as it is."""


def image_of(*size: int) -> jax.ShapeDtypeStruct:
    """One float32 image (or vector) as a shape."""
    return jax.ShapeDtypeStruct((1, *size), jnp.float32)


@lru_cache(16)  # networks: the runs of a report often share theirs
def traced(
    module: nn.Module, arguments: tuple[tuple[str, Any], ...], outputs: tuple[str, ...] = (),
    prepare: Callable[..., tuple] = lambda *given: given,
) -> Network:  # fmt: skip
    """`trace`, once for each module with the same settings and sizes."""
    return trace(module, dict(arguments), outputs, prepare)


@dataclass(frozen=True)
class VAE:
    """The autoencoder and its discriminator; each is traced when it is first asked for."""

    config: VAEConfig

    @property
    def image(self) -> tuple[int, int, int]:
        """(height, width, 1) of a map."""
        return (*self.config.image_size, 1)

    @property
    def latent(self) -> tuple[int, int, int]:
        """(height, width, channels) of the latent."""
        factor = self.config.autoencoder.downsampling
        return (*(side // factor for side in self.config.image_size), self.config.autoencoder.latent_channels)

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

    @property
    def encoding(self) -> int:
        """Operations to encode one map."""
        return sum(block.operations for block in self.autoencoder.top.children if block.path[0] in ENCODING)

    @property
    def decoding(self) -> int:
        """Operations to decode one latent."""
        return self.autoencoder.top.operations - self.encoding


class Evaluation(NamedTuple):
    """One run of the network while a map is sampled."""

    heads: tuple[str, ...]
    time: float | None = None
    """None where the network sees no noised map, or where the objective does not say."""
    step: float | None = None
    """How far time moves after it."""


@dataclass(frozen=True)
class Generator:
    """A generator over what it builds on; the network is traced when it is first asked for."""

    config: GeneratorConfig
    vae: VAE | None = None
    """The autoencoder of a latent space."""
    base: "Generator | None" = None
    """The regression that a residual flow starts from."""

    @cached_property
    def composition(self) -> Composition:
        """The generator as training composes it."""
        return compose(self.config, self.vae and self.vae.config, self.base and self.base.config)

    @property
    def image(self) -> tuple[int, int, int]:
        """(height, width, 1) of a map."""
        return (*self.config.image_size, 1)

    @property
    def features(self) -> tuple[int, int, int]:
        """(height, width, channels) of the features."""
        return (*self.config.image_size, feature_channels(self.config.features))

    @property
    def coordinates(self) -> tuple[int, int, int]:
        """(h, w, channels) of a map in its space."""
        return self.composition.shape

    @property
    def noised_name(self) -> str:
        """What the network's noised input is called."""
        return "noisy latent" if self.config.space.needs_autoencoder else "noised map"

    @cached_property
    def network(self) -> Network:
        """(x, t, features, estimate) -> one answer a head."""
        made, noisy = self.composition, self.config.objective.noisy
        cell = image_of(*self.coordinates)
        inputs = {
            self.noised_name: cell if noisy else None,
            "time": image_of() if noisy else None,
            "features": image_of(*self.features),
            "train": False,
            "estimate": cell if noisy and made.starts_at_estimate else None,
        }
        found = traced(made.network, tuple(inputs.items()), prepare=joined)
        return replace(found, outputs={variable: HEADS.get(head, head) for variable, head in found.outputs.items()})

    @property
    def conditioning(self) -> int:
        """Operations on the scene alone, done once a map."""
        return self.network.operations_of("encode_condition")

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """Every evaluation of the network when a map is sampled with the configured number of steps."""
        return evaluations(self.config.objective, self.config.objective.sampling_steps)

    @property
    def denoising(self) -> list[int]:
        """Operations of every evaluation; blocks named after a head that is not wanted are not run."""
        top, heads = self.network.top, self.config.objective.heads
        of_head = {head: sum(b.operations for b in top.children if b.path[0].startswith(f"{head}_")) for head in heads}
        common = top.operations - self.conditioning - sum(of_head.values())
        return [common + sum(of_head[head] for head in one.heads) for one in self.evaluations]

    @property
    def estimating(self) -> int:
        """Operations of networks for the estimate."""
        if self.base is not None:
            return self.base.estimating + self.base.conditioning + sum(self.base.denoising)
        return self.vae.encoding if self.vae and self.config.estimate != "none" else 0

    @property
    def decoding(self) -> int:
        """Operations from coordinates to a map."""
        return self.vae.decoding if self.vae else 0

    @property
    def sampling(self) -> int:
        """Operations from a scene to a radio map."""
        return self.conditioning + self.estimating + sum(self.denoising) + self.decoding


def joined(x, t, features, train, estimate) -> tuple:
    """The network's arguments: the estimate is further channels of its input."""
    return (x if estimate is None else jnp.concatenate([x, estimate], -1)), t, features, train


def evaluations(objective: Any, steps: int) -> list[Evaluation]:
    """The evaluations of `steps` sampling steps of an objective."""
    if isinstance(objective, Decoupled):
        grid = zip(*(part.tolist() for part in time_grid(steps, objective.smallest_time)), strict=True)
        return [Evaluation(needed_heads(time), time, move) for time, move in grid]
    many = objective.evaluations(steps)
    if not hasattr(objective, "solver"):
        return [Evaluation(objective.heads)] * many
    a_step = many // steps  # two with the midpoint method: at the beginning of a step and in its middle
    return [Evaluation(objective.heads, 1 - place / many, (place % a_step + 1) / many) for place in range(many)]
