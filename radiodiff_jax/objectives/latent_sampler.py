"""Scene to radio map: the condition's features once, the diffusion steps, the decoder."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from radiodiff_jax.models.autoencoder import Autoencoder, posterior_mean
from radiodiff_jax.models.prior import guess_gain
from radiodiff_jax.models.unet import UNet
from radiodiff_jax.objectives import decoupled_diffusion as diffusion

Tree = Any


def sample_gain(
    unet: UNet, variables: Tree, autoencoder: Autoencoder, frozen: Tree,
    condition: Float[Array, "batch height width channels"], key: PRNGKeyArray, steps: int, smallest_time: float,
    size: tuple[int, int, int], blank: bool,
) -> Float[Array, "batch height width 1"]:  # fmt: skip
    """Scene images in {-1, 1} -> path gain maps in [0, 1], by `steps` diffusion steps and the decoder.

    `variables` are the U-Net's, `frozen` holds the autoencoder's parameters and the latents' "scale", `size` is the
    latent's (height, width, channels); with `blank` the gain inside buildings (condition channel 0) is set to 0, which
    it is in every map by definition.

    The condition's features are computed once. Noise of map i depends on (key, i) alone, so a map comes out the same
    in any batch.
    """
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(condition.shape[0]))

    def draw(number: int) -> Array:
        return jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, number), size))(keys)

    features = unet.apply(variables, condition, method="encode_condition")
    prior = prior_latent(unet, autoencoder, frozen, condition)

    def denoiser(x: Array, t: Array, attenuation: bool, noise: bool) -> tuple[Array, Array]:
        wanted = {"attenuation": attenuation, "noise": noise}
        return unet.apply(variables, x, t, features, **wanted, prior=prior, method="denoise")

    z = diffusion.sample(denoiser, draw(0), lambda i: draw(i + 1), steps, smallest_time)
    image = autoencoder.apply({"params": frozen["autoencoder"]}, z / frozen["scale"], method="decode")
    gain = diffusion.latent_to_gain(image)
    return blank_buildings(gain, condition) if blank else gain


def prior_latent(
    unet: UNet, autoencoder: Autoencoder, frozen: Tree, condition: Float[Array, "batch height width channels"]
) -> Float[Array, "batch h w channels"] | None:
    """Scaled latent of the first guess that a U-Net with a prior starts from; None for one without."""
    if unet.config.prior == "none":
        return None
    guess = 2 * guess_gain(condition) - 1
    moments = autoencoder.apply({"params": frozen["autoencoder"]}, guess, method="encode")
    return jax.lax.stop_gradient(frozen["scale"] * posterior_mean(moments))


def blank_buildings(
    gain: Float[Array, "batch height width 1"], condition: Float[Array, "batch height width channels"]
) -> Float[Array, "batch height width 1"]:
    """Gain with 0 inside buildings."""
    return jnp.where(condition[..., :1] > 0, 0.0, gain)
