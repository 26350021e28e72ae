"""Figures of merit of a model over a split, beside the distance law and, for a latent model, its autoencoder."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from radiodiff_jax.data.pipeline import Batch, buildings_of, chosen_records, evaluation_batches
from radiodiff_jax.data.records import RecordSource
from radiodiff_jax.distance_law import distance_law
from radiodiff_jax.inference.error_profile import ErrorProfile
from radiodiff_jax.inference.evaluation_files import named
from radiodiff_jax.inference.extremes import choose_extremes, extreme_maps
from radiodiff_jax.inference.trained import RadioMapModel, Reconstructor
from radiodiff_jax.metrics import Figures, map_figures, summarise
from radiodiff_jax.models.prior import guess_gain, in_sight
from radiodiff_jax.training.devices import describe_devices

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


@jax.jit
def pixels_in_sight(
    buildings: Bool[np.ndarray, "batch height width"], position: Int[np.ndarray, "batch 2"]
) -> Bool[jax.Array, "batch height width"]:
    """Whether the straight line from the transmitter at `position` (row, column) to a pixel crosses no building pixel."""
    row, column = position.astype(jnp.float32).T
    down = jnp.arange(buildings.shape[1], dtype=jnp.float32)[None, :, None] - row[:, None, None]
    across = jnp.arange(buildings.shape[2], dtype=jnp.float32)[None, None, :] - column[:, None, None]
    return in_sight(buildings, row, column, down, across)


def evaluate(
    predictors: dict[str, Predictor], batches: Iterable[Batch], seed: int = 0, keep: Callable | None = None
) -> dict[str, dict[str, Any]]:
    """Run every predictor over the batches (gain in [0, 1] out) and summarise.

    Returns name -> {"figures": summary (see metrics.summarise), "maps": figure -> values, one a map, "errors": see
    `ErrorProfile.to_json`, "ms_per_map"}. The first batch is run once more beforehand, so that compilation does not
    count as time. `keep(name, batch, row, output)` sees every predicted map.
    """
    rows: dict[str, list[Figures]] = {name: [] for name in predictors}
    profiles: dict[str, ErrorProfile] = {}
    seconds = dict.fromkeys(predictors, 0.0)
    identities: list[tuple[int, int]] = []
    for number, batch in enumerate(batches):
        real = np.flatnonzero(batch["mask"] > 0)
        walls = buildings_of(batch)
        seen = np.asarray(pixels_in_sight(walls, batch["position"]))
        identities += [(int(batch["map"][i]), int(batch["transmitter"][i])) for i in real]
        for name, predict in predictors.items():
            if number == 0:
                predict(batch)
                profiles[name] = ErrorProfile(walls.shape[1:])
            start = time.perf_counter()
            output = predict(batch)
            seconds[name] += time.perf_counter() - start
            for i in real:
                place = tuple(int(x) for x in batch["position"][i])
                truth, prediction = batch["gain"][i, ..., 0], output[i, ..., 0]
                rows[name].append(map_figures(truth, prediction, walls[i], place))
                profiles[name].add(truth, prediction, walls[i], place, seen[i])
                if keep is not None:
                    keep(name, batch, i, prediction)
    layouts = [number for number, _ in identities]
    return {
        name: {
            "figures": summarise(figures, layouts, seed),
            "maps": columns(identities, figures),
            "errors": profiles[name].to_json(),
            "ms_per_map": 1000 * seconds[name] / len(figures),
        }
        for name, figures in rows.items()
    }


def columns(identities: list[tuple[int, int]], figures: list[Figures]) -> dict[str, list[Any]]:
    """One list a figure, of one value a map to 6 digits; the sums that pooled figures are made of are left out."""
    names = [name for name in figures[0] if name.rsplit("/", 1)[-1] not in ("squared_error", "squared_truth", "pixels")]
    table: dict[str, list[Any]] = {
        "map": [number for number, _ in identities],
        "transmitter": [transmitter for _, transmitter in identities],
    }
    return table | {
        name: [None if one[name] is None else float(f"{one[name]:.6g}") for one in figures] for name in names
    }


def evaluate_steps(
    model: RadioMapModel | Reconstructor, source: RecordSource, steps: Sequence[int], batch_size: int,
    count: int | None = None, keep: Callable | None = None, progress: Callable[[Iterable], Iterable] = iter,
) -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]:  # fmt: skip
    """Evaluate a run over a split for each number of diffusion steps: [(result, its extreme maps)].

    A result is what the JSON file holds of it: {"steps", "network_evaluations", "radio_maps", "layouts", "batch_size",
    "devices", "results": see `evaluate`, "extremes": see
    `evaluation_files.named`}. What does not depend on the steps is
    computed once. An autoencoder has no steps: `steps` is left aside, and there is one result with 0.
    `keep(steps, batch, row, output)` sees every map of the run's own prediction.
    """
    predictors: dict[str, Predictor] = {"distance law": law_predictor, "line-of-sight guess": guess_predictor}
    own: dict[str, int] = {}
    if isinstance(model, RadioMapModel):
        for number in steps:
            own[f"model {number}"] = number
            predictors[f"model {number}"] = lambda batch, number=number: model.predict(batch["condition"], number)
        predictors["autoencoder"] = model.reconstructor
    else:
        own["autoencoder"] = 0
        predictors["autoencoder"] = model

    def keep_own(name: str, batch: Batch, row: int, output: np.ndarray) -> None:
        if keep is not None and name in own:
            keep(own[name], batch, row, output)

    batches = progress(evaluation_batches(source, batch_size, count))
    results = evaluate(predictors, batches, keep=keep_own)
    index = chosen_records(len(source), count)
    found = []
    for name, number in own.items():
        maps = results[name]["maps"]
        chosen = choose_extremes(maps["raw/all/rmse"], maps["map"])
        arrays = extreme_maps(
            source, {kind: [index[row] for row in rows] for kind, rows in chosen.items()}, predictors[name], batch_size
        )
        shown = {
            "model" if one == name and number else one: result
            for one, result in results.items()
            if one == name or one not in own
        }
        result = {
            "steps": number,
            "network_evaluations": number + 1 if number else 0,
            "radio_maps": len(maps["map"]),
            "layouts": len(set(maps["map"])),
            "batch_size": batch_size,
            "devices": describe_devices(),
            "extremes": named(arrays),
            "results": shown,
        }
        found.append((result, arrays))
    return found
