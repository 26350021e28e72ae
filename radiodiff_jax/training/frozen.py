"""What a generator builds on, copied into its run folder once, so that the run is whole by itself.

    RUN/autoencoder/config.yaml     settings of the autoencoder of a latent space
    RUN/autoencoder/weights/        its parameters (Orbax); the averaged ones where its settings ask for them
    RUN/autoencoder/latent.json     {"scale": factor on the latents, "source": run it came from, "step": its step}
    RUN/base/config.yaml            settings of the regression that a residual flow starts from
    RUN/base/weights/               its variables
    RUN/base/source.json            {"source", "step"}

Digests of all of these lie beside them and are verified on loading, see `stored.py`.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NotRequired

import jax
import jax.numpy as jnp
import numpy as np
from typing_extensions import TypedDict

from radiodiff_jax.composition import Composition, compose
from radiodiff_jax.config import GeneratorConfig
from radiodiff_jax.config_files import read_config
from radiodiff_jax.errors import UserError
from radiodiff_jax.models.autoencoder import Autoencoder, posterior_sample, split_moments
from radiodiff_jax.models.perceptual import perceptual_weights
from radiodiff_jax.reading import OPEN, Positive, is_there, read_arrays, read_json
from radiodiff_jax.settings import GANObjectiveConfig, VAEConfig
from radiodiff_jax.spaces.latent import Latent
from radiodiff_jax.training.checkpoint_files import load_for_inference
from radiodiff_jax.training.devices import any_process, barrier, is_main_process
from radiodiff_jax.training.run_files import LATEST
from radiodiff_jax.training.stored import COPY, SourceRecord, restore, store, stored_folder, whole_folder
from radiodiff_jax.training.task import Batch
from radiodiff_jax.units import grey_to_gain

Tree = Any


class LatentRecord(TypedDict):
    """The schema of latent.json."""

    __pydantic_config__ = OPEN
    scale: Positive
    source: NotRequired[str]
    step: NotRequired[int]


class Adopted(NamedTuple):
    """A generator over what its run folder holds, and the arrays that it reads and never trains."""

    generator: Composition
    frozen: Tree


def adopt(
    config: GeneratorConfig, run: Path, vae_run: Path | None, base_run: Path | None, first_batch: Callable[[], Batch]
) -> Adopted:
    """Copy what the generator builds on into `run`, unless it is there already, and read it from there.

    `first_batch()` gives maps from which the scale of latents is measured where the settings say "auto". Raises
    UserError if something is missing, or does not fit.
    """
    needs_autoencoder, needs_base = config.space.needs_autoencoder, config.objective.needs_base
    if any_process(needs_base and not (run / "base").is_dir()):
        if base_run is None:
            raise UserError(f"{run} is new and starts from a regression, so name the regression's run with --base RUN")
        if is_main_process():
            store_base(config, run, base_run)
        barrier("base stored")
    if any_process(needs_autoencoder and not (run / "autoencoder").is_dir()):
        if vae_run is None:
            raise UserError(f"{run} is new and works on latents, so name the autoencoder's run with --vae RUN")
        if is_main_process():
            store_autoencoder(config, run, vae_run, first_batch)
        barrier("autoencoder stored")
    return read_adopted(config, run)


def read_adopted(config: GeneratorConfig, run: Path) -> Adopted:
    """The generator of a run folder with its frozen parts. Raises UserError if they are missing or damaged."""
    autoencoder, base, frozen = None, None, {}
    if config.space.needs_autoencoder:
        autoencoder, frozen = read_autoencoder(run)
    if config.objective.needs_base:
        folder = stored_folder(run, "base")
        base = read_config(folder / "config.yaml")
        frozen["base"] = restore(folder, jax.eval_shape(compose(base, autoencoder).first_variables, jax.random.key(0)))
    return Adopted(compose(config, autoencoder, base), frozen)


def read_autoencoder(run: Path) -> tuple[VAEConfig, Tree]:
    """(settings, {"autoencoder", "scale"}) of the autoencoder inside a run. Raises UserError as `read_adopted` does."""
    folder = stored_folder(run, "autoencoder")
    config = read_config(folder / "config.yaml")
    params = restore(folder, autoencoder_shapes(config))
    scale = np.float32(read_json(folder / "latent.json", LatentRecord, COPY)["scale"])
    if not (np.isfinite(scale) and scale > 0):
        raise UserError(f"{folder / 'latent.json'} has a scale of {scale} in float32, not a positive number; {COPY}")
    return config, {"autoencoder": params, "scale": jnp.float32(scale)}


def load_autoencoder(vae_run: Path, checkpoint: str | int = LATEST) -> tuple[VAEConfig, Tree, int]:
    """(settings, parameters, step) of a trained autoencoder. Raises UserError where there is none."""
    if not (vae_run / "config.yaml").is_file():
        raise UserError(
            f"{vae_run} is no run folder (it has no config.yaml); train an autoencoder first with "
            f"`python -m experiments.vae --data DIR --run {vae_run}`"
        )
    config = read_config(vae_run / "config.yaml")
    if not isinstance(config, VAEConfig):
        raise UserError(f"{vae_run} is a run of kind '{config.kind}', but an autoencoder's run (kind 'vae') is needed")
    state, step = load_for_inference(vae_run, checkpoint)
    return config, state["ema"]["average"] if config.ema.use else state["params"]["autoencoder"], step


def load_variables(config: GeneratorConfig, run: Path, checkpoint: str | int = LATEST) -> tuple[Tree, int]:
    """(variables, step) of a trained generator's network; averaged ones where its settings ask for them."""
    state, step = load_for_inference(run, checkpoint)
    source = state["ema"]["average"] if config.ema.use else state
    parts = {"params": source["params"], "batch_stats": source.get("batch_stats"), "constants": state.get("constants")}
    return {name: part for name, part in parts.items() if part}, step  # as the network's own variables


def store_autoencoder(config: GeneratorConfig, run: Path, vae_run: Path, first_batch: Callable[[], Batch]) -> None:
    """Write RUN/autoencoder from an autoencoder's run."""
    autoencoder, params, step = load_autoencoder(vae_run)
    compose(config, autoencoder)  # raises UserError where the sizes do not fit
    scale = config.space.scale_factor
    if scale == "auto":
        scale = measure_scale(autoencoder, params, first_batch())
    store(run / "autoencoder", autoencoder, params, "latent.json", {"scale": scale, "source": str(vae_run), "step": step})


def store_base(config: GeneratorConfig, run: Path, base_run: Path) -> None:
    """Write RUN/base, and RUN/autoencoder where the base works on latents, from a regression's run."""
    if not (base_run / "config.yaml").is_file():
        raise UserError(f"{base_run} is no run folder (it has no config.yaml); train a regression first with experiments.train")
    base = read_config(base_run / "config.yaml")
    if base.kind != config.kind or base.objective.name != "regression":
        raise UserError(f"{base_run} is no run of a regression; name one as --base, such as of --config pixel-tiny")
    told = [(one.space, one.image_size, one.data.cars, one.data.computed) for one in (base, config)]
    if told[0] != told[1]:
        raise UserError(f"{base_run} differs in space, image_size, data.cars or data.computed; "
                        "use its settings for what starts from it")  # fmt: skip
    variables, step = load_variables(base, base_run)
    if base.space.needs_autoencoder and not (run / "autoencoder").is_dir():
        with whole_folder(run / "autoencoder") as temporary:
            shutil.copytree(base_run / "autoencoder", temporary, dirs_exist_ok=True)
    store(run / "base", base, variables, "source.json", {"source": str(base_run), "step": step})


def autoencoder_shapes(config: VAEConfig) -> Tree:
    """Parameter shapes of an autoencoder."""
    module = Autoencoder(config.autoencoder, config.precision)
    return jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, *config.image_size, 1)))["params"]


def measure_scale(config: VAEConfig, params: Tree, batch: Batch) -> float:
    """1 / standard deviation of posterior samples over a batch of maps."""
    space = Latent(config)

    @jax.jit
    def deviation(params: Tree, batch: Batch) -> jax.Array:
        moments = space.moments({"autoencoder": params}, grey_to_gain(batch["gain"]), batch["buildings"])
        noise = jax.random.normal(jax.random.key(0), split_moments(moments)[0].shape)
        return jnp.std(posterior_sample(moments, noise))

    return float(1 / deviation(params, {name: batch[name] for name in ("gain", "buildings")}))


def describe(run: Path) -> dict[str, Any]:
    """What run.json says of what a generator builds on."""
    files = {"autoencoder": ("latent.json", LatentRecord), "base": ("source.json", SourceRecord)}
    return {
        name: read_json(run / name / file, schema, COPY) for name, (file, schema) in files.items() if is_there(run / name / file)
    }


def read_perceptual(config: GANObjectiveConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """(frozen tree, what run.json says of it). Raises UserError for a weight without a file or a bad file."""
    if config.perceptual_weight == 0:
        return {}, {"perceptual": "off"}
    if config.perceptual_weights_file is None:
        raise UserError(
            "objective.perceptual_weight is set, but VGG16's weights are not shipped: give their .npz file as "
            "objective.perceptual_weights_file (its format is in radiodiff_jax/models/perceptual.py), or set the weight to 0"
        )
    path = Path(config.perceptual_weights_file)
    arrays = read_arrays(path, None, "make it again", "name the file that holds them")
    return {"perceptual": perceptual_weights(arrays, str(path))}, {"perceptual": f"LPIPS (VGG16) from {path}"}
