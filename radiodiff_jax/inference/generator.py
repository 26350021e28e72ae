"""A trained run as something that predicts: weights loaded once, one compiled function a size and number of steps."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from radiodiff_jax.composition import Composition, scene_of
from radiodiff_jax.config import GeneratorConfig
from radiodiff_jax.config_files import read_config
from radiodiff_jax.data.records import scene_batch
from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.radio_map import RadioMap
from radiodiff_jax.settings import VAEConfig
from radiodiff_jax.spaces.latent import Latent
from radiodiff_jax.training.checkpoints import LATEST
from radiodiff_jax.training.devices import compiler_options, release_freed_memory
from radiodiff_jax.training.frozen import load_autoencoder, load_variables, read_adopted
from radiodiff_jax.units import gain_to_grey, grey_to_gain

Batch = dict[str, np.ndarray]
Gain = Float[np.ndarray, "batch height width"]
Mask = Bool[np.ndarray, "height width"]
READ = ("buildings", "position", "cars", "observed")  # of a batch, by a prediction; the gain where it is observed


@dataclass(frozen=True)
class Reconstructor:
    """An autoencoder: radio map in, the same map through the latent and back out."""

    config: VAEConfig
    params: Any
    blank: bool

    @cached_property
    def _run(self):
        space = Latent(self.config, self.blank)

        def run(params: Any, gain: jax.Array, buildings: jax.Array) -> jax.Array:
            frozen = {"autoencoder": params, "scale": jnp.float32(1)}
            return space.decode(frozen, space.encode_mean(frozen, grey_to_gain(gain), buildings), buildings)

        return jax.jit(run, compiler_options=compiler_options())

    def __call__(self, batch: Batch) -> Gain:
        """Reconstruction of batch["gain"] from the posterior's mean, gain in [0, 1]."""
        return np.asarray(self._run(self.params, batch["gain"], batch["buildings"]))


@dataclass(frozen=True)
class Generator:
    """A generator with its weights: scene in, path gain map out."""

    composition: Composition
    variables: Any
    frozen: Any

    @property
    def config(self) -> GeneratorConfig:
        """The settings of its run."""
        return self.composition.config

    @cached_property
    def _run(self):
        def run(variables, frozen, batch, seed, steps):
            return self.composition.predict_gain(variables, frozen, scene_of(batch), jax.random.key(seed), steps)

        return jax.jit(run, static_argnums=4, compiler_options=compiler_options())

    @cached_property
    def _compiled(self) -> dict[tuple, jax.stages.Compiled]:
        return {}

    def traced(self, batch: Batch, steps: int) -> jax.stages.Traced:
        """The function of (variables, frozen, batch, uint32 seed) behind `predict_batch`, ready to be compiled."""
        return self._run.trace(self.variables, self.frozen, self._read(batch), jnp.uint32(0), steps)

    def predict_batch(self, batch: Batch, steps: int | None = None, seed: int = 0) -> Gain:
        """Gain in [0, 1] of the scenes of a batch; the same seed gives the same maps, whatever the batch."""
        steps, batch = steps or self.config.objective.sampling_steps, self._read(batch)
        place = (*((name, array.shape) for name, array in batch.items()), steps)
        if place not in self._compiled:
            self._compiled[place] = self.traced(batch, steps).lower().compile()
            release_freed_memory()
        return np.asarray(self._compiled[place](self.variables, self.frozen, batch, jnp.uint32(seed)))

    def _read(self, batch: Batch) -> Batch:
        names = READ if self.config.data.cars else [name for name in READ if name != "cars"]
        names = [*names, "gain"] if "observed" in batch else names
        return {name: batch[name] for name in names if name in batch}

    def predict(
        self, buildings: Mask, transmitter: tuple[int, int], cars: Mask | None = None,
        observed: Float[np.ndarray, "height width"] | None = None, *, steps: int | None = None, samples: int = 1,
        seed: int = 0,
    ) -> RadioMap:  # fmt: skip
        """The radio map of one scene: the mean of `samples` draws, and their deviation.

        Masks are not 0 at buildings (and cars); `transmitter` is (row, column); `observed` holds the gain in [0, 1] where it
        was measured, NaN elsewhere. Raises UserError for a scene that the model was not trained for.
        """
        buildings = np.asarray(buildings) != 0
        self._check_scene(buildings, transmitter, cars, observed)
        if observed is None and self.config.data.observed is not None:
            observed = np.full(buildings.shape, np.nan, np.float32)
        known = None if observed is None else ~np.isnan(observed)
        grey = None if observed is None else gain_to_grey(np.where(known, observed, 0))
        batch = scene_batch(buildings, transmitter, None if cars is None else np.asarray(cars) != 0, known, grey)
        draws = np.stack([self.predict_batch(batch, steps, seed + number)[0] for number in range(samples)])
        return RadioMap(draws.mean(0), buildings, tuple(transmitter), draws.std(0) if samples > 1 else None)

    def _check_scene(self, buildings: Mask, transmitter: tuple[int, int], cars: Mask | None, observed: Any) -> None:
        size, data = self.config.image_size, self.config.data
        if buildings.shape != size:
            raise UserError(
                f"the scene is {' x '.join(map(str, buildings.shape))} pixels, but the model was trained for {size[0]} x "
                f"{size[1]}; cut the map to that size or train a model for this one"
            )
        row, column = transmitter
        if not (0 <= row < size[0] and 0 <= column < size[1]):
            raise UserError(
                f"the transmitter at row {row}, column {column} is outside the map of {size[0]} x {size[1]} pixels; "
                f"rows run from 0 to {size[0] - 1} and columns from 0 to {size[1] - 1}"
            )
        if buildings[row, column]:
            raise UserError(
                f"the transmitter at row {row}, column {column} is inside a building; antennas stand outdoors, so choose "
                "a pixel that is 0 there"
            )
        if data.cars != (cars is not None):
            raise UserError(
                "the model was trained with cars; give the scene's mask of cars" if data.cars else
                "the model was trained without cars, so it cannot use a mask of cars; leave it out"
            )  # fmt: skip
        least = data.observed and data.observed[0]
        if (least and observed is None) or (data.observed is None and observed is not None):
            raise UserError(
                f"the model was trained with {least} measured pixels a map or more; give the scene's measurements"
                if least else
                "the model was trained without measured pixels, so it cannot use measurements; leave them out"
            )  # fmt: skip

    @cached_property
    def reconstructor(self) -> Reconstructor | None:
        """The autoencoder of a latent space alone, which the generator cannot beat; None for other spaces."""
        space = self.composition.space
        return Reconstructor(space.config, self.frozen["autoencoder"], space.blank) if isinstance(space, Latent) else None


def load_run(run: Path, checkpoint: str | int = LATEST) -> Generator | Reconstructor:
    """The weights of a run's checkpoint: "latest", "best" (lowest validation RMSE), or the one of a step.

    Averaged weights where its settings ask for them. Raises UserError where the folder is no run or has no checkpoint.
    """
    if not (run / "config.yaml").is_file():
        raise UserError(f"{run} is no run folder (it has no config.yaml); train one with experiments.train or experiments.vae")
    config = read_config(run / "config.yaml")
    if isinstance(config, VAEConfig):
        _, params, _ = load_autoencoder(run, checkpoint)
        return Reconstructor(config, params, config.fill)
    composition, frozen = read_adopted(config, run)
    variables, _ = load_variables(config, run, checkpoint)
    return Generator(composition, variables, frozen)


def load_generator(run: str | Path, checkpoint: str | int = LATEST) -> Generator:
    """As `load_run`; raises UserError for an autoencoder's run, which cannot predict from a scene."""
    model = load_run(Path(run), checkpoint)
    if isinstance(model, Reconstructor):
        raise UserError(
            f"{run} is a run of an autoencoder, which predicts nothing from a scene; give a run of experiments.train or ldm"
        )
    return model
