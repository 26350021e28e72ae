"""Predictors that need no training: what stands beside every model, and what large scenes are beyond its windows."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Float

from radiodiff_jax.features import COMPUTED_ESTIMATES, Scene, estimate_gain
from radiodiff_jax.propagation import distance_law
from radiodiff_jax.spaces.buildings import blank_buildings
from radiodiff_jax.units import grey_to_gain

Batch = dict[str, np.ndarray]  # as data/pipeline.py makes it, which loads Grain
Predictor = Callable[[Batch], Float[np.ndarray, "batch height width"]]


def predict_distance_law(batch: Batch) -> Float[np.ndarray, "batch height width"]:
    """The distance law with buildings blanked, which knows of walls only that they are dark."""
    pairs = zip(batch["buildings"], batch["position"], strict=True)
    return np.stack([distance_law(buildings, *map(int, position)) for buildings, position in pairs])


def estimate_predictor(kind: str) -> Predictor:
    """An estimate that needs no training (see `features.estimate_gain`), with buildings blanked; batches hold the maps that
    it is made of, in grey levels."""
    maps = COMPUTED_ESTIMATES.get(kind, ())

    @jax.jit
    def run(buildings: jax.Array, position: jax.Array, computed: dict[str, jax.Array]) -> jax.Array:
        scene = Scene(buildings, position, computed={name: grey_to_gain(grey) for name, grey in computed.items()})
        return blank_buildings(estimate_gain(kind, scene)[..., 0], buildings)

    return lambda batch: np.asarray(run(batch["buildings"], batch["position"], {name: batch[name] for name in maps}))


BASELINES: dict[str, Predictor] = {
    "distance law": predict_distance_law,
    "line-of-sight estimate": estimate_predictor("line_of_sight"),
    "path estimate": estimate_predictor("path"),
}
"""What stands beside every model, none of it trained."""
COMPUTED_BASELINES = {"dominant path model": "dominant_path", "ray estimate": "rays"}
"""Further ones, by the estimate, beside a model that is told of the maps that they are made of."""
