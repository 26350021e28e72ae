"""Regression: the map itself from the scene alone, in one evaluation; if wanted, with the scale of its error.

With `error_scale` a second head answers how far off the map will be: the scale b of a Laplace distribution of the error
r = x0 - truth at every pixel, p(r) = exp(-|r| / b) / (2 b). It minimises the negative log likelihood

    log(b / s) + |r| / b,       b = s exp(softplus(a + c)),

where a is the network's raw answer, s the smallest scale, and c makes a = 0 the scale `FIRST_SCALE` (a constant has been
added to the likelihood so that it is never negative). Laplace and not Gaussian, because errors of radio maps have heavy
tails: most pixels are nearly right, and a few at the edges of shadows are far off. The gradient with respect to log b is
1 - |r| / b, linear in the error, where a Gaussian's is quadratic and follows those few; and the best b of pixels that look
alike is their mean absolute error.

The mean does not pay for it: r is held fixed (`stop_gradient`), and the head reads the network's features without sending a
gradient back (`models/backbone.py`), so that every other parameter has the gradient that it has without the head. Learning
both by one likelihood would instead let the network excuse a bad mean by a large scale (Seitzer et al., "On the pitfalls of
heteroscedastic uncertainty estimation", arXiv 2203.09168).
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jax import lax

from radiodiff_jax import bounds
from radiodiff_jax.bounds import Flag
from radiodiff_jax.models.backbone import SCALE
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

SMALLEST_SCALE, FIRST_SCALE = 0.002, 0.05
"""Of b in coordinates of pixels, 24.8 dB a unit: 0.05 dB, an eighth of a grey level; 1.2 dB."""
SCALE_SHIFT = math.log(FIRST_SCALE / SMALLEST_SCALE - 1)
"""c: softplus(c) = log(FIRST_SCALE / SMALLEST_SCALE)."""
SCALE_WEIGHT = 0.01
"""Of the likelihood in the loss: AdamW does not feel it, but so the norm that gradients are clipped by stays the map's."""


@dataclass(frozen=True)
class Regression:
    """x0 = estimate + network(scene); loss l1_weight |d| + l2_weight d^2 of d = x0 error, on outdoor pixels."""

    __pydantic_config__ = STRICT
    name: Literal["regression"] = "regression"  # what is learnt: the map in one evaluation
    l1_weight: bounds.Weight = 1.0  # weight of the absolute error
    l2_weight: bounds.Weight = 2.5  # weight of the squared error
    error_scale: Flag = False  # also learn the scale of the error, for intervals; pixels only
    sampling_steps: Literal[1] = 1  # evaluations of the network: one
    validation_steps: tuple[bounds.SamplingSteps, ...] = ()  # not used: a regression has no sampling steps
    noisy: ClassVar[bool] = False
    needs_base: ClassVar[bool] = False

    @property
    def heads(self) -> tuple[str, ...]:
        """The map, and the scale of its error where it is wanted."""
        return ("x0", SCALE) if self.error_scale else ("x0",)

    def corrupt(self, x0: Coordinates, u: Times, noise: Coordinates, estimate: Coordinates | None) -> Noised:
        """Nothing is shown of the map."""
        return Noised(None, None, {"x0": x0})

    def precondition(self, raw: Answers, x: None, t: None, estimate: Coordinates | None) -> Answers:
        """The answer is a correction of the estimate. Answers beyond `heads` (a backbone's stages) are treated alike."""
        maps = {head: answer for head, answer in raw.items() if head != SCALE}
        found = maps if estimate is None else {head: estimate + answer for head, answer in maps.items()}
        return found | ({SCALE: positive_scale(raw[SCALE])} if SCALE in raw else {})

    def loss(self, predicted: Answers, noised: Noised, outdoors: Coordinates | None) -> tuple[PerMap, Metrics]:
        """Sum over the answers: a backbone in several stages answers once a stage."""
        target = noised.targets["x0"]
        errors = {head: answer - target for head, answer in predicted.items() if head != SCALE}
        l1 = sum(mean_of_map(jnp.abs(error), outdoors) for error in errors.values())
        l2 = sum(mean_of_map(jnp.square(error), outdoors) for error in errors.values())
        loss, metrics = self.l1_weight * l1 + self.l2_weight * l2, {"loss_l1": l1, "loss_l2": l2}
        if SCALE not in predicted:
            return loss, metrics
        likelihood = mean_of_map(scale_likelihood(errors["x0"], predicted[SCALE]), outdoors)
        return loss + SCALE_WEIGHT * likelihood, metrics | {"loss_scale": likelihood}

    def deviation(self, predicted: Answers) -> Coordinates:
        """Standard deviation of the error that the predicted scale stands for: sqrt(2) b."""
        return math.sqrt(2) * predicted[SCALE]

    def sample(self, predict: Predict, noise_at: NoiseAt, steps: int, estimate: Coordinates | None) -> Coordinates:
        """One evaluation, whatever `steps`."""
        return predict(None, None, ("x0",))["x0"]

    def evaluations(self, steps: int) -> int:
        """1."""
        return 1


def positive_scale(raw: Coordinates) -> Coordinates:
    """b from the raw answer."""
    return SMALLEST_SCALE * jnp.exp(jax.nn.softplus(raw + SCALE_SHIFT))


def scale_likelihood(error: Coordinates, scale: Coordinates) -> Coordinates:
    """Negative log likelihood of an error, which is held fixed, less log(2 s): log(b / s) + |r| / b, at least 0."""
    return jnp.log(scale / SMALLEST_SCALE) + lax.stop_gradient(jnp.abs(error)) / scale
