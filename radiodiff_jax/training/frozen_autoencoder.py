"""The autoencoder under a diffusion run: copied into the run folder once, so that the run is whole by itself.

    RUN/autoencoder/config.yaml     settings of the autoencoder
    RUN/autoencoder/weights/        its parameters (Orbax); the averaged ones where its settings ask for them
    RUN/autoencoder/latent.json     {"scale": factor on the latents, "source": run it came from, "step": its step}
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from radiodiff_jax.config import LDMConfig, VAEConfig
from radiodiff_jax.config_files import read_config, write_config
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_json
from radiodiff_jax.models.autoencoder import Autoencoder, posterior_sample, split_moments
from radiodiff_jax.training.checkpoints import load_for_inference
from radiodiff_jax.training.distributed import any_process, first_process, meet

Frozen = dict[str, Any]  # {"autoencoder": parameters, "scale": float32 scalar}


def load_autoencoder(vae_run: Path) -> tuple[VAEConfig, Any, int]:
    """(settings, parameters, step) of a trained autoencoder. Raises UserError where there is none."""
    if not (vae_run / "config.yaml").is_file():
        raise UserError(
            f"{vae_run} is no run folder (it has no config.yaml); train an autoencoder first with "
            f"`python -m experiments.vae --data DIR --run {vae_run}`"
        )
    config = read_config(vae_run / "config.yaml")
    if not isinstance(config, VAEConfig):
        raise UserError(f"{vae_run} is a run of kind '{config.kind}', but an autoencoder's run (kind 'vae') is needed")
    state, step = load_for_inference(vae_run)
    source = state["ema"]["average"] if config.ema.use else state
    return config, source["params"]["autoencoder"], step


def adopt_autoencoder(
    config: LDMConfig, run: Path, vae_run: Path | None, latent_batch: Callable[[], np.ndarray]
) -> tuple[VAEConfig, Frozen]:
    """Copy the autoencoder of `vae_run` into `run`, unless it is there already, and read it from there.

    `latent_batch()` gives gains [batch, height, width, 1] from which the scale is measured where the settings say
    "auto": 1 / standard deviation of the posterior samples. Raises UserError if there is no autoencoder, or if the
    sizes do not fit.
    """
    folder = run / "autoencoder"
    if any_process(not folder.is_dir()):
        if vae_run is None:
            raise UserError(f"{run} is new, so name the autoencoder's run with --vae RUN")
        autoencoder_config, params, step = load_autoencoder(vae_run)
        check_fit(config, autoencoder_config, vae_run)
        scale = config.objective.scale_factor
        if scale == "auto":
            scale = measure_scale(autoencoder_config, params, latent_batch())
        if first_process():
            _store(folder, autoencoder_config, params, {"scale": scale, "source": str(vae_run), "step": step})
        meet("autoencoder stored")
    return read_adopted(run)


def read_adopted(run: Path) -> tuple[VAEConfig, Frozen]:
    """The autoencoder inside a diffusion run. Raises UserError if it is missing or damaged."""
    folder = (run / "autoencoder").resolve()
    if not folder.is_dir():
        raise UserError(f"{run} has no autoencoder folder; it is no run of the diffusion model, or was not copied whole")
    config = read_config(folder / "config.yaml")
    try:
        latent = json.loads((folder / "latent.json").read_text())
        with ocp.StandardCheckpointer() as checkpointer:
            params = checkpointer.restore(folder / "weights", autoencoder_shapes(config))
    except Exception as error:
        raise UserError(f"the autoencoder in {folder} cannot be read ({type(error).__name__}); copy the run again") from error
    return config, {"autoencoder": params, "scale": jnp.float32(latent["scale"])}


def autoencoder_shapes(config: VAEConfig) -> Any:
    """Parameter shapes of an autoencoder, on the first local device."""
    module = Autoencoder(config.autoencoder, config.precision)
    image = jnp.zeros((1, *config.image_size, config.autoencoder.image_channels))
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    shapes = jax.eval_shape(module.init, jax.random.key(0), image)["params"]
    return jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding), shapes)


def check_fit(config: LDMConfig, autoencoder: VAEConfig, vae_run: Path) -> None:
    """Raise UserError unless the U-Net can halve the latent of this autoencoder as often as it wants to."""
    factor = autoencoder.autoencoder.downsampling
    halvings = len(config.unet.channel_multipliers) - 1
    for side in config.image_size:
        if side % (factor * 2**halvings):
            raise UserError(
                f"image_size {list(config.image_size)} is {factor} times the latent of {vae_run}, which the U-Net halves "
                f"{halvings} times; both sides must be multiples of {factor * 2**halvings}"
            )


def measure_scale(config: VAEConfig, params: Any, gain: np.ndarray) -> float:
    """1 / standard deviation of posterior samples over a batch of gains in [0, 1]."""
    module = Autoencoder(config.autoencoder, config.precision)

    @jax.jit
    def deviation(params: Any, gain: jax.Array) -> jax.Array:
        moments = module.apply({"params": params}, 2 * gain - 1, method="encode")
        noise = jax.random.normal(jax.random.key(0), split_moments(moments)[0].shape)
        return jnp.std(posterior_sample(moments, noise))

    return float(1 / deviation(params, gain))


def _store(folder: Path, config: VAEConfig, params: Any, latent: dict[str, Any]) -> None:
    """Write everything beside its place, then rename."""
    temporary = folder.with_name(f".writing-{os.getpid()}-autoencoder").resolve()
    try:
        temporary.mkdir(parents=True)
        write_config(temporary / "config.yaml", config)
        write_json(temporary / "latent.json", latent)
        alone = ocp.options.MultiprocessingOptions(active_processes={0}, barrier_sync_key_prefix="autoencoder")
        with ocp.StandardCheckpointer(multiprocessing_options=alone) as checkpointer:
            checkpointer.save(temporary / "weights", jax.tree.map(np.asarray, params))
            checkpointer.wait_until_finished()
        temporary.rename(folder.resolve())
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def describe(run: Path) -> dict[str, Any]:
    """What run.json says of the autoencoder under a diffusion run."""
    return {"autoencoder": json.loads((run / "autoencoder" / "latent.json").read_text())}
