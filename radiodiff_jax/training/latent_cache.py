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

from radiodiff_jax.composition import Composition, scene_of
from radiodiff_jax.config import GeneratorConfig
from radiodiff_jax.data.latents import CachedLatents, Transformed, checksum, claim_latents, latents_path, record_type
from radiodiff_jax.data.pipeline import evaluation_batches
from radiodiff_jax.data.records import RecordSource
from radiodiff_jax.data.symmetries import symmetries_of
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_whole
from radiodiff_jax.training.devices import barrier, compiler_options, is_main_process
from radiodiff_jax.training.digest import digest
from radiodiff_jax.training.task import Batch
from radiodiff_jax.units import grey_to_gain

BATCH = 16
Encoder = Callable[[Batch], Float[Array, "batch h w latents"]]


def check_cacheable(config: GeneratorConfig) -> None:
    """Raise UserError for settings by which a record differs from one reading to the next."""
    data = config.data
    if not config.space.needs_autoencoder or config.objective.needs_base:
        raise UserError(
            "data.latents=cached is for a latent space without a base regression; set data.latents=computed"
        )
    wrong = {
        "data.source": data.source != "folder",
        "data.mixture": data.mixture is not None,
        "data.buildings": data.buildings != "complete",
    }
    for name, changes in wrong.items():
        if changes:
            raise UserError(
                f"data.latents=cached needs records that stay as they are, but {name} changes them from one reading to the "
                "next; set data.latents=computed"
            )


def cached_latents(folder: Path, generator: Composition, frozen: Any, source: RecordSource, fingerprint: str) -> CachedLatents:
    """The latents of all records of `source` (and of all their symmetries where the settings augment), from `folder`.

    What is missing there is computed, file by file, so that an interrupted run goes on; of several processes the main
    one computes. `fingerprint` is that of the data. Raises UserError for a folder of something else, and for settings
    that do not allow it.
    """
    config, autoencoder = generator.config, generator.space.config
    check_cacheable(config)
    symmetries = symmetries_of(source.size) if config.data.augment else 1
    estimate_channels = generator.space.channels if generator.starts_at_estimate else 0
    if is_main_process():
        facts = {
            "autoencoder": digest(frozen["autoencoder"]),
            "precision": autoencoder.precision.compute,
            "fill": autoencoder.fill,
            "data": fingerprint,
            "split": config.data.split,
            "records": len(source),
            "image_size": list(source.size),
            "symmetries": symmetries,
            "estimate": config.estimate,
        }
        missing = list(claim_latents(folder, facts))
        if missing:
            encode = make_encoder(generator, frozen)
            depth = 2 * generator.space.channels + estimate_channels
            for symmetry in missing:
                compute_latents(latents_path(folder, symmetry), encode, Transformed(source, symmetry), config, depth)
    barrier("latents")
    return CachedLatents(folder, symmetries, estimate_channels, len(source))


def make_encoder(generator: Composition, frozen: Any) -> Encoder:
    """The compiled encoder of a batch: moments of the gain, then the mean of the estimate where there is one."""
    unscaled = frozen | {"scale": jnp.float32(1)}

    def encode(frozen: Any, batch: Batch) -> Float[Array, "batch h w latents"]:
        scene = scene_of(batch)
        moments = generator.space.moments(frozen, grey_to_gain(batch["gain"]), scene.buildings)
        estimate = generator.estimate(frozen, scene)
        return jnp.concatenate([moments] if estimate is None else [moments, estimate], axis=-1).astype(jnp.float32)

    return partial(jax.jit(encode, compiler_options=compiler_options()), unscaled)


def compute_latents(path: Path, encode: Encoder, source: RecordSource, config: GeneratorConfig, depth: int) -> None:
    """Write the file of one symmetry, whole or not at all; `depth` is the number of its channels.

    Raises UserError for an autoencoder whose answers are not finite.
    """
    reading = {"threads": config.data.threads, "prefetch": config.data.prefetch}

    def write(temporary: Path) -> None:
        stored = None
        with tqdm(total=len(source), desc=path.stem, unit="map") as bar:
            for batch in evaluation_batches(source, BATCH, **reading):
                real = int(np.sum(batch["mask"] > 0))
                found = np.asarray(encode(batch))[:real]
                if stored is None:
                    kind = record_type((*found.shape[1:3], depth))
                    stored = np.lib.format.open_memmap(temporary, "w+", kind, (len(source),))
                if not np.isfinite(found).all():
                    raise UserError("the autoencoder answers numbers that are not finite; train it again, or take another")
                stored["latents"][bar.n : bar.n + real] = found
                stored["checksum"][bar.n : bar.n + real] = [checksum(one) for one in found]
                bar.update(real)
        stored.flush()

    write_whole(path, write)
