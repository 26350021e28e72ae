"""Residual flow: a flow from a regression's map, plus a little noise, to the truth.

The regression gives the mean, the flow what the mean cannot show (Mardani et al., CorrDiff, arXiv 2309.15214; Ohayon et
al., posterior-mean rectified flow, arXiv 2410.00418).
"""

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
    times_from_uniform,
)
from radiodiff_jax.objectives.straight_path import Path, integrate
from radiodiff_jax.settings import STRICT


@dataclass(frozen=True)
class ResidualFlow:
    """x_t = (1 - t) x_0 + t (b + sigma n), b the output of a frozen regression run; the network answers the velocity."""

    __pydantic_config__ = STRICT
    name: Literal["residual_flow"] = "residual_flow"
    sigma: float = 0.1  # deviation of the noise added to the regression's output
    deviation: float = 0.1  # of x_0 about the regression's output
    l1_weight: float = 0.5
    l2_weight: float = 0.5
    smallest_time: float = 1e-4
    solver: Literal["euler", "midpoint"] = "euler"
    sampling_steps: int = 1
    validation_steps: tuple[int, ...] = ()
    heads: ClassVar[tuple[str, ...]] = ("velocity",)
    noisy: ClassVar[bool] = True
    needs_base: ClassVar[bool] = True

    def path(self, base: Coordinates | float) -> Path:
        """From the regression's output, which is the estimate too."""
        return Path(base, self.sigma, base, self.deviation)

    def corrupt(self, x0: Coordinates, u: Times, noise: Coordinates, estimate: Coordinates) -> Noised:
        """x_t and the velocity."""
        t = times_from_uniform(u, self.smallest_time)
        x, velocity = self.path(estimate).at(x0, noise, t)
        return Noised(x, t, {"velocity": velocity})

    def precondition(self, raw: Answers, x: Coordinates, t: Times, estimate: Coordinates) -> Answers:
        """See `straight_path`."""
        return {"velocity": self.path(estimate).velocity(raw["velocity"], x, t)}

    def loss(self, predicted: Answers, noised: Noised, outdoors: Coordinates | None) -> tuple[PerMap, Metrics]:
        """l1_weight |d| + l2_weight d^2 of the error d of the raw answer, whose target has unit variance."""
        error = self.path(0.0).error(predicted["velocity"], noised.targets["velocity"], noised.t)
        l1, l2 = mean_of_map(jnp.abs(error), outdoors), mean_of_map(jnp.square(error), outdoors)
        return self.l1_weight * l1 + self.l2_weight * l2, {"loss_l1": l1, "loss_l2": l2}

    def sample(self, predict: Predict, noise_at: NoiseAt, steps: int, estimate: Coordinates) -> Coordinates:
        """x_0 from the regression's output and noise."""
        return integrate(predict, self.path(estimate), noise_at, steps, self.solver == "midpoint")

    def evaluations(self, steps: int) -> int:
        """One a step, two with the midpoint method."""
        return steps * (2 if self.solver == "midpoint" else 1)
