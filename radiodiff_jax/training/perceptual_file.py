"""The perceptual term's weights, where the user has them."""

from pathlib import Path
from typing import Any

import numpy as np

from radiodiff_jax.errors import UserError
from radiodiff_jax.models.perceptual import perceptual_weights
from radiodiff_jax.settings import GANObjectiveConfig


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
    try:
        arrays = dict(np.load(path, allow_pickle=False))
    except Exception as error:  # NumPy raises OSError, ValueError, BadZipFile and more
        raise UserError(f"{path} cannot be read as an .npz file ({type(error).__name__}); make it again") from error
    return {"perceptual": perceptual_weights(arrays, str(path))}, {"perceptual": f"LPIPS (VGG16) from {path}"}
