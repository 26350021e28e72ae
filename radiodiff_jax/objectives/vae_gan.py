"""Loss of the autoencoder and of its discriminator (Esser et al., arXiv 2012.09841, equation 7)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from radiodiff_jax.models.autoencoder import kl_divergence
from radiodiff_jax.settings import GANObjectiveConfig

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


class AdversarialTerms(NamedTuple):
    """What one look of the discriminator at a batch yields for both sides."""

    generator_loss: Scalar  # g = -mean(D(r))
    generator_cotangent: Image  # d g / d r
    loss: Scalar  # of the discriminator
    gradients: Any  # d loss / d discriminator parameters
    batch_stats: Any  # after the truth, then the reconstruction
    metrics: dict[str, Scalar]


Discriminate = Callable[[Any, Any, Image], tuple[Array, Any]]  # (params, batch stats, image) -> (logits, batch stats)


def adversarial_terms(
    config: GANObjectiveConfig, discriminate: Discriminate, params: Any, batch_stats: Any, truth: Image, output: Image
) -> AdversarialTerms:
    """Both losses of the game from two forward passes of the discriminator (the original needs three).

    Generator and discriminator look at the same D(r) before either moves, so its forward pass is shared; the truth and
    the reconstruction go through apart, each with its own batch statistics, as in the original.
    """

    def on_truth(params: Any) -> tuple[Array, Any]:
        return discriminate(params, batch_stats, truth)

    real, pull_real, after_real = jax.vjp(on_truth, params, has_aux=True)

    def on_output(params: Any, image: Image) -> tuple[Array, Any]:
        return discriminate(params, after_real, image)

    fake, pull_fake, after_both = jax.vjp(on_output, params, lax.stop_gradient(output), has_aux=True)

    def both(real: Array, fake: Array) -> Scalar:
        return discriminator_loss(real, fake, config.discriminator_loss)

    loss, (along_real, along_fake) = jax.value_and_grad(both, (0, 1))(real, fake)
    gradients = jax.tree.map(jnp.add, pull_real(along_real)[0], pull_fake(along_fake)[0])
    _, cotangent = pull_fake(jnp.full_like(fake, -1 / fake.size))
    metrics = {"disc_loss": loss, "logits_real": jnp.mean(real), "logits_fake": jnp.mean(fake)}
    return AdversarialTerms(-jnp.mean(fake), cotangent, loss, gradients, after_both, metrics)


def likelihood_terms(
    config: GANObjectiveConfig, truth: Image, output: Image, perceptual: Callable[[Image, Image], Array] | None = None
) -> tuple[Scalar, Image, Scalar]:
    """(nll, d nll / d reconstruction, mean error a pixel). `perceptual(truth, output)` has shape [batch, 1, 1, 1]."""

    def likelihood(output: Image) -> tuple[Scalar, Scalar]:
        distance = None if perceptual is None else perceptual(truth, output)
        error = reconstruction_error(truth, output, distance, config.perceptual_weight)
        return negative_log_likelihood(error, config.log_variance), jnp.mean(error)

    (nll, error), cotangent = jax.value_and_grad(likelihood, has_aux=True)(output)
    return nll, cotangent, error


def kl_loss(moments: Float[Array, "batch h w channels"]) -> Scalar:
    """Mean over the batch of the KL divergence of the posterior, in nats a map."""
    return jnp.mean(kl_divergence(moments))
