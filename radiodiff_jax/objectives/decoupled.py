"""Decoupled diffusion: x_t = x_0 + t C + sqrt(t) n with C = -x_0 (Huang et al., DDM, arXiv 2306.13720; RadioDiff, 2408.08593).

So x_t = (1 - t) x_0 + sqrt(t) n and x_1 = n. A network predicts C and n; times run from 1 down to 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from radiodiff_jax import bounds
from radiodiff_jax.bounds import Flag
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
    per_example,
    times_from_uniform,
)
from radiodiff_jax.settings import STRICT


@dataclass(frozen=True)
class Decoupled:
    """RadioDiff's objective: the network answers C, which it calls attenuation, and the noise."""

    __pydantic_config__ = STRICT
    name: Literal["decoupled"] = "decoupled"  # what is learnt: RadioDiff's diffusion
    loss_form: Literal["l2", "l1"] = "l2"  # of the error: squared or absolute
    add_l1: Flag = True  # add absolute errors, and halve the sum
    time_weighting: Flag = True  # weight errors by the time, as the original
    smallest_time: bounds.Between = 1e-4  # the least time of a training example; 1 is pure noise
    sampling_steps: bounds.SamplingSteps = 1  # steps from noise to a map
    # other numbers of sampling steps that validation measures too
    validation_steps: tuple[bounds.SamplingSteps, ...] = ()
    heads: ClassVar[tuple[str, ...]] = ("attenuation", "noise")
    noisy: ClassVar[bool] = True
    needs_base: ClassVar[bool] = False

    def corrupt(self, x0: Coordinates, u: Times, noise: Coordinates, estimate: Coordinates | None) -> Noised:
        """x_t; the targets are C = -x_0 and n."""
        t = times_from_uniform(u, self.smallest_time)
        return Noised(forward_process(x0, noise, -x0, t), t, {"attenuation": -x0, "noise": noise})

    def precondition(self, raw: Answers, x: Coordinates, t: Times, estimate: Coordinates | None) -> Answers:
        """Raw answers F1, F2 -> C and noise (RadioDiff's preconditioning, EDM-like).

            C = (1 - t) x_t + t / sqrt(t^2 + 1) F1,    noise = sqrt(t) x_t + sqrt(1 - t) / sqrt(t^2 + 1) F2.

        With an estimate (not in the original) C starts from it: C = -estimate + t / sqrt(t^2 + 1) F1. At t = 1 the noise
        is x whatever F2 says.
        """
        t = per_example(t.astype(jnp.float32))
        common = lax.rsqrt(t * t + 1)
        c = (1 - t) * x if estimate is None else -estimate
        noise = jnp.sqrt(t) * x
        if "attenuation" in raw:
            c += t * common * raw["attenuation"]
        if "noise" in raw:
            noise += jnp.sqrt(1 - t) * common * raw["noise"]
        return {"attenuation": c, "noise": noise}

    def loss(self, predicted: Answers, noised: Noised, outdoors: Coordinates | None) -> tuple[PerMap, Metrics]:
        """Weighted error of C and of the noise, mean over a map.

        `loss_form` l2 or l1 picks the error; `add_l1` adds the weighted absolute errors and halves the total.
        """
        parts = {}
        for head, weight in zip(self.heads, loss_weights(noised.t, self.time_weighting), strict=True):
            error = predicted[head] - noised.targets[head]
            absolute = weight * mean_of_map(jnp.abs(error), outdoors)
            part = weight * mean_of_map(jnp.square(error), outdoors) if self.loss_form == "l2" else absolute
            parts[head] = (part + absolute) / 2 if self.add_l1 else part
        return parts["attenuation"] + parts["noise"], {"loss_c": parts["attenuation"], "loss_noise": parts["noise"]}

    def sample(self, predict: Predict, noise_at: NoiseAt, steps: int, estimate: Coordinates | None) -> Coordinates:
        """x_0 from N(0, 1) in `steps` steps, the last of which is cut in two."""
        return trajectory(predict, noise_at, steps, self.smallest_time)[0]

    def evaluations(self, steps: int) -> int:
        """One more than steps: the last step is cut in two."""
        return steps + 1


def forward_process(x0: Coordinates, noise: Coordinates, c: Coordinates, t: Times) -> Coordinates:
    """x_t = x_0 + t C + sqrt(t) n."""
    t = per_example(t)
    return x0 + c * t + jnp.sqrt(t) * noise


def predicted_start(x: Coordinates, noise: Coordinates, c: Coordinates, t: Times) -> Coordinates:
    """x_0 = x_t - t C - sqrt(t) n."""
    t = per_example(t)
    return x - c * t - jnp.sqrt(t) * noise


def reverse_step(
    x: Coordinates, noise: Coordinates, c: Coordinates, t: Times, s: Times, added: Coordinates
) -> Coordinates:
    """One draw of x_{t-s} given x_t: mean x_t - s C - s / sqrt(t) n, deviation sqrt(s (t - s) / t)."""
    t, s = per_example(t), per_example(s)
    mean = x - c * s - s / jnp.sqrt(t) * noise
    return mean + jnp.sqrt(jnp.maximum(s * (t - s) / t, 0.0)) * added


def loss_weights(t: Times, weighted: bool) -> tuple[Times, Times]:
    """(w1, w2) = (2 exp(1 - t), exp(sqrt(t))), or ones."""
    return (2 * jnp.exp(1 - t), jnp.exp(jnp.sqrt(t))) if weighted else (jnp.ones_like(t), jnp.ones_like(t))


def time_grid(steps: int, smallest: float, final_split: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """(t, s) of every network evaluation, float32 [evaluations].

    `steps` equal steps from t = 1; with `final_split` the last is cut into (step - smallest, smallest), one more
    evaluation. Times are accumulated by float32 subtraction and the last step goes all the way to 0, as in the original.
    """
    sizes = [1.0 / steps] * steps
    if final_split:
        sizes = [*sizes[:-1], sizes[-1] - smallest, smallest]
    t, times, moves = np.float32(1), [], []
    for i, size in enumerate(sizes):
        move = t if i == len(sizes) - 1 else np.float32(size)
        times.append(t)
        moves.append(move)
        t = np.float32(t - move)
    return np.array(times, np.float32), np.array(moves, np.float32)


def needed_heads(time: float) -> tuple[str, ...]:
    """The heads whose answers count in the estimate of x_0 at this time.

    At t = 1 the predicted noise is x itself, whatever the network says. Where t^2 is below the resolution of float32, so
    is the share t^2 / sqrt(t^2 + 1) of the network's C.
    """
    counts = {"attenuation": time * time > np.finfo(np.float32).eps, "noise": time < 1}
    return tuple(head for head, needed in counts.items() if needed)


class Evaluation(NamedTuple):
    """Network evaluations of a trajectory, stacked along the first axis."""

    t: Float[Array, " evaluations"]
    s: Float[Array, " evaluations"]
    x: Float[Array, "evaluations batch h w channels"]
    x0: Float[Array, "evaluations batch h w channels"]
    noise: Float[Array, "evaluations batch h w channels"]
    following: Float[Array, "evaluations batch h w channels"]
    c: Float[Array, "evaluations batch h w channels"]


def trajectory(
    predict: Predict, noise_at: NoiseAt, steps: int, smallest: float, final_split: bool = True
) -> tuple[Coordinates, Evaluation]:
    """x_0 from x_1 = noise_at(0) in `steps` steps (+ 1 evaluation with `final_split`), and all evaluations.

    `noise_at(i + 1)` is the noise of evaluation i. The step uses C := -x_0 of the estimate, as the original does. Only
    the heads that count are evaluated (`needed_heads`); evaluations that need the same ones are one loop.
    """
    times, moves = time_grid(steps, smallest, final_split)
    evaluations = list(zip(range(len(times)), times, moves, strict=True))
    x, records = noise_at(0), []

    def evaluate(wanted: tuple[str, ...]) -> Callable:
        def step(x: Coordinates, place: tuple) -> tuple[Coordinates, Evaluation]:
            number, time, move = place
            t, s = jnp.full(x.shape[0], time), jnp.full(x.shape[0], move)
            predicted = predict(x, t, wanted)
            c, noise = predicted["attenuation"], predicted["noise"]
            x0 = predicted_start(x, noise, c, t)
            following = reverse_step(x, noise, -x0, t, s, noise_at(number + 1))
            return following, Evaluation(time, move, x, x0, noise, following, c)

        return step

    for wanted, group in groupby(evaluations, lambda one: needed_heads(one[1])):
        places = list(group)
        if len(places) == 1:
            x, record = evaluate(wanted)(x, places[0])
            record = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], record)
        else:
            x, record = lax.scan(evaluate(wanted), x, tuple(map(np.array, zip(*places, strict=True))))
        records.append(record)
    return x, jax.tree.map(lambda *parts: jnp.concatenate(parts), *records)
