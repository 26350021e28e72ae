"""Flow matching: straight paths from noise to the map (Lipman et al., arXiv 2210.02747; Liu et al., arXiv 2209.03003)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import jax.numpy as jnp

from radiodiff_jax import bounds
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
class FlowMatching:
    """x_t = (1 - t) x_0 + t n; the network answers the velocity n - x_0, and sampling follows it from t = 1 to 0."""

    __pydantic_config__ = STRICT
    name: Literal["flow_matching"] = "flow_matching"  # what is learnt: a flow from noise to the map
    deviation: bounds.Positive = 1.0  # of x_0 about the estimate; about 0.25 with one, in either space
    l1_weight: bounds.Weight = 0.5  # weight of the absolute error
    l2_weight: bounds.Weight = 0.5  # weight of the squared error
    smallest_time: bounds.Between = 1e-4  # the least time of a training example; 1 is pure noise
    solver: Literal["euler", "midpoint"] = "euler"  # how the flow is followed
    sampling_steps: bounds.SamplingSteps = 1  # steps from noise to a map
    # other numbers of sampling steps that validation measures too
    validation_steps: tuple[bounds.SamplingSteps, ...] = ()
    heads: ClassVar[tuple[str, ...]] = ("velocity",)
    noisy: ClassVar[bool] = True
    needs_base: ClassVar[bool] = False

    def path(self, estimate: Coordinates | None) -> Path:
        """From N(0, 1) to a map with this estimate."""
        return Path(0.0, 1.0, 0.0 if estimate is None else estimate, self.deviation)

    def corrupt(self, x0: Coordinates, u: Times, noise: Coordinates, estimate: Coordinates | None) -> Noised:
        """x_t and the velocity."""
        t = times_from_uniform(u, self.smallest_time)
        x, velocity = self.path(estimate).at(x0, noise, t)
        return Noised(x, t, {"velocity": velocity})

    def precondition(self, raw: Answers, x: Coordinates, t: Times, estimate: Coordinates | None) -> Answers:
        """See `straight_path`."""
        return {"velocity": self.path(estimate).velocity(raw["velocity"], x, t)}

    def loss(self, predicted: Answers, noised: Noised, outdoors: Coordinates | None) -> tuple[PerMap, Metrics]:
        """l1_weight |d| + l2_weight d^2 of the error d of the raw answer, whose target has unit variance."""
        error = self.path(None).error(predicted["velocity"], noised.targets["velocity"], noised.t)
        l1, l2 = mean_of_map(jnp.abs(error), outdoors), mean_of_map(jnp.square(error), outdoors)
        return self.l1_weight * l1 + self.l2_weight * l2, {"loss_l1": l1, "loss_l2": l2}

    def sample(self, predict: Predict, noise_at: NoiseAt, steps: int, estimate: Coordinates | None) -> Coordinates:
        """x_0 from noise."""
        return integrate(predict, self.path(estimate), noise_at, steps, self.solver == "midpoint")

    def evaluations(self, steps: int) -> int:
        """One a step, two with the midpoint method."""
        return steps * (2 if self.solver == "midpoint" else 1)
