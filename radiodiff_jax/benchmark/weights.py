"""Weights and maps for timing: of the right shapes, and otherwise random."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from radiodiff_jax.config import LDMConfig, VAEConfig
from radiodiff_jax.inference.trained import RadioMapModel
from radiodiff_jax.models.autoencoder import Autoencoder
from radiodiff_jax.training.ldm_task import first_variables, latent_size
from radiodiff_jax.training.task import Batch, Tree


def filled(shapes: Any) -> Any:
    """Weights of these shapes for timing: one block of normal numbers over and over, scaled by the fan-in."""
    block = np.random.default_rng(0).standard_normal(1 << 20, dtype=np.float32)

    def fill(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        scale = np.float32(1 / math.sqrt(math.prod(leaf.shape[:-1]))) if len(leaf.shape) > 1 else np.float32(1)
        return jnp.asarray(np.resize(block * scale, leaf.shape), leaf.dtype)

    return jax.tree.map(fill, shapes)


def random_autoencoder(config: VAEConfig, size: tuple[int, int, int], encoder: bool) -> tuple[Autoencoder, Any]:
    """(module, parameters), of the encoder too only where asked for; `size` is the latent's."""
    module = Autoencoder(config.autoencoder, config.precision)
    if encoder:
        image = jnp.zeros((1, *config.image_size, config.autoencoder.image_channels))
        shapes = jax.eval_shape(lambda key: module.init(key, image), jax.random.key(1))
    else:
        shapes = jax.eval_shape(lambda key: module.init(key, jnp.zeros((1, *size)), method="decode"), jax.random.key(1))
    return module, filled(shapes["params"])


def random_frozen(config: LDMConfig, autoencoder_config: VAEConfig, encoder: bool) -> Tree:
    """What is frozen under a diffusion model."""
    _, params = random_autoencoder(autoencoder_config, latent_size(config, autoencoder_config), encoder)
    return {"autoencoder": params, "scale": jnp.float32(1)}


def random_model(config: LDMConfig, autoencoder_config: VAEConfig) -> RadioMapModel:
    """A model with random weights; of the autoencoder only what prediction uses."""
    shapes = jax.eval_shape(lambda key: first_variables(config, autoencoder_config, key), jax.random.key(0))
    frozen = random_frozen(config, autoencoder_config, encoder=config.unet.prior != "none")
    return RadioMapModel(config, autoencoder_config, filled(shapes), frozen)


def random_condition(config: LDMConfig, batch: int) -> np.ndarray:
    """Condition images: a third of the pixels are buildings, and one is the transmitter."""
    random = np.random.default_rng(0)
    condition = -np.ones((batch, *config.image_size, config.unet.condition_channels), np.float32)
    condition[..., 0] = np.where(random.random(condition.shape[:3]) < 1 / 3, 1, -1)
    condition[:, config.image_size[0] // 2, config.image_size[1] // 2, 1] = 1
    return condition


def random_batch(config: LDMConfig | VAEConfig, condition_of: LDMConfig, batch: int) -> Batch:
    """A training batch, without what tells of the maps' numbers."""
    gain = np.random.default_rng(1).random((batch, *config.image_size, 1), np.float32)
    return {"gain": gain, "condition": random_condition(condition_of, batch)}


def random_latent_batch(config: LDMConfig, autoencoder_config: VAEConfig, batch: int) -> Batch:
    """A training batch that holds latents in the place of gains, see `make_ldm_task`."""
    random = np.random.default_rng(2)
    height, width, channels = latent_size(config, autoencoder_config)
    made = {"moments": random.standard_normal((batch, height, width, 2 * channels), np.float32)}
    if config.unet.prior != "none":
        made["guess"] = random.standard_normal((batch, height, width, channels), np.float32)
    return made | {"condition": random_condition(config, batch)}
