"""Loss of the autoencoder and of its discriminator (SPEC section 5; Esser et al., arXiv 2012.09841, equation 7)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from radiodiff_jax.config import GANObjectiveConfig
from radiodiff_jax.models.autoencoder import kl_divergence

Scalar = Float[Array, ""]
Image = Float[Array, "batch height width channels"]


def reconstruction_error(truth: Image, output: Image, perceptual: Float[Array, "batch 1 1 1"] | None,
                         weight: float) -> Image:  # fmt: skip
    """|x - r| + (x - r)^2 at every pixel, plus weight * perceptual distance of the map at every pixel of it."""
    difference = truth - output
    error = jnp.abs(difference) + jnp.square(difference)
    return error if perceptual is None else error + weight * perceptual


def negative_log_likelihood(error: Image, log_variance: Scalar | float) -> Scalar:
    """error / exp(log variance) + log variance, summed over pixels, mean over the batch."""
    return jnp.sum(error / jnp.exp(log_variance) + log_variance) / error.shape[0]


def adaptive_weight(likelihood_gradient: Array, adversarial_gradient: Array, weight: float) -> Scalar:
    """weight * clamp(|d nll / d last layer| / (|d g / d last layer| + 1e-4), 0, 1e4), without gradient."""
    ratio = jnp.linalg.norm(likelihood_gradient.ravel()) / (jnp.linalg.norm(adversarial_gradient.ravel()) + 1e-4)
    return lax.stop_gradient(jnp.clip(ratio, 0.0, 1e4) * weight)


def discriminator_factor(config: GANObjectiveConfig, step: Array | int) -> Array:
    """0 before `discriminator_start`, then `discriminator_factor`."""
    return jnp.where(jnp.asarray(step) < config.discriminator_start, 0.0, config.discriminator_factor)


def discriminator_loss(real: Array, fake: Array, form: str) -> Scalar:
    """Hinge, 1/2 (mean relu(1 - D(x)) + mean relu(1 + D(r))), or vanilla (softplus)."""
    if form == "hinge":
        return 0.5 * (jnp.mean(jax.nn.relu(1 - real)) + jnp.mean(jax.nn.relu(1 + fake)))
    return 0.5 * (jnp.mean(jax.nn.softplus(-real)) + jnp.mean(jax.nn.softplus(fake)))


def cotangent_at_output(
    config: GANObjectiveConfig,
    truth: Image,
    output: Image,
    log_variance: Scalar | float,
    step: Array | int,
    judge: Callable[[Image], tuple[Array, Any]],
    last_layer_vjp: Callable[[Image], Array],
    perceptual: Callable[[Image, Image], Array] | None = None,
) -> tuple[Scalar, Image, dict[str, Scalar], Any]:
    """The whole generator loss but for KL, and its gradient at the reconstruction.

    The two parts of the loss meet the network at one place, the reconstruction. Their cotangents there give the last
    layer's two gradients (`last_layer_vjp(cotangent) -> kernel gradient`), hence the adaptive weight; the weighted sum
    of the cotangents is then all that the one backward pass through the autoencoder needs.

    `judge(image) -> (logits, aux)` is the discriminator (aux: its new batch statistics); `perceptual(truth, output)`
    has shape [batch, 1, 1, 1]. Returns loss, cotangent, metrics and the aux of the judge.
    """

    def likelihood(output: Image) -> tuple[Scalar, Scalar]:
        distance = None if perceptual is None else perceptual(truth, output)
        error = reconstruction_error(truth, output, distance, config.perceptual_weight)
        return negative_log_likelihood(error, log_variance), jnp.mean(error)

    def adversarial(output: Image) -> tuple[Scalar, Any]:
        logits, aux = judge(output)
        return -jnp.mean(logits), aux

    (nll, error), likelihood_cotangent = jax.value_and_grad(likelihood, has_aux=True)(output)
    (g, aux), adversarial_cotangent = jax.value_and_grad(adversarial, has_aux=True)(output)
    weight = adaptive_weight(
        last_layer_vjp(likelihood_cotangent), last_layer_vjp(adversarial_cotangent), config.discriminator_weight
    )
    factor = discriminator_factor(config, step)
    loss = nll + weight * factor * g
    metrics = {"nll_loss": nll, "rec_loss": error, "g_loss": g, "d_weight": weight, "disc_factor": factor}
    return loss, likelihood_cotangent + weight * factor * adversarial_cotangent, metrics, aux


def kl_loss(moments: Float[Array, "batch h w channels"]) -> Scalar:
    """Mean over the batch of the KL divergence of the posterior, in nats a map."""
    return jnp.mean(kl_divergence(moments))
