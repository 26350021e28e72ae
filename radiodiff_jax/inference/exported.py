"""A model's weights by name: ours, or those of the original, so that its PyTorch code loads them."""

import numpy as np

from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.generator import Generator, Reconstructor
from radiodiff_jax.models.radiodiff import RadioDiffBackbone
from radiodiff_jax.models.torch_weights import export_weights
from radiodiff_jax.objectives.decoupled import Decoupled
from radiodiff_jax.training.digest import leaves_by_path

Tensors = dict[str, np.ndarray]


def our_tensors(model: Generator | Reconstructor) -> Tensors:
    """Every array of a model by its path in our trees, such as `variables/params/down_0/block1/norm/scale`."""
    if isinstance(model, Reconstructor):
        tree = {"params": {"autoencoder": model.params}}
    else:
        tree = {"variables": model.variables, "frozen": model.frozen}
    return {name: np.array(leaf, order="C") for name, leaf in leaves_by_path(tree).items()}


def original_tensors(model: Generator | Reconstructor) -> Tensors:
    """A state dict with the original's names and layouts, float32, as its own checkpoints have below "model".

    Raises UserError for a model that the original does not have: another backbone or objective, no latent space.
    """
    if isinstance(model, Reconstructor):
        return _contiguous(export_weights("vae", {"params": model.params}))
    config = model.config
    fits = isinstance(config.backbone, RadioDiffBackbone) and isinstance(config.objective, Decoupled)
    if not fits or not config.space.needs_autoencoder:
        raise UserError(
            f"{model.name} is {config.space.name} x {config.backbone.name} x {config.objective.name}, which the original does not "
            "have (latent x radiodiff x decoupled); export it with --names ours"
        )
    unet = export_weights("unet", model.variables)
    first_stage = export_weights("vae", {"params": model.frozen["autoencoder"]})
    named = {f"model.{name}": value for name, value in unet.items()}
    named |= {f"first_stage_model.{name}": value for name, value in first_stage.items()}
    return _contiguous(named | {"scale_factor": np.asarray(model.frozen["scale"])})


def _contiguous(tensors: Tensors) -> Tensors:
    return {name: np.array(value, np.float32, order="C") for name, value in tensors.items()}
