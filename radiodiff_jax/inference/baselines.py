"""Predictors that need no training: what stands beside every model, and what large scenes are beyond its windows."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Float

from radiodiff_jax.data.pipeline import Batch
from radiodiff_jax.features import Scene, estimate_gain
from radiodiff_jax.propagation import distance_law
from radiodiff_jax.spaces.buildings import blank_buildings

Predictor = Callable[[Batch], Float[np.ndarray, "batch height width"]]


def predict_distance_law(batch: Batch) -> Float[np.ndarray, "batch height width"]:
    """The distance law with buildings blanked, which knows of walls only that they are dark."""
    pairs = zip(batch["buildings"], batch["position"], strict=True)
    return np.stack([distance_law(buildings, *map(int, position)) for buildings, position in pairs])


def estimate_predictor(kind: str) -> Predictor:
    """An estimate that needs no training, with buildings blanked: "line_of_sight" or "path"."""

    @jax.jit
    def run(buildings: jax.Array, position: jax.Array) -> jax.Array:
        return blank_buildings(estimate_gain(kind, Scene(buildings, position))[..., 0], buildings)

    return lambda batch: np.asarray(run(batch["buildings"], batch["position"]))


BASELINES: dict[str, Predictor] = {
    "distance law": predict_distance_law,
    "line-of-sight estimate": estimate_predictor("line_of_sight"),
    "path estimate": estimate_predictor("path"),
}
"""What stands beside every model, none of it trained."""
