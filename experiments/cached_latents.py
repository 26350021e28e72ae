"""Training data for `data.latents=cached`: batches with the latents of every record, which are computed first."""

import argparse
from typing import Any

import grain

from experiments.training import open_split, reading_arguments
from radiodiff_jax.config import LDMConfig, VAEConfig
from radiodiff_jax.data.latents import LatentSource
from radiodiff_jax.data.pipeline import training_batches
from radiodiff_jax.training.latent_cache import cached_latents, check_cacheable


def latent_batches(
    arguments: argparse.Namespace, config: LDMConfig, autoencoder: VAEConfig, frozen: Any, fingerprint: str
) -> grain.DatasetIterator:
    """As the "batches" of `training.data_arguments`, with latents in the place of gains."""
    check_cacheable(config)
    source = open_split(config, arguments.data, "train")
    folder = arguments.latents or arguments.run / "latents"
    latents = cached_latents(folder, config, autoencoder, frozen, source, fingerprint)
    settings = config.training
    whole = settings.batch_size * config.optimizer.accumulate
    augment, reading = config.data.augment, reading_arguments(config)
    return training_batches(LatentSource(source, latents), whole, settings.seed, augment, **reading)
