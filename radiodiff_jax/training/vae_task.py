"""The training of the autoencoder, alone at first and against a discriminator later, as pure functions."""

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from radiodiff_jax.config import VAEConfig
from radiodiff_jax.models.autoencoder import Autoencoder, posterior_sample
from radiodiff_jax.models.discriminator import Discriminator
from radiodiff_jax.models.initialisers import first_values
from radiodiff_jax.models.perceptual import perceptual_distance
from radiodiff_jax.objectives import vae_gan
from radiodiff_jax.objectives.decoupled_diffusion import latent_to_gain
from radiodiff_jax.training import ema
from radiodiff_jax.training.accumulation import accumulate
from radiodiff_jax.training.optimizer import learning_rate, optimizer
from radiodiff_jax.training.task import Batch, Metrics, State, Task, Tree


class Networks:
    """The two networks of a configuration and how they are called."""

    def __init__(self, config: VAEConfig):
        self.autoencoder = Autoencoder(config.autoencoder, config.precision)
        self.discriminator = Discriminator(config.discriminator, config.precision)

    def to_hidden(self, params: Tree, image: Array, noise: Array) -> tuple[Array, Array]:
        """(input of the last layer, posterior moments), in training mode."""
        moments = self.autoencoder.apply({"params": params}, image, True, method="encode")
        z = posterior_sample(moments, noise)
        return self.autoencoder.apply({"params": params}, z, True, method="hidden"), moments

    def last_layer(self, layer: Tree, hidden: Array) -> Array:
        """Input of the last layer -> reconstruction."""
        return self.autoencoder.apply({"params": {"convolution_out": layer}}, hidden, method="last_layer")

    def discriminate(self, params: Tree, batch_stats: Tree, image: Array) -> tuple[Array, Tree]:
        """(logits, new batch statistics), in training mode."""
        variables = {"params": params, "batch_stats": batch_stats}
        logits, changed = self.discriminator.apply(variables, image, True, mutable=["batch_stats"])
        return logits, changed["batch_stats"]


def gradients(
    config: VAEConfig, networks: Networks, params: Tree, batch_stats: Tree, perceptual: Tree | None, image: Array,
    noise: Array, step: Array,
) -> tuple[dict[str, Tree], Tree, Metrics]:  # fmt: skip
    """Gradients for both networks from one forward and one backward pass of the autoencoder.

    The likelihood and the adversarial loss meet the network at the reconstruction. Their cotangents there give the last
    layer's two gradients by a vjp of that layer alone, hence the adaptive weight; the weighted sum of the cotangents is
    then all that the backward pass needs. Before `discriminator_start` the discriminator is not run at all.

    Returns ({"autoencoder", "discriminator"}, batch statistics of the discriminator, metrics).
    """
    objective = config.objective
    (hidden, moments), pull_hidden = jax.vjp(lambda p: networks.to_hidden(p, image, noise), params["autoencoder"])
    output, pull_last = jax.vjp(networks.last_layer, params["autoencoder"]["convolution_out"], hidden)
    distance = None if perceptual is None else lambda x, r: perceptual_distance(perceptual, x, r)
    nll, cotangent, error = vae_gan.likelihood_terms(objective, image, output, distance)
    kl, along_moments = jax.value_and_grad(vae_gan.kl_loss)(moments)

    def against(_) -> tuple:
        terms = vae_gan.adversarial_terms(
            objective, networks.discriminate, params["discriminator"], batch_stats, image, output
        )
        likelihood, adversarial = (
            pull_last(along)[0]["kernel"] for along in (cotangent, terms.generator_cotangent)
        )
        weight = vae_gan.adaptive_weight(likelihood, adversarial, objective.discriminator_weight)
        factor = weight * objective.discriminator_factor
        scaled = jax.tree.map(lambda g: objective.discriminator_factor * g, terms.gradients)
        metrics = {"d_weight": weight, "g_loss": terms.generator_loss, **terms.metrics}
        return factor * terms.generator_cotangent, scaled, terms.batch_stats, metrics

    def alone(_) -> tuple:
        shapes = jax.eval_shape(against, None)
        nothing = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return nothing[0], nothing[1], batch_stats, nothing[3]

    playing = step >= objective.discriminator_start
    adversarial, of_discriminator, batch_stats, metrics = lax.cond(playing, against, alone, None)
    along_last, along_hidden = pull_last(cotangent + adversarial)
    (of_autoencoder,) = pull_hidden((along_hidden, objective.kl_weight * along_moments))
    of_autoencoder["convolution_out"] = jax.tree.map(jnp.add, of_autoencoder["convolution_out"], along_last)
    total = nll + objective.kl_weight * kl + metrics["d_weight"] * objective.discriminator_factor * metrics["g_loss"]
    metrics = {"loss": total, "nll_loss": nll, "rec_loss": error, "kl_loss": kl, **metrics}
    return {"autoencoder": of_autoencoder, "discriminator": of_discriminator}, batch_stats, metrics


def count_on(optimizer_state: Tree) -> Tree:
    """The state after an update without gradient: only the counters move, so that the schedule follows the step."""
    return jax.tree.map(lambda x: x + 1 if jnp.issubdtype(x.dtype, jnp.integer) else x, optimizer_state)


def make_vae_task(config: VAEConfig) -> Task:
    """The two-phase training of an autoencoder as the loop wants it."""
    networks = Networks(config)
    channels = config.autoencoder.embedding_channels
    updates = {name: optimizer(config.optimizer, config.training.steps) for name in ("autoencoder", "discriminator")}
    rate = learning_rate(config.optimizer, config.training.steps)

    def initialise(key: PRNGKeyArray) -> State:
        first, second = jax.random.split(key)
        image = jax.ShapeDtypeStruct((1, *config.image_size, config.autoencoder.image_channels), jnp.float32)
        judge = first_values(networks.discriminator, second, image, train=False)
        params = {
            "autoencoder": first_values(networks.autoencoder, first, image)["params"],
            "discriminator": judge["params"],
        }
        return {
            "step": jnp.zeros((), jnp.int32),
            "params": params,
            "batch_stats": judge["batch_stats"],
            "optimizer": {name: update.init(params[name]) for name, update in updates.items()},
            "ema": ema.initialise({"params": params, "batch_stats": judge["batch_stats"]}),
        }

    def step(state: State, frozen: Tree, batch: Batch, key: PRNGKeyArray) -> tuple[State, Metrics]:
        image = 2 * batch["gain"] - 1
        factor = config.autoencoder.downsampling
        size = (image.shape[0], image.shape[1] // factor, image.shape[2] // factor, channels)
        noise = jax.random.normal(key, size)
        params, optimizers = state["params"], state["optimizer"]

        def microbatch(batch_stats: Tree, piece: tuple[Array, Array], number: Array | int) -> tuple[Tree, Tree, Metrics]:
            return gradients(config, networks, params, batch_stats, frozen.get("perceptual"), *piece, state["step"])

        found, batch_stats, metrics = accumulate(
            microbatch, state["batch_stats"], (image, noise), config.optimizer.accumulate
        )

        def move(name: str) -> tuple[Tree, Tree]:
            change, new = updates[name].update(found[name], optimizers[name], params[name])
            return optax.apply_updates(params[name], change), new

        playing = state["step"] >= config.objective.discriminator_start
        moved = {
            "autoencoder": move("autoencoder"),
            "discriminator": lax.cond(
                playing,
                lambda: move("discriminator"),
                lambda: (params["discriminator"], count_on(optimizers["discriminator"])),
            ),
        }
        params = {name: new for name, (new, _) in moved.items()}
        metrics["grad_norm"] = optax.tree.norm(found["autoencoder"])
        metrics["disc_grad_norm"] = optax.tree.norm(found["discriminator"])
        metrics["learning_rate"] = rate(state["step"])
        online = {"params": params, "batch_stats": batch_stats}
        return {
            "step": state["step"] + 1,
            **online,
            "optimizer": {name: new for name, (_, new) in moved.items()},
            "ema": ema.update(config.ema, state["ema"], online),
        }, metrics

    def predict(state: State, frozen: Tree, batch: Batch, key: PRNGKeyArray) -> Array:
        source = state["ema"]["average"] if config.ema.use else state
        image = 2 * batch["gain"] - 1
        return latent_to_gain(networks.autoencoder.apply({"params": source["params"]["autoencoder"]}, image))

    def phase(number: int) -> str:
        return "vae" if number < config.objective.discriminator_start else "vae_gan"

    return Task("vae", initialise, step, predict, phase)
