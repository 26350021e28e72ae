"""The training of the autoencoder, alone at first and against a discriminator later, as pure functions."""

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from radiodiff_jax.models.autoencoder import Autoencoder, posterior_sample
from radiodiff_jax.models.discriminator import Discriminator
from radiodiff_jax.models.initialisers import first_values
from radiodiff_jax.models.perceptual import perceptual_distance
from radiodiff_jax.objectives import vae_gan
from radiodiff_jax.settings import VAEConfig
from radiodiff_jax.spaces.buildings import blank_buildings, fill_buildings
from radiodiff_jax.spaces.latent import to_gain, to_image
from radiodiff_jax.training import ema
from radiodiff_jax.training.flat import by_name, like
from radiodiff_jax.training.optimizer import accumulate, first_guard, learning_rate, optimizer, skip_bad_updates
from radiodiff_jax.training.task import Batch, Metrics, State, Task, Tree
from radiodiff_jax.units import grey_to_gain


class Networks:
    """The two networks of a configuration and how they are called."""

    def __init__(self, config: VAEConfig):
        self.autoencoder = Autoencoder(config.autoencoder, config.precision)
        self.discriminator = Discriminator(config.discriminator, config.precision)

    def to_hidden(self, params: Tree, image: Array, noise: Array, dropout: PRNGKeyArray) -> tuple[Array, Array]:
        """(input of the last layer, posterior moments), in training mode."""
        of_encoder, of_decoder = ({"dropout": jax.random.fold_in(dropout, part)} for part in range(2))
        moments = self.autoencoder.apply({"params": params}, image, True, method="encode", rngs=of_encoder)
        z = posterior_sample(moments, noise)
        return self.autoencoder.apply({"params": params}, z, True, method="hidden", rngs=of_decoder), moments

    def last_layer(self, layer: Tree, hidden: Array) -> Array:
        """Input of the last layer -> reconstruction."""
        return self.autoencoder.apply({"params": {"convolution_out": layer}}, hidden, method="last_layer")

    def discriminate(self, params: Tree, batch_stats: Tree, image: Array) -> tuple[Array, Tree]:
        """(logits, new batch statistics), in training mode."""
        variables = {"params": params, "batch_stats": batch_stats}
        logits, changed = self.discriminator.apply(variables, image, True, mutable=["batch_stats"])
        return logits, changed["batch_stats"]


def vae_gradients(
    config: VAEConfig, networks: Networks, params: Tree, batch_stats: Tree, perceptual: Tree | None, image: Array,
    noise: Array, step: Array, dropout: PRNGKeyArray,
) -> tuple[dict[str, Tree], Tree, Metrics]:  # fmt: skip
    """Gradients for both networks from one forward and one backward pass of the autoencoder.

    The likelihood and the adversarial loss meet the network at the reconstruction. Their cotangents there give the last
    layer's two gradients by a vjp of that layer alone, hence the adaptive weight; the weighted sum of the cotangents is
    then all that the backward pass needs. Before `discriminator_start` the discriminator is not run at all.

    Returns ({"autoencoder", "discriminator"}, batch statistics of the discriminator, metrics).
    """
    objective = config.objective
    (hidden, moments), pull_hidden = jax.vjp(lambda p: networks.to_hidden(p, image, noise, dropout), params["autoencoder"])
    output, pull_last = jax.vjp(networks.last_layer, params["autoencoder"]["convolution_out"], hidden)
    distance = None if perceptual is None else lambda x, r: perceptual_distance(perceptual, x, r)
    nll, cotangent, error = vae_gan.likelihood_terms(objective, image, output, distance)
    kl, moments_cotangent = jax.value_and_grad(vae_gan.kl_loss)(moments)

    def adversarial_phase(_) -> tuple:
        terms = vae_gan.adversarial_terms(
            objective, networks.discriminate, params["discriminator"], batch_stats, image, output
        )
        likelihood, adversarial = (
            pull_last(one)[0]["kernel"] for one in (cotangent, terms.generator_cotangent)
        )
        weight = vae_gan.adaptive_weight(likelihood, adversarial, objective.discriminator_weight)
        factor = weight * objective.discriminator_factor
        scaled = jax.tree.map(lambda g: objective.discriminator_factor * g, terms.gradients)
        metrics = {"d_weight": weight, "g_loss": terms.generator_loss, **terms.metrics}
        return factor * terms.generator_cotangent, scaled, terms.batch_stats, metrics

    def first_phase(_) -> tuple:
        shapes = jax.eval_shape(adversarial_phase, None)
        nothing = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return nothing[0], nothing[1], batch_stats, nothing[3]

    adversarial_now = step >= objective.discriminator_start
    adversarial, of_discriminator, batch_stats, metrics = lax.cond(adversarial_now, adversarial_phase, first_phase, None)
    last_gradient, hidden_cotangent = pull_last(cotangent + adversarial)
    (of_autoencoder,) = pull_hidden((hidden_cotangent, objective.kl_weight * moments_cotangent))
    of_autoencoder["convolution_out"] = jax.tree.map(jnp.add, of_autoencoder["convolution_out"], last_gradient)
    total = nll + objective.kl_weight * kl + metrics["d_weight"] * objective.discriminator_factor * metrics["g_loss"]
    metrics = {"loss": total, "nll_loss": nll, "rec_loss": error, "kl_loss": kl, **metrics}
    return {"autoencoder": of_autoencoder, "discriminator": of_discriminator}, batch_stats, metrics


def make_vae_update(config: VAEConfig) -> Task:
    """The training of an autoencoder in two phases: alone, then against the discriminator.

    Of one batch: fill, encode, decode, both losses, gradients, clip, optimizers, average of the autoencoder, guard.
    """
    networks = Networks(config)
    clip_and_step = {name: optimizer(config.optimizer, config.training.steps) for name in ("autoencoder", "discriminator")}
    rate = learning_rate(config.optimizer, config.training.steps)

    def initialise(key: PRNGKeyArray) -> State:
        first, second = jax.random.split(key)
        image = jax.ShapeDtypeStruct((1, *config.image_size, 1), jnp.float32)
        discriminator = first_values(networks.discriminator, second, image, train=False)
        params = {
            "autoencoder": first_values(networks.autoencoder, first, image)["params"],
            "discriminator": discriminator["params"],
        }
        state = {
            "step": jnp.zeros((), jnp.int32),
            "params": params,
            "batch_stats": discriminator["batch_stats"],
            "optimizer": {name: one.init(params[name]) for name, one in clip_and_step.items()},
            "ema": ema.initialise(params["autoencoder"]),
        }
        return state | ({} if config.training.spike_factor is None else {"guard": first_guard()})

    def image_of(batch: Batch) -> Array:
        gain = grey_to_gain(batch["gain"])
        return to_image(fill_buildings(gain, batch["buildings"]) if config.fill else gain)

    def update(state: State, frozen: Tree, batch: Batch, key: PRNGKeyArray) -> tuple[State, Metrics]:
        factor, (height, width) = config.autoencoder.downsampling, config.image_size
        size = (batch["gain"].shape[0], height // factor, width // factor, config.autoencoder.latent_channels)
        pieces = {"image": image_of(batch), "noise": jax.random.normal(key, size)}
        params, optimizers = state["params"], state["optimizer"]
        named = by_name(params)

        def microbatch(batch_stats: Tree, piece: Batch, number: Array | int) -> tuple[Tree, Tree, Metrics]:
            dropout = jax.random.fold_in(jax.random.fold_in(key, 1), number)
            gradients, changed, metrics = vae_gradients(
                config, networks, named, by_name(batch_stats), frozen.get("perceptual"), piece["image"], piece["noise"],
                state["step"], dropout,
            )  # fmt: skip
            return like(params, gradients), like(batch_stats, changed), metrics

        found, batch_stats, metrics = accumulate(microbatch, state["batch_stats"], pieces, config.optimizer.accumulate)

        def moved(name: str) -> tuple[Tree, Tree]:
            change, new = clip_and_step[name].update(found[name], optimizers[name], params[name])
            return optax.apply_updates(params[name], change), new

        adversarial = state["step"] >= config.objective.discriminator_start
        resting = (params["discriminator"], count_on(optimizers["discriminator"]))
        of_discriminator = lax.cond(adversarial, lambda: moved("discriminator"), lambda: resting)
        both = {"autoencoder": moved("autoencoder"), "discriminator": of_discriminator}
        new_params = {name: one[0] for name, one in both.items()}
        metrics |= {
            "grad_norm": optax.tree.norm(found["autoencoder"]),
            "disc_grad_norm": optax.tree.norm(found["discriminator"]),
            "learning_rate": rate(state["step"]),
        }
        new = state | {
            "step": state["step"] + 1,
            "params": new_params,
            "batch_stats": batch_stats,
            "optimizer": {name: one[1] for name, one in both.items()},
            "ema": ema.update(config.ema, state["ema"], new_params["autoencoder"]),
        }
        return skip_bad_updates(state, new, metrics, config.training.spike_factor)

    def predict(state: State, frozen: Tree, batch: Batch, key: PRNGKeyArray) -> Array:
        params = state["ema"]["average"] if config.ema.use else state["params"]["autoencoder"]
        gain = to_gain(networks.autoencoder.apply({"params": by_name(params)}, image_of(batch)))
        return blank_buildings(gain, batch["buildings"]) if config.fill else gain

    def phase(number: int) -> str:
        return "vae" if number < config.objective.discriminator_start else "vae_gan"

    def pieces(state: State) -> list[Tree]:
        return [*state["params"].values(), state["batch_stats"]]

    return Task("vae", initialise, update, predict, phase, pieces=pieces)


def count_on(optimizer_state: Tree) -> Tree:
    """The state after an update without gradient: only the counters move, so that the schedule follows the step."""
    return jax.tree.map(lambda x: x + 1 if jnp.issubdtype(x.dtype, jnp.integer) else x, optimizer_state)
