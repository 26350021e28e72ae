"""Figures of merit of a model over a split, beside the baselines and, for a latent space, its autoencoder."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from radiodiff_jax.data.pipeline import Batch, buildings_of, chosen_records, evaluation_batches
from radiodiff_jax.data.records import RecordSource
from radiodiff_jax.features import COMPUTED_ESTIMATES, Scene
from radiodiff_jax.inference.baselines import BASELINES, COMPUTED_BASELINES, Predictor, estimate_predictor
from radiodiff_jax.inference.calibration import Calibration, Intervals
from radiodiff_jax.inference.error_profile import ErrorProfile
from radiodiff_jax.inference.evaluation_files import named
from radiodiff_jax.inference.extremes import choose_extremes, extreme_maps
from radiodiff_jax.inference.generator import Generator, Reconstructor
from radiodiff_jax.inference.spread_profile import SpreadProfile, count_ratios
from radiodiff_jax.metrics import Figures, map_figures, summarise
from radiodiff_jax.training.devices import describe_devices
from radiodiff_jax.training.digest import digest
from radiodiff_jax.units import grey_to_gain


@dataclass(frozen=True)
class WithSpread:
    """A predictor that says how sure it is."""

    predict: Callable[[Batch], tuple[np.ndarray, np.ndarray]]
    """(gain, deviation) [batch, height, width]."""
    intervals: Intervals

    def __call__(self, batch: Batch) -> Float[np.ndarray, "batch height width"]:
        """The gain alone."""
        return self.predict(batch)[0]


@jax.jit
def pixels_in_sight(
    buildings: Bool[np.ndarray, "batch height width"], position: Int[np.ndarray, "batch 2"]
) -> Bool[jax.Array, "batch height width"]:
    """Whether the straight line from the transmitter at `position` (row, column) to a pixel crosses no building pixel."""
    return Scene(buildings, position).rays.in_sight


def evaluate(
    predictors: dict[str, Predictor], batches: Iterable[Batch], seed: int = 0, keep: Callable | None = None
) -> dict[str, dict[str, Any]]:
    """Run every predictor over the batches (gain in [0, 1] out) and summarise.

    Returns name -> {"figures": summary (see metrics.summarise), "maps": figure -> values, one a map, "errors": see
    `ErrorProfile.to_json`, "ms_per_map", for a `WithSpread` also "spread": see `SpreadProfile.to_json`}. The
    first batch is run once more beforehand, so that compilation does not count as time. `keep(name, batch, row, output)`
    sees every predicted map.
    """
    rows: dict[str, list[Figures]] = {name: [] for name in predictors}
    profiles: dict[str, ErrorProfile] = {}
    spreads = {name: SpreadProfile(one.intervals) for name, one in predictors.items() if isinstance(one, WithSpread)}
    seconds = dict.fromkeys(predictors, 0.0)
    identities: list[tuple[int, int]] = []
    for number, batch in enumerate(batches):
        real = np.flatnonzero(batch["mask"] > 0)
        walls, gain = buildings_of(batch), grey_to_gain(batch["gain"])
        seen = np.asarray(pixels_in_sight(walls, batch["position"]))
        identities += [(int(batch["map"][i]), int(batch["transmitter"][i])) for i in real]
        for name, predict in predictors.items():
            if number == 0:
                predict(batch)
                profiles[name] = ErrorProfile(walls.shape[1:])
            start = time.perf_counter()
            output, deviation = predict.predict(batch) if name in spreads else (predict(batch), None)
            seconds[name] += time.perf_counter() - start
            for i in real:
                place = tuple(int(x) for x in batch["position"][i])
                truth, prediction = gain[i], output[i]
                rows[name].append(map_figures(truth, prediction, walls[i], place))
                profiles[name].add(truth, prediction, walls[i], place, seen[i])
                if deviation is not None:
                    spreads[name].add(truth, prediction, deviation[i], walls[i], batch["map"][i])
                if keep is not None:
                    keep(name, batch, i, prediction)
    layouts = [number for number, _ in identities]
    return {
        name: {
            "figures": summarise(figures, layouts, seed),
            "maps": columns(identities, figures),
            "errors": profiles[name].to_json(),
            "ms_per_map": 1000 * seconds[name] / len(figures),
            **({"spread": spreads[name].to_json(seed)} if name in spreads else {}),
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


def own_predictor(model: Generator, steps: int, samples: int) -> Predictor:
    """A generator by so many steps; with its spread where it has one."""
    if model.predicts_error or samples > 1:
        model.check_spread(samples)
        predict = lambda batch: model.predict_spread(batch, steps, samples=samples)  # noqa: E731
        return WithSpread(predict, model.intervals(steps, samples))
    return lambda batch: model.predict_batch(batch, steps)


def calibration_of(model: Generator | Reconstructor, steps: int, samples: int) -> dict[str, Any] | None:
    """What the factors of a generator's intervals were fitted on; None where they are not calibrated."""
    if not (isinstance(model, Generator) and model.calibration and model.intervals(steps, samples).factors):
        return None
    return model.calibration.fitted_on


def fit_calibration(
    model: Generator, batches: Iterable[Batch], steps: int, samples: int, fitted_on: dict[str, Any]
) -> Calibration:
    """Factors that make the model's intervals hold as often as they say on these maps (validation maps; see
    `calibration`); `fitted_on` says which. Raises UserError for a model that does not say how sure it is."""
    model.check_spread(samples)

    def maps():
        for batch in batches:
            prediction, deviation = model.predict_spread(batch, steps, samples=samples)
            walls, gain = buildings_of(batch), grey_to_gain(batch["gain"])
            for i in np.flatnonzero(batch["mask"] > 0):
                yield gain[i], prediction[i], deviation[i], walls[i], int(batch["map"][i])

    counts = count_ratios(maps())
    told = fitted_on | {"radio_maps": counts.maps, "layouts": len(counts.layouts), "pixels": counts.pixels}
    family = model.intervals(steps, samples).family
    return Calibration(counts.intervals(family), digest(model.variables), steps, samples, told)


def evaluate_steps(
    model: Generator | Reconstructor, source: RecordSource, steps: Sequence[int], batch_size: int,
    count: int | None = None, keep: Callable | None = None, progress: Callable[[Iterable], Iterable] = iter,
    samples: int = 1,
) -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]:  # fmt: skip
    """Evaluate a run over a split for each number of sampling steps: [(result, its extreme maps)].

    A result is what the JSON file holds of it: {"objective", "steps", "samples": whose mean is judged, "network_evaluations",
    "radio_maps", "layouts", "batch_size", "devices", "results": see `evaluate`, "extremes": see `evaluation_files.named`,
    "calibration": what factors were fitted on, or None}. What does not depend on the steps is computed once. An autoencoder
    has no steps: `steps` is left aside, and there is one result with 0. `keep(steps, batch, row, output)` sees every map of
    the run's own prediction.
    """
    predictors, own = dict(BASELINES), {}
    if isinstance(model, Generator):
        told = set(model.config.data.computed)
        for name, kind in COMPUTED_BASELINES.items():
            if told.issuperset(COMPUTED_ESTIMATES[kind]):
                estimate = estimate_predictor(kind)
                predictors[name] = lambda batch, estimate=estimate: estimate(model.with_computed(batch))
        samples = 1 if model.predicts_error else samples
        for number in steps:
            own[f"model {number}"] = number
            predictors[f"model {number}"] = own_predictor(model, number, samples)
        if model.reconstructor is not None:
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
            "objective": model.config.objective.name if number else "vae_gan",
            "steps": number,
            "samples": samples if number else 1,
            "network_evaluations": samples * model.config.objective.evaluations(number) if number else 0,
            "radio_maps": len(maps["map"]),
            "layouts": len(set(maps["map"])),
            "batch_size": batch_size,
            "devices": describe_devices(),
            "extremes": named(arrays),
            "calibration": calibration_of(model, number, samples),
            "results": shown,
        }
        found.append((result, arrays))
    return found
