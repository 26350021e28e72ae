"""Weights from where they are: a run folder, a model file, or the models that come with the package."""

from pathlib import Path

from radiodiff_jax.config_files import read_config
from radiodiff_jax.errors import UserError, nearest, shown
from radiodiff_jax.inference.calibration import read_calibration
from radiodiff_jax.inference.generator import Generator, Reconstructor
from radiodiff_jax.inference.model_file import SUFFIX, read_model_file, shipped_models, shipped_path
from radiodiff_jax.reading import is_there
from radiodiff_jax.settings import VAEConfig
from radiodiff_jax.training.digest import digest
from radiodiff_jax.training.run_files import LATEST


def load_run(run: Path, checkpoint: str | int = LATEST) -> Generator | Reconstructor:
    """The weights of a run's checkpoint: "latest", "best" (lowest validation RMSE), or the one of a step.

    Averaged weights where its settings ask for them. Raises UserError where the folder is no run or has no checkpoint.
    """
    if not (run / "config.yaml").is_file():
        raise UserError(f"{run} is no run folder (it has no config.yaml); train one with experiments.train or experiments.vae")
    # Here, since it loads Orbax and Grain, which takes half a second.
    from radiodiff_jax.training.frozen import load_autoencoder, load_variables, read_adopted

    config = read_config(run / "config.yaml")
    if isinstance(config, VAEConfig):
        _, params, _ = load_autoencoder(run, checkpoint)
        return Reconstructor(config, params, config.fill)
    composition, frozen = read_adopted(config, run)
    variables, _ = load_variables(config, run, checkpoint)
    known = read_calibration(run)
    fits = known is not None and known.digest == digest(variables)  # another checkpoint has other errors
    return Generator(composition, variables, frozen, str(run), calibration=known if fits else None)


def load_model(name: str | Path) -> Generator:
    """A model that comes with the package, by its name, or one in a file (see `model_file`).

    Raises UserError for an unknown name, and for a file as `read_model_file` does.
    """
    path = Path(name)
    if path.suffix != SUFFIX:
        if str(name) not in shipped_models():
            raise UserError(
                f"there is no model {shown(str(name))}{nearest(str(name), shipped_models())}; "
                f"choose one of {', '.join(shipped_models())} "
                f"or give the path of a {SUFFIX} file"
            )
        path = shipped_path(str(name))
    found = read_model_file(path)
    return Generator(found.composition, found.variables, found.frozen, str(name), found.record, found.calibration)


def load_generator(run_or_model: str | Path, checkpoint: str | int = LATEST) -> Generator:
    """The generator of a run folder (its `checkpoint`), of a model file, or one that comes with the package, by name.

    Raises UserError as `load_run` and `load_model` do, and for an autoencoder's run, which predicts nothing from a scene.
    """
    if not Path(run_or_model).is_dir() and (str(run_or_model) in shipped_models() or Path(run_or_model).suffix == SUFFIX):
        return load_model(run_or_model)
    if not is_there(Path(run_or_model)):
        names = shipped_models()
        raise UserError(
            f"{run_or_model} is neither a run folder nor a model{nearest(str(run_or_model), names)}; give a run of "
            f"experiments.train or ldm, a {SUFFIX} file, or one of {', '.join(names)}"
        )
    model = load_run(Path(run_or_model), checkpoint)
    if isinstance(model, Reconstructor):
        raise UserError(
            f"{run_or_model} is a run of an autoencoder, which predicts nothing from a scene; give one of experiments.train or ldm"
        )
    return model
