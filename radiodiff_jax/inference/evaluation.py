"""Figures of merit of a model over a split, beside the distance law and, for a latent model, its autoencoder."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from radiodiff_jax.distance_law import distance_law
from radiodiff_jax.metrics import Figures, map_figures, summarise
from radiodiff_jax.models.prior import guess_gain

Batch = dict[str, np.ndarray]
Predictor = Callable[[Batch], Float[np.ndarray, "batch height width 1"]]


def law_predictor(batch: Batch) -> Float[np.ndarray, "batch height width 1"]:
    """The distance law with buildings blanked, which knows of walls only that they are dark."""
    walls = batch["condition"][..., 0] > 0
    maps = [distance_law(wall, *map(int, place)) for wall, place in zip(walls, batch["position"], strict=True)]
    return np.stack(maps)[..., None]


def guess_predictor(batch: Batch) -> Float[np.ndarray, "batch height width 1"]:
    """The guess by distance and line of sight that models with `unet.prior: sight` start from."""
    return np.asarray(_guess(batch["condition"]))


_guess = jax.jit(guess_gain)


def evaluate(
    predictors: dict[str, Predictor], batches: Iterable[Batch], seed: int = 0, keep: Callable | None = None
) -> dict[str, dict[str, Any]]:
    """Run every predictor over the batches (gain in [0, 1] out) and summarise.

    Returns name -> {"figures": summary (see metrics.summarise), "maps": one row a map, "ms_per_map"}. The first batch
    is run once more beforehand, so that compilation does not count as time. `keep(name, batch, row, output)` sees every
    predicted map.
    """
    rows: dict[str, list[Figures]] = {name: [] for name in predictors}
    seconds = dict.fromkeys(predictors, 0.0)
    identities: list[tuple[int, int]] = []
    for number, batch in enumerate(batches):
        real = np.flatnonzero(batch["mask"] > 0)
        walls = batch["condition"][..., 0] > 0
        identities += [(int(batch["map"][i]), int(batch["transmitter"][i])) for i in real]
        for name, predict in predictors.items():
            if number == 0:
                predict(batch)
            start = time.perf_counter()
            output = predict(batch)
            seconds[name] += time.perf_counter() - start
            for i in real:
                place = tuple(int(x) for x in batch["position"][i])
                rows[name].append(map_figures(batch["gain"][i, ..., 0], output[i, ..., 0], walls[i], place))
                if keep is not None:
                    keep(name, batch, i, output[i, ..., 0])
    layouts = [number for number, _ in identities]
    return {
        name: {
            "figures": summarise(figures, layouts, seed),
            "maps": [
                {"map": number, "transmitter": transmitter, **one}
                for (number, transmitter), one in zip(identities, figures, strict=True)
            ],
            "ms_per_map": 1000 * seconds[name] / len(figures),
        }
        for name, figures in rows.items()
    }
