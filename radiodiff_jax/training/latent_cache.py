"""Fills a folder of cached latents: every record of a training set through the frozen autoencoder, once."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from tqdm import tqdm

from radiodiff_jax.config import LDMConfig, VAEConfig
from radiodiff_jax.data.latents import CachedLatents, Transformed, claim_latents, latents_path
from radiodiff_jax.data.pipeline import evaluation_batches
from radiodiff_jax.data.source import RecordSource
from radiodiff_jax.data.symmetries import symmetries_of
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_whole
from radiodiff_jax.models.autoencoder import Autoencoder
from radiodiff_jax.objectives.latent_sampler import prior_latent
from radiodiff_jax.training.devices import compiler_options
from radiodiff_jax.training.digest import digest
from radiodiff_jax.training.distributed import is_main_process, barrier
from radiodiff_jax.training.ldm_task import make_unet

BATCH = 16
Encoder = Callable[[Float[np.ndarray, "batch height width 1"], Float[np.ndarray, "batch height width channels"]], Array]


def check_cacheable(config: LDMConfig) -> None:
    """Raise UserError for settings by which a record differs from one reading to the next."""
    data = config.data
    wrong = {
        "data.source": data.source != "folder",
        "data.mixture": data.mixture is not None,
        "data.buildings": data.buildings != "complete" and config.unet.prior != "none",
    }
    for name, changes in wrong.items():
        if changes:
            raise UserError(
                f"data.latents=cached needs records that stay as they are, but {name} changes them from one reading to the "
                "next; set data.latents=computed"
            )


def cached_latents(
    folder: Path, config: LDMConfig, autoencoder_config: VAEConfig, frozen: Any, source: RecordSource, fingerprint: str
) -> CachedLatents:
    """The latents of all records of `source` (and of all their symmetries where the settings augment), from `folder`.

    What is missing there is computed, file by file, so that an interrupted run goes on; of several processes the first
    one computes. `fingerprint` is that of the data. Raises UserError for a folder of something else, and for settings
    that do not allow it.
    """
    check_cacheable(config)
    symmetries = symmetries_of(source.size) if config.data.augment else 1
    channels = autoencoder_config.autoencoder.embedding_channels
    guess_channels = 0 if config.unet.prior == "none" else channels
    if is_main_process():
        facts = {
            "autoencoder": digest(frozen["autoencoder"]),
            "precision": autoencoder_config.precision.compute,
            "data": fingerprint,
            "split": config.data.split,
            "records": len(source),
            "image_size": list(source.size),
            "symmetries": symmetries,
            "first_guess": config.unet.prior,
        }
        missing = list(claim_latents(folder, facts))
        if missing:
            encode = make_encoder(config, autoencoder_config, frozen)
            depth = 2 * channels + guess_channels
            for symmetry in missing:
                compute_latents(latents_path(folder, symmetry), encode, Transformed(source, symmetry), config, depth)
    barrier("latents")
    return CachedLatents(folder, symmetries, guess_channels)


def make_encoder(config: LDMConfig, autoencoder_config: VAEConfig, frozen: Any) -> Encoder:
    """The compiled encoder: (gain, condition) of a batch -> moments of the gain, then the mean of the first guess."""
    autoencoder = Autoencoder(autoencoder_config.autoencoder, autoencoder_config.precision)
    unet = make_unet(config, autoencoder_config)

    def encode(
        params: Any, gain: Float[Array, "batch height width 1"], condition: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch h w latents"]:
        moments = autoencoder.apply({"params": params}, 2 * gain - 1, method="encode")
        guess = prior_latent(unet, autoencoder, {"autoencoder": params, "scale": jnp.float32(1)}, condition)
        return jnp.concatenate([moments] if guess is None else [moments, guess], axis=-1).astype(jnp.float32)

    return partial(jax.jit(encode, compiler_options=compiler_options()), frozen["autoencoder"])


def compute_latents(path: Path, encode: Encoder, source: RecordSource, config: LDMConfig, depth: int) -> None:
    """Write the file of one symmetry, whole or not at all; `depth` is the number of its channels."""
    reading = {"threads": config.data.threads, "prefetch": config.data.prefetch}

    def write(temporary: Path) -> None:
        stored = None
        with tqdm(total=len(source), desc=path.stem, unit="map") as bar:
            for batch in evaluation_batches(source, BATCH, **reading):
                real = int(np.sum(batch["mask"] > 0))
                found = np.asarray(encode(batch["gain"], batch["condition"]))[:real]
                if stored is None:
                    shape = (len(source), *found.shape[1:3], depth)
                    stored = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
                stored[bar.n : bar.n + real] = found
                bar.update(real)
        stored.flush()

    write_whole(path, write)
