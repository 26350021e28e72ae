"""Space x backbone x objective, put together: a generator as pure functions of its variables, without any files.

    scene --> features, estimate --> network at 0..N noise levels --> space.decode --> path gain map

`frozen` is a tree of arrays that a generator reads and never trains: {} for pixels, "autoencoder" and "scale" for a
latent space, "base" (variables) for an objective that starts from a regression run.
"""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from radiodiff_jax.config import GeneratorConfig
from radiodiff_jax.errors import UserError
from radiodiff_jax.features import Scene, estimate_gain, feature_channels, feature_image
from radiodiff_jax.models.backbone import Answers
from radiodiff_jax.models.initialisers import first_values
from radiodiff_jax.objectives.objective import Coordinates, NoiseAt, Objective, Times
from radiodiff_jax.radiomapseer import COMPUTED
from radiodiff_jax.settings import VAEConfig
from radiodiff_jax.spaces.buildings import blank_buildings
from radiodiff_jax.spaces.space import Space
from radiodiff_jax.units import grey_to_gain

Tree = Any
ROUNDING = 1 / (255 * 12**0.5)  # standard deviation of a gain that was rounded to grey levels: what is not known of a measured one


@dataclass(frozen=True)
class Composition:
    """The three choices of a configuration; see the module for what the functions have in common."""

    config: GeneratorConfig
    space: Space
    objective: Objective
    network: nn.Module
    base: "Composition | None" = None
    """The regression that the objective starts from, if it does."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, channels) of the coordinates of a map."""
        height, width = self.config.image_size
        return height // self.space.factor, width // self.space.factor, self.space.channels

    @property
    def starts_at_estimate(self) -> bool:
        """Whether predictions are corrections of an estimate."""
        return self.objective.needs_base or self.config.estimate != "none"

    def first_variables(self, key: PRNGKeyArray) -> Tree:
        """The network's variables before any training, without running it."""
        height, width, channels = self.shape
        joined = channels * (2 if self.starts_at_estimate else 1)
        x = jax.ShapeDtypeStruct((1, height, width, joined), jnp.float32)
        t = jax.ShapeDtypeStruct((1,), jnp.float32)
        image = (1, *self.config.image_size, feature_channels(self.config.features))
        features = jax.ShapeDtypeStruct(image, jnp.float32)
        noised = (x, t) if self.objective.noisy else (None, None)
        return first_values(self.network, {"params": key}, *noised, features)

    def features(self, scene: Scene) -> Float[Array, "batch height width channels"]:
        """What the network is told of the scene."""
        return feature_image(self.config.features, scene)

    def estimate(self, frozen: Tree, scene: Scene) -> Coordinates | None:
        """Where the prediction starts: the base's output, the encoded first estimate, or nothing."""
        if self.base is not None:
            start = self.base.estimate(frozen, scene)
            return lax.stop_gradient(self.base.predict_x0(frozen["base"], frozen, scene, start, no_noise, 1))
        if self.config.estimate == "none":
            return None
        gain = estimate_gain(self.config.estimate, scene)[..., 0]
        return lax.stop_gradient(self.space.encode_mean(frozen, gain, scene.buildings))

    def network_input(self, x: Coordinates | None, estimate: Coordinates | None) -> Coordinates | None:
        """The noised map, with the estimate as further channels; None where the network is shown no map."""
        return x if x is None or estimate is None else jnp.concatenate([x, estimate], -1)

    def predict_x0(
        self, variables: Tree, frozen: Tree, scene: Scene, estimate: Coordinates | None, noise_at: NoiseAt, steps: int
    ) -> Coordinates:
        """Sample a map in the coordinates of the space; what depends on the scene alone is computed once."""
        condition = self.network.apply(variables, self.features(scene), method="encode_condition")

        def predict(x: Coordinates | None, t: Times | None, wanted: tuple[str, ...]) -> dict[str, Coordinates]:
            inputs = self.network_input(x, estimate)
            raw = self.network.apply(variables, inputs, t, condition, False, wanted, method="denoise")
            return self.objective.precondition(raw, x, t, estimate)

        return self.objective.sample(predict, noise_at, steps, estimate)

    def predict_gain(
        self, variables: Tree, frozen: Tree, scene: Scene, key: PRNGKeyArray, steps: int
    ) -> Float[Array, "batch height width"]:
        """Path gain in [0, 1], by `steps` steps. The noise of a map depends on the key and its scene alone, so that it
        comes out the same at any place of any batch.

        With `space.correct_by_estimate` what the autoencoder loses of the estimate, which is known, is taken off: the
        map is decode(x0) + estimate - decode(encode(estimate)). A map that is near its estimate loses nearly the same.
        Where the gain was observed, it is the answer.
        """
        return self.gain_of_noise(variables, frozen, scene, noise_of_scenes(key, scene, self.shape), steps)

    def gain_of_noise(
        self, variables: Tree, frozen: Tree, scene: Scene, noise_at: NoiseAt, steps: int
    ) -> Float[Array, "batch height width"]:
        """`predict_gain` for these draws of noise."""
        estimate = self.estimate(frozen, scene)
        x0 = self.predict_x0(variables, frozen, scene, estimate, noise_at, steps)
        gain = keep_observed(self.space.decode(frozen, x0, scene.buildings), scene)
        if self.config.estimate == "none" or not getattr(self.config.space, "correct_by_estimate", False):
            return gain
        known = estimate_gain(self.config.estimate, scene)[..., 0]
        corrected = gain + known - self.space.decode(frozen, estimate, scene.buildings)
        return keep_observed(blank_buildings(jnp.clip(corrected, 0.0, 1.0), scene.buildings), scene)

    def predict_gain_and_deviation(
        self, variables: Tree, frozen: Tree, scene: Scene
    ) -> tuple[Float[Array, "batch height width"], Float[Array, "batch height width"]]:
        """(path gain, standard deviation of its error as the model expects it), both in gain, from one evaluation.

        For objectives with the head `scale` alone, which work on pixels.
        """
        estimate = self.estimate(frozen, scene)
        raw = self.network.apply(variables, None, None, self.features(scene), False)
        answers = self.objective.precondition(raw, None, None, estimate)
        deviation = self.objective.deviation(answers)
        gain = keep_observed(self.space.decode(frozen, answers["x0"], scene.buildings), scene)
        deviation = self.space.decode_scale(deviation, scene.buildings)
        return gain, deviation if scene.observed is None else jnp.where(scene.observed, ROUNDING, deviation)


def compose(config: GeneratorConfig, autoencoder: VAEConfig | None = None, base: GeneratorConfig | None = None) -> Composition:
    """The generator of a configuration, over an autoencoder and a base regression where it needs them.

    Raises UserError for sizes that the network cannot halve as often as it wants to.
    """
    space = config.space.open(autoencoder)
    starts = config.estimate != "none" or config.objective.needs_base
    answers = Answers(config.objective.heads, space.channels, space.factor, config.objective.noisy, starts)
    config.backbone.check(answers)
    multiple = config.backbone.multiple(space.factor)
    if any(side % multiple for side in config.image_size):
        raise UserError(
            f"image_size {list(config.image_size)}: with backbone {config.backbone.name} over cells of {space.factor} x "
            f"{space.factor} pixels both sides must be multiples of {multiple}"
        )
    network = config.backbone.build(answers, config.precision)
    return Composition(config, space, config.objective, network, None if base is None else compose(base, autoencoder))


def scene_of(batch: dict[str, Array]) -> Scene:
    """The scene of a batch as `data/pipeline.py` makes it."""
    gain = grey_to_gain(batch["gain"]) if "observed" in batch else None
    computed = {name: grey_to_gain(batch[name]) for name in COMPUTED if name in batch}
    return Scene(batch["buildings"], batch["position"], batch.get("cars"), batch.get("observed"), gain, computed)


def keep_observed(gain: Float[Array, "batch height width"], scene: Scene) -> Float[Array, "batch height width"]:
    """The gain, with what was observed in its places."""
    return gain if scene.observed is None else jnp.where(scene.observed, scene.gain, gain)


def noise_of_scenes(key: PRNGKeyArray, scene: Scene, shape: tuple[int, int, int]) -> NoiseAt:
    """Number of a draw -> N(0, 1) for each scene, from the key, the transmitter's place and the area of the buildings."""
    area = scene.buildings.sum((1, 2))[:, None]
    facts = jnp.concatenate([scene.position, area], -1).astype(jnp.uint32)
    keys = jax.vmap(lambda facts: functools.reduce(jax.random.fold_in, facts, key))(facts)
    return lambda number: jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, number), shape))(keys)


def no_noise(number: Array | int) -> Coordinates:
    """For objectives that draw none."""
    raise NotImplementedError("a regression draws no noise")

