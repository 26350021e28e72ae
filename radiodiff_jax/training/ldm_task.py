"""The training of the latent diffusion model over a frozen autoencoder, as pure functions."""

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from radiodiff_jax.config import LDMConfig, VAEConfig
from radiodiff_jax.models.autoencoder import Autoencoder, posterior_sample
from radiodiff_jax.models.initialisers import first_values
from radiodiff_jax.models.unet import UNet
from radiodiff_jax.objectives import decoupled_diffusion as diffusion
from radiodiff_jax.objectives.latent_sampler import prior_latent, sample_gain
from radiodiff_jax.training import ema
from radiodiff_jax.training.optimizer import learning_rate, optimizer
from radiodiff_jax.training.task import Batch, Metrics, State, Task, Tree


def make_unet(config: LDMConfig, autoencoder: VAEConfig) -> UNet:
    """The U-Net for the latents of an autoencoder."""
    return UNet(config.unet, autoencoder.autoencoder.embedding_channels, config.precision)


def latent_size(config: LDMConfig, autoencoder: VAEConfig) -> tuple[int, int, int]:
    """(height, width, channels) of the latent."""
    factor = autoencoder.autoencoder.downsampling
    return config.image_size[0] // factor, config.image_size[1] // factor, autoencoder.autoencoder.embedding_channels


def first_variables(config: LDMConfig, autoencoder: VAEConfig, key: PRNGKeyArray) -> Tree:
    """The U-Net's variables before any training, without running it."""
    size = latent_size(config, autoencoder)
    shapes = ((1, *size), (1,), (1, *config.image_size, config.unet.condition_channels))
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    prior = None if config.unet.prior == "none" else inputs[0]
    return first_values(make_unet(config, autoencoder), {"params": key}, *inputs, prior=prior)


def microbatch_gradients(
    config: LDMConfig, unet: UNet, state: State, x0: Array, condition: Array, prior: Array | None, batch_stats: Tree,
    key: PRNGKeyArray,
) -> tuple[Tree, Tree, Metrics]:  # fmt: skip
    """(gradients, batch statistics, metrics) of the diffusion loss for latents `x0` already scaled."""
    for_time, for_noise, for_dropout = jax.random.split(key, 3)
    t = diffusion.draw_times(for_time, x0.shape[0], config.objective.smallest_time)
    noise = jax.random.normal(for_noise, x0.shape)
    x = diffusion.forward_process(x0, noise, -x0, t)

    def loss(params: Tree) -> tuple[Array, tuple[Metrics, Tree]]:
        variables = {"params": params, "batch_stats": batch_stats, "constants": state["constants"]}
        rngs = {"dropout": for_dropout}
        (c, n), changed = unet.apply(variables, x, t, condition, True, prior, rngs=rngs, mutable=["batch_stats"])
        value, metrics = diffusion.diffusion_loss(config.objective, c, n, x0, noise, t)
        return value, (metrics, changed["batch_stats"])

    gradients, (metrics, batch_stats) = jax.grad(loss, has_aux=True)(state["params"])
    return gradients, batch_stats, metrics


def make_ldm_task(config: LDMConfig, autoencoder_config: VAEConfig) -> Task:
    """The training of the conditional diffusion model.

    `frozen` holds "autoencoder" (parameters) and "scale" (latents are multiplied by it before diffusion).
    """
    autoencoder = Autoencoder(autoencoder_config.autoencoder, autoencoder_config.precision)
    unet = make_unet(config, autoencoder_config)
    size = latent_size(config, autoencoder_config)
    update = optimizer(config.optimizer, config.training.steps)
    rate = learning_rate(config.optimizer, config.training.steps)

    def initialise(key: PRNGKeyArray) -> State:
        variables = first_variables(config, autoencoder_config, key)
        online = {"params": variables["params"], "batch_stats": variables["batch_stats"]}
        return {
            "step": jnp.zeros((), jnp.int32),
            **online,
            "constants": variables["constants"],
            "optimizer": update.init(online["params"]),
            "ema": ema.initialise(online),
        }

    def encode(frozen: Tree, gain: Array, key: PRNGKeyArray) -> Array:
        moments = autoencoder.apply({"params": frozen["autoencoder"]}, 2 * gain - 1, method="encode")
        noise = jax.random.normal(key, (*moments.shape[:-1], size[-1]))
        return lax.stop_gradient(frozen["scale"] * posterior_sample(moments, noise))

    def step(state: State, frozen: Tree, batch: Batch, key: PRNGKeyArray) -> tuple[State, Metrics]:
        parts = config.optimizer.accumulate

        def cut(x: Array) -> Array:
            return x.reshape(parts, x.shape[0] // parts, *x.shape[1:])

        def accumulate(carry: tuple, part: tuple) -> tuple[tuple, Metrics]:
            total, batch_stats = carry
            gain, condition, index = part
            for_posterior, for_diffusion = jax.random.split(jax.random.fold_in(key, index))
            x0 = encode(frozen, gain, for_posterior)
            found, batch_stats, metrics = microbatch_gradients(
                config, unet, state, x0, condition, prior_latent(unet, autoencoder, frozen, condition), batch_stats,
                for_diffusion,
            )
            return (jax.tree.map(lambda a, b: a + b / parts, total, found), batch_stats), metrics

        zeros = jax.tree.map(jnp.zeros_like, state["params"])
        carry = (zeros, state["batch_stats"])
        if parts == 1:
            carry, metrics = accumulate(carry, (batch["gain"], batch["condition"], 0))
        else:
            pieces = (cut(batch["gain"]), cut(batch["condition"]), jnp.arange(parts))
            carry, metrics = lax.scan(accumulate, carry, pieces)
            metrics = jax.tree.map(jnp.mean, metrics)
        gradients, batch_stats = carry
        change, optimizer_state = update.update(gradients, state["optimizer"], state["params"])
        online = {"params": optax.apply_updates(state["params"], change), "batch_stats": batch_stats}
        metrics |= {"grad_norm": optax.tree.norm(gradients), "learning_rate": rate(state["step"])}
        return {
            "step": state["step"] + 1,
            **online,
            "constants": state["constants"],
            "optimizer": optimizer_state,
            "ema": ema.update(config.ema, state["ema"], online),
        }, metrics

    def predict(state: State, frozen: Tree, batch: Batch, key: PRNGKeyArray) -> Array:
        source = state["ema"]["average"] if config.ema.use else state
        variables = {**{k: source[k] for k in ("params", "batch_stats")}, "constants": state["constants"]}
        objective = config.objective
        return sample_gain(
            unet, variables, autoencoder, frozen, batch["condition"], key, objective.sampling_steps,
            objective.smallest_time, size, objective.blank_buildings,
        )  # fmt: skip

    return Task("ldm", initialise, step, predict, lambda number: "ldm")
