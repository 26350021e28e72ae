"""AdamW as PyTorch has it, its learning-rate schedules, and clipping by the global gradient norm."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from radiodiff_jax.settings import OptimizerConfig

Schedule = Callable[[Int[Array, ""] | int], Float[Array, ""]]
TORCH_EPSILON = 1e-6  # what torch.nn.utils.clip_grad_norm_ adds to the norm


def learning_rate(config: OptimizerConfig, updates: int) -> Schedule:
    """Learning rate as a function of the number i of finished updates, float32; constant from i = `updates` (N) on.

    constant: base; cosine: base * (m + (1 - m) * (1 + cos(pi i / N)) / 2) with m = `minimum`; polynomial:
    base * max((1 - i / N)^power, m), as the original trains. All are multiplied by min(1, (i + 1) / warmup_steps).
    """

    def rate(finished: Int[Array, ""] | int) -> Float[Array, ""]:
        finished = jnp.minimum(jnp.asarray(finished, jnp.float32), updates)
        left = (updates - finished) / updates  # 1 - i/N, exact near the end too
        if config.schedule == "constant":
            factor = jnp.ones((), jnp.float32)
        elif config.schedule == "cosine":
            factor = config.minimum + (1 - config.minimum) * (1 - jnp.cos(jnp.pi * left)) / 2
        else:
            factor = jnp.maximum(left**config.power, config.minimum)
        if config.warmup_steps:
            factor *= jnp.minimum(1.0, (finished + 1) / config.warmup_steps)
        return config.learning_rate * factor

    return rate


def clip_by_global_norm(limit: float) -> optax.GradientTransformation:
    """Scale gradients by min(1, limit / (norm + 1e-6)), where norm is that of all of them together.

    PyTorch's rule; Optax's own lacks the 1e-6. The norm before clipping is `optax.tree.norm(gradients)`.
    """

    def clip(gradients, state, params=None):
        factor = jnp.minimum(1.0, limit / (optax.tree.norm(gradients) + TORCH_EPSILON))
        return jax.tree.map(lambda gradient: (gradient * factor).astype(gradient.dtype), gradients), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), clip)


def optimizer(config: OptimizerConfig, updates: int) -> optax.GradientTransformation:
    """AdamW over `updates` updates: p -= lr * (m / (sqrt(v) + epsilon) + weight_decay * p), moments bias-corrected.

    Decoupled weight decay on all parameters and `epsilon` outside the root, as in torch.optim.AdamW; gradients are
    clipped first where `clip_norm` is set.
    """
    first, second = config.betas
    rate = learning_rate(config, updates)
    adamw = optax.adamw(rate, b1=first, b2=second, eps=config.epsilon, weight_decay=config.weight_decay)
    return adamw if config.clip_norm is None else optax.chain(clip_by_global_norm(config.clip_norm), adamw)
