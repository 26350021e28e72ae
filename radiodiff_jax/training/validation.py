"""What the model makes of a fixed set of maps: figures of merit and pairs to draw."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jaxtyping import Bool, Float

from radiodiff_jax.data.pipeline import buildings_of
from radiodiff_jax.metrics import protocol_figures
from radiodiff_jax.training.compiled import CompiledTask
from radiodiff_jax.training.devices import put_batch, to_host
from radiodiff_jax.training.progress import round_to_float32
from radiodiff_jax.training.task import Batch, State, Tree
from radiodiff_jax.units import grey_to_gain

FIGURES = ("rmse", "nmse", "ssim")  # raw protocol, all pixels, mean over maps
BatchSource = Callable[[], Iterable[Batch]]


class Patience:
    """Counts validations in a row without a lower RMSE; `ended` once there are `limit` of them (None: never)."""

    def __init__(self, limit: int | None, saved: dict[str, Any] | None = None):
        self._limit = limit
        saved = saved or {"best": None, "step": 0, "count": 0}
        self.best, self.step, self._count = saved["best"], saved["step"], saved["count"]

    def judge(self, step: int, rmse: float) -> bool:
        """Take the validation of a step; whether it is the best so far."""
        better = self.best is None or rmse < self.best
        if better:
            self.best, self.step, self._count = rmse, step, 0
        else:
            self._count += 1
        return better

    @property
    def ended(self) -> bool:
        """Whether the training is to stop."""
        return self._limit is not None and self._count >= self._limit

    def saved(self) -> dict[str, Any]:
        """All there is to know for going on."""
        return {"best": self.best, "step": self.step, "count": self._count}


@dataclass(frozen=True)
class Examples:
    """Some maps of a validation, for a picture."""

    truth: Float[np.ndarray, "maps height width"]
    output: Float[np.ndarray, "maps height width"]
    buildings: Bool[np.ndarray, "maps height width"]


def validate(
    compiled: CompiledTask, state: State, frozen: Tree, source: BatchSource, mesh: Mesh, figures: bool, examples: int
) -> tuple[dict[str, float], Examples | None]:
    """Run the model over the validation maps: ("validation/FIGURE" -> mean over maps, the first `examples` maps).

    Figures of the task's extra predictors are called "validation/FIGURE_NAME".
    Batches are those of `data.pipeline.evaluation_batches`. Without `figures` only as many
    batches are read as the examples need, and no figures are returned. A figure that no map has is left out.
    """
    extra = {f"_{name}": one for name, one in compiled.extra_predictors.items() if figures}
    predictors = {"": compiled.predict} | extra
    found: dict[str, list[float]] = {name + suffix: [] for suffix in predictors for name in FIGURES}
    shown: list[tuple[np.ndarray, ...]] = []
    for number, batch in enumerate(source()):
        on_devices = put_batch(batch, mesh)
        outputs = {suffix: to_host(run(state, frozen, on_devices, np.int32(number))) for suffix, run in predictors.items()}
        buildings, gain = buildings_of(batch), grey_to_gain(batch["gain"])
        for i in np.flatnonzero(batch["mask"] > 0):
            truth = gain[i]
            if len(shown) < examples:
                shown.append((truth, outputs[""][i], buildings[i]))
            for suffix, output in outputs.items() if figures else ():
                row = protocol_figures(truth, output[i], ~buildings[i], "raw")["all"]
                for name in FIGURES:
                    if row[name] is not None:
                        found[name + suffix].append(row[name])
        if not figures and len(shown) >= examples:
            break
    # Maps are shared among processes: the mean is over all of them.
    totals = np.array([[sum(values), len(values)] for values in found.values()])
    if jax.process_count() > 1:
        totals = multihost_utils.process_allgather(totals).sum(axis=0)
    means = {
        f"validation/{name}": round_to_float32(total / count)
        for name, (total, count) in zip(found, totals, strict=True)
        if count
    }
    return means, Examples(*map(np.stack, zip(*shown, strict=True))) if shown else None
