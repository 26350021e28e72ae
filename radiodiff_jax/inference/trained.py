"""A trained run as something that predicts: weights loaded once, one compiled function."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from radiodiff_jax.config import LDMConfig, VAEConfig
from radiodiff_jax.config_files import read_config
from radiodiff_jax.errors import UserError
from radiodiff_jax.models.autoencoder import Autoencoder
from radiodiff_jax.objectives.decoupled_diffusion import latent_to_gain
from radiodiff_jax.objectives.latent_sampler import blank_buildings, sample_gain
from radiodiff_jax.training.checkpoints import load_for_inference
from radiodiff_jax.training.devices import compiler_options, release_freed_memory
from radiodiff_jax.training.frozen_autoencoder import load_autoencoder, read_adopted
from radiodiff_jax.training.ldm_task import latent_size, make_unet

Gain = Float[np.ndarray, "batch height width 1"]


@dataclass(frozen=True)
class Reconstructor:
    """An autoencoder: radio map in, the same map through the latent and back out."""

    config: VAEConfig
    params: Any
    blank: bool = False

    @cached_property
    def _run(self):
        module = Autoencoder(self.config.autoencoder, self.config.precision)

        def run(params: Any, gain: jax.Array, condition: jax.Array) -> jax.Array:
            output = latent_to_gain(module.apply({"params": params}, 2 * gain - 1))
            return blank_buildings(output, condition) if self.blank else output

        return jax.jit(run, compiler_options=compiler_options())

    def __call__(self, batch: dict[str, np.ndarray]) -> Gain:
        """Reconstruction of batch["gain"] from the posterior's mean, gain in [0, 1]."""
        return np.asarray(self._run(self.params, batch["gain"], batch["condition"]))


@dataclass(frozen=True)
class RadioMapModel:
    """A diffusion model with its autoencoder: scene in, path gain map out."""

    config: LDMConfig
    autoencoder_config: VAEConfig
    variables: Any
    frozen: Any

    @cached_property
    def _run(self):
        unet = make_unet(self.config, self.autoencoder_config)
        autoencoder = Autoencoder(self.autoencoder_config.autoencoder, self.autoencoder_config.precision)
        size, objective = latent_size(self.config, self.autoencoder_config), self.config.objective

        def run(variables, frozen, condition, seed, steps):
            key = jax.random.key(seed)
            return sample_gain(
                unet, variables, autoencoder, frozen, condition, key, steps, objective.smallest_time, size,
                objective.blank_buildings,
            )  # fmt: skip

        return jax.jit(run, static_argnums=4, compiler_options=compiler_options())

    @cached_property
    def _compiled(self) -> dict[tuple, jax.stages.Compiled]:
        return {}

    def traced(self, condition: Float[np.ndarray, "batch height width channels"], steps: int) -> jax.stages.Traced:
        """The function of (variables, frozen, condition, uint32 seed) behind `predict`, ready to be compiled."""
        return self._run.trace(self.variables, self.frozen, condition, jnp.uint32(0), steps)

    def predict(self, condition: Float[np.ndarray, "batch height width channels"], steps: int, seed: int = 0) -> Gain:
        """Gain in [0, 1] for scene images in {-1, 1}; the same seed gives the same maps, whatever the batch."""
        inputs = (self.variables, self.frozen, condition, jnp.uint32(seed))
        if (condition.shape, steps) not in self._compiled:
            self._compiled[condition.shape, steps] = self.traced(condition, steps).lower().compile()
            release_freed_memory()
        return np.asarray(self._compiled[condition.shape, steps](*inputs))

    @cached_property
    def reconstructor(self) -> Reconstructor:
        """The autoencoder alone, with the buildings blanked where the model does that: what it cannot beat."""
        return Reconstructor(self.autoencoder_config, self.frozen["autoencoder"], self.config.objective.blank_buildings)


def load_run(run: Path) -> RadioMapModel | Reconstructor:
    """The newest weights of a run (averaged ones where its settings ask for them).

    Raises UserError where the folder is no run or has no checkpoint.
    """
    if not (run / "config.yaml").is_file():
        raise UserError(f"{run} is no run folder (it has no config.yaml); train one with experiments.vae or experiments.ldm")
    config = read_config(run / "config.yaml")
    if isinstance(config, VAEConfig):
        _, params, _ = load_autoencoder(run)
        return Reconstructor(config, params)
    autoencoder_config, frozen = read_adopted(run)
    state, _ = load_for_inference(run)
    source = state["ema"]["average"] if config.ema.use else state
    variables = {"params": source["params"], "batch_stats": source["batch_stats"], "constants": state["constants"]}
    return RadioMapModel(config, autoencoder_config, variables, frozen)


def load_radio_map_model(run: Path) -> RadioMapModel:
    """As `load_run`; raises UserError for an autoencoder's run, which cannot predict from a scene."""
    model = load_run(run)
    if isinstance(model, Reconstructor):
        raise UserError(f"{run} is a run of the autoencoder, which predicts nothing from a scene; give a run of experiments.ldm")
    return model
