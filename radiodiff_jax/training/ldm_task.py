"""The training of the latent diffusion model over a frozen autoencoder, as pure functions."""

from functools import partial

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
from radiodiff_jax.training.accumulation import accumulate
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
    config: LDMConfig, unet: UNet, state: State, x0: Array, t: Array, noise: Array, condition: Array,
    prior: Array | None, batch_stats: Tree, for_dropout: PRNGKeyArray,
) -> tuple[Tree, Tree, Metrics]:  # fmt: skip
    """(gradients, batch statistics, metrics) of the diffusion loss for latents `x0` already scaled."""
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

    `frozen` holds "autoencoder" (parameters) and "scale" (latents are multiplied by it before diffusion). Batches hold
    "gain", or in its place what the autoencoder makes of it: "moments", and "guess" for a U-Net with a prior.
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

    def latents(frozen: Tree, piece: Batch) -> tuple[Array, Array | None]:
        """(scaled latent of the gain, scaled latent of the first guess), computed or taken from the batch."""
        if "moments" in piece:
            guess = frozen["scale"] * piece["guess"] if "guess" in piece else None
            return frozen["scale"] * posterior_sample(piece["moments"], piece["posterior"]), guess
        moments = autoencoder.apply({"params": frozen["autoencoder"]}, 2 * piece["gain"] - 1, method="encode")
        x0 = lax.stop_gradient(frozen["scale"] * posterior_sample(moments, piece["posterior"]))
        return x0, prior_latent(unet, autoencoder, frozen, piece["condition"])

    def step(state: State, frozen: Tree, batch: Batch, key: PRNGKeyArray) -> tuple[State, Metrics]:
        parts = config.optimizer.accumulate
        count = batch["condition"].shape[0]
        # Drawn for the whole batch, so that it does not matter into how many microbatches it is cut.
        for_posterior, for_diffusion = jax.random.split(jax.random.fold_in(key, 0))
        for_time, for_noise, for_dropout = jax.random.split(for_diffusion, 3)
        pieces = {
            **{name: batch[name] for name in ("gain", "moments", "guess", "condition") if name in batch},
            "posterior": jax.random.normal(for_posterior, (count, *size)),
            "t": diffusion.draw_times(for_time, count, config.objective.smallest_time),
            "noise": jax.random.normal(for_noise, (count, *size)),
        }

        def microbatch(batch_stats: Tree, piece: Batch, number: Array | int) -> tuple[Tree, Tree, Metrics]:
            x0, prior = latents(frozen, piece)
            dropout = for_dropout if parts == 1 else jax.random.fold_in(for_dropout, number)
            return microbatch_gradients(
                config, unet, state, x0, piece["t"], piece["noise"], piece["condition"], prior, batch_stats, dropout
            )

        gradients, batch_stats, metrics = accumulate(microbatch, state["batch_stats"], pieces, parts)
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

    objective = config.objective

    def predict(state: State, frozen: Tree, batch: Batch, key: PRNGKeyArray, steps: int) -> Array:
        source = state["ema"]["average"] if config.ema.use else state
        variables = {**{k: source[k] for k in ("params", "batch_stats")}, "constants": state["constants"]}
        return sample_gain(
            unet, variables, autoencoder, frozen, batch["condition"], key, steps, objective.smallest_time, size,
            objective.blank_buildings,
        )  # fmt: skip

    other_ways = {f"{steps}_steps": partial(predict, steps=steps) for steps in objective.validation_steps}
    usual = partial(predict, steps=objective.sampling_steps)
    return Task("ldm", initialise, step, usual, lambda number: "ldm", other_ways)
