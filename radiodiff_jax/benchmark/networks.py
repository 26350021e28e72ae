"""Forward passes of the networks, one by one."""

import jax
import jax.numpy as jnp

from radiodiff_jax.benchmark.job import Job, Row
from radiodiff_jax.benchmark.timing import measured
from radiodiff_jax.benchmark.weights import filled, random_autoencoder, random_condition, random_model
from radiodiff_jax.models.discriminator import Discriminator
from radiodiff_jax.training.devices import compiler_options
from radiodiff_jax.training.ldm_task import latent_size, make_unet


def measure_encoder(job: Job) -> dict[str, Row]:
    """Map to posterior moments."""
    batch = job.forward_batch()
    autoencoder, params = random_autoencoder(job.vae, latent_size(job.ldm, job.vae), encoder=True)
    image = jnp.zeros((batch, *job.vae.image_size, job.vae.autoencoder.image_channels))
    run = jitted(lambda params, image: autoencoder.apply({"params": params}, image, method="encode"))
    return {"encoder": measured(run, (params, image), batch, job.repeats)}


def measure_decoder(job: Job) -> dict[str, Row]:
    """Latent to map."""
    batch, size = job.forward_batch(), latent_size(job.ldm, job.vae)
    autoencoder, params = random_autoencoder(job.vae, size, encoder=False)
    run = jitted(lambda params, z: autoencoder.apply({"params": params}, z, method="decode"))
    return {"decoder": measured(run, (params, jnp.zeros((batch, *size))), batch, job.repeats)}


def measure_discriminator(job: Job) -> dict[str, Row]:
    """Map to the logits of its patches."""
    batch = job.forward_batch()
    module = Discriminator(job.vae.discriminator, job.vae.precision)
    image = jnp.zeros((batch, *job.vae.image_size, job.vae.autoencoder.image_channels))
    variables = filled(jax.eval_shape(lambda key: module.init(key, image, False), jax.random.key(0)))
    run = jitted(lambda variables, image: module.apply(variables, image, False))
    return {"discriminator": measured(run, (variables, image), batch, job.repeats)}


def measure_condition(job: Job) -> dict[str, Row]:
    """Scene to the features that the U-Net is given: the Swin transformer."""
    batch = job.forward_batch()
    unet, variables = make_unet(job.ldm, job.vae), random_model(job.ldm, job.vae).variables
    run = jitted(lambda variables, condition: unet.apply(variables, condition, method="encode_condition"))
    return {"condition": measured(run, (variables, random_condition(job.ldm, batch)), batch, job.repeats)}


def measure_unet(job: Job) -> dict[str, Row]:
    """One evaluation with both decoders, the scene's features given."""
    batch = job.forward_batch()
    unet, variables = make_unet(job.ldm, job.vae), random_model(job.ldm, job.vae).variables
    z, t = jnp.zeros((batch, *latent_size(job.ldm, job.vae))), jnp.full(batch, 0.5)
    encode = jitted(lambda variables, condition: unet.apply(variables, condition, method="encode_condition"))
    features = encode(variables, random_condition(job.ldm, batch))
    prior = None if job.ldm.unet.prior == "none" else z
    run = jitted(
        lambda variables, z, t, features, prior: unet.apply(variables, z, t, features, prior=prior, method="denoise")
    )
    return {"unet": measured(run, (variables, z, t, features, prior), batch, job.repeats)}


def jitted(function):
    """Compiled as everything here is."""
    return jax.jit(function, compiler_options=compiler_options())
