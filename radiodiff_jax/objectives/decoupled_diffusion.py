"""Decoupled diffusion: x_t = x_0 + t C + sqrt(t) n with C = -x_0 (SPEC sections 9 and 10; Huang et al., DDM, and RadioDiff).

So x_t = (1 - t) x_0 + sqrt(t) n and x_1 = n. A network predicts C and n; times run from 1 down to 0.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from radiodiff_jax.settings import DiffusionObjectiveConfig

Latent = Float[Array, "batch h w channels"]
Times = Float[Array, " batch"]
Scalar = Float[Array, ""]


def per_example(t: Times) -> Float[Array, "batch 1 1 1"]:
    """[batch] -> [batch, 1, 1, 1]."""
    return t[:, None, None, None]


def forward_process(x0: Latent, noise: Latent, c: Latent, t: Times) -> Latent:
    """x_t = x_0 + t C + sqrt(t) n."""
    t = per_example(t)
    return x0 + c * t + jnp.sqrt(t) * noise


def predicted_start(x: Latent, noise: Latent, c: Latent, t: Times) -> Latent:
    """x_0 = x_t - t C - sqrt(t) n."""
    t = per_example(t)
    return x - c * t - jnp.sqrt(t) * noise


def reverse_step(x: Latent, noise: Latent, c: Latent, t: Times, s: Times, fresh: Latent) -> Latent:
    """One draw of x_{t-s} given x_t: mean x_t - s C - s / sqrt(t) n, deviation sqrt(s (t - s) / t)."""
    t, s = per_example(t), per_example(s)
    mean = x - c * s - s / jnp.sqrt(t) * noise
    return mean + jnp.sqrt(jnp.maximum(s * (t - s) / t, 0.0)) * fresh


def draw_times(key: PRNGKeyArray, batch: int, smallest: float) -> Times:
    """t = u (1 - smallest) + smallest, u ~ U[0, 1)."""
    return times_from_uniform(jax.random.uniform(key, (batch,)), smallest)


def times_from_uniform(u: Times, smallest: float) -> Times:
    """t = u (1 - smallest) + smallest."""
    return u * (1 - smallest) + smallest


def loss_weights(t: Times, weighted: bool) -> tuple[Times, Times]:
    """(w1, w2) = (2 exp(1 - t), exp(sqrt(t))), or ones."""
    return (2 * jnp.exp(1 - t), jnp.exp(jnp.sqrt(t))) if weighted else (jnp.ones_like(t), jnp.ones_like(t))


def diffusion_loss(
    config: DiffusionObjectiveConfig, c_predicted: Latent, noise_predicted: Latent, x0: Latent, noise: Latent, t: Times
) -> tuple[Scalar, dict[str, Scalar]]:
    """Weighted error of C (target -x_0) and of the noise, mean over a map, then over the batch.

    `loss` l2 or l1 picks the error; `add_l1` adds the weighted absolute errors and halves the total.
    """

    def mean_map(error: Latent) -> Times:
        return jnp.mean(error, axis=(1, 2, 3))

    weight_c, weight_noise = loss_weights(t, config.time_weighting)
    error_c, error_noise = c_predicted + x0, noise_predicted - noise
    absolute = weight_c * mean_map(jnp.abs(error_c)), weight_noise * mean_map(jnp.abs(error_noise))
    square = weight_c * mean_map(jnp.square(error_c)), weight_noise * mean_map(jnp.square(error_noise))
    parts = square if config.loss == "l2" else absolute
    if config.add_l1:
        parts = tuple((part + extra) / 2 for part, extra in zip(parts, absolute, strict=True))
    loss_c, loss_noise = (jnp.mean(part) for part in parts)
    loss = loss_c + loss_noise
    return loss, {"loss": loss, "loss_c": loss_c, "loss_noise": loss_noise}


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


def needed_outputs(time: float) -> tuple[bool, bool]:
    """(C, noise): whether the network's answer counts in the estimate of x_0 at this time.

    At t = 1 the predicted noise is x itself, whatever the network says. Where t^2 is below the resolution of float32, so
    is the share t^2 / sqrt(t^2 + 1) of the network's C.
    """
    return bool(time * time > np.finfo(np.float32).eps), bool(time < 1)


Denoiser = Callable[[Latent, Times, bool, bool], tuple[Latent, Latent]]  # (x_t, t, C wanted?, noise wanted?) -> (C, noise)


def sample(denoiser: Denoiser, start: Latent, fresh: Callable[[int], Latent], steps: int, smallest: float,
           final_split: bool = True, record: list | None = None) -> Latent:  # fmt: skip
    """x_0 from `start` = x_1 ~ N(0, 1) in `steps` steps (+ 1 evaluation with `final_split`).

    `fresh(i)` is the noise of evaluation i. The step uses C := -x_0 of the estimate, as the original does. The denoiser
    is told what it need not compute (`needed_outputs`).
    `record` (tests) collects (t, s, x, x_0, noise, x_next, raw C) of every evaluation.
    """
    times, moves = time_grid(steps, smallest, final_split)
    x = start
    for i, (time, move) in enumerate(zip(times, moves, strict=True)):
        t, s = jnp.full(x.shape[0], time), jnp.full(x.shape[0], move)
        c, noise = denoiser(x, t, *needed_outputs(time))
        x0 = predicted_start(x, noise, c, t)
        following = reverse_step(x, noise, -x0, t, s, fresh(i))
        if record is not None:
            record.append((t, s, x, x0, noise, following, c))
        x = following
    return x


def latent_to_gain(image: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width channels"]:
    """Decoder output, about [-1, 1] -> gain clipped to [0, 1]."""
    return jnp.clip((image + 1) / 2, 0.0, 1.0)
