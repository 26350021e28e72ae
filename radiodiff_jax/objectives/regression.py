"""Regression: the map itself from the scene alone, in one evaluation."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import jax.numpy as jnp

from radiodiff_jax.objectives.objective import (
    Answers,
    Coordinates,
    Metrics,
    NoiseAt,
    Noised,
    PerMap,
    Predict,
    Times,
    mean_of_map,
)
from radiodiff_jax.settings import STRICT


@dataclass(frozen=True)
class Regression:
    """x0 = estimate + network(scene); loss l1_weight |d| + l2_weight d^2 of d = x0 error, on outdoor pixels."""

    __pydantic_config__ = STRICT
    name: Literal["regression"] = "regression"
    l1_weight: float = 1.0
    l2_weight: float = 2.5
    sampling_steps: Literal[1] = 1
    validation_steps: tuple[int, ...] = ()
    heads: ClassVar[tuple[str, ...]] = ("x0",)
    noisy: ClassVar[bool] = False
    needs_base: ClassVar[bool] = False

    def corrupt(self, x0: Coordinates, u: Times, noise: Coordinates, estimate: Coordinates | None) -> Noised:
        """Nothing is shown of the map."""
        return Noised(None, None, {"x0": x0})

    def precondition(self, raw: Answers, x: None, t: None, estimate: Coordinates | None) -> Answers:
        """The answer is a correction of the estimate. Answers beyond `heads` (a backbone's stages) are treated alike."""
        return raw if estimate is None else {head: estimate + answer for head, answer in raw.items()}

    def loss(self, predicted: Answers, noised: Noised, outdoors: Coordinates | None) -> tuple[PerMap, Metrics]:
        """Sum over the answers: a backbone in several stages answers once a stage."""
        target = noised.targets["x0"]
        errors = {head: answer - target for head, answer in predicted.items()}
        l1 = sum(mean_of_map(jnp.abs(error), outdoors) for error in errors.values())
        l2 = sum(mean_of_map(jnp.square(error), outdoors) for error in errors.values())
        return self.l1_weight * l1 + self.l2_weight * l2, {"loss_l1": l1, "loss_l2": l2}

    def sample(self, predict: Predict, noise_at: NoiseAt, steps: int, estimate: Coordinates | None) -> Coordinates:
        """One evaluation, whatever `steps`."""
        return predict(None, None, self.heads)["x0"]

    def evaluations(self, steps: int) -> int:
        """1."""
        return 1
