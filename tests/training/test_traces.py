"""Short trainings of both stages, composed of our pure functions in the original's order, against its recorded traces."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from radiodiff_jax.models.autoencoder import Autoencoder, posterior_sample
from radiodiff_jax.models.discriminator import Discriminator
from radiodiff_jax.models.radiodiff import RadioDiffBackbone, RadioDiffNetwork
from radiodiff_jax.models.torch_weights import export_weights, import_weights
from radiodiff_jax.objectives import decoupled as diffusion
from radiodiff_jax.objectives import vae_gan
from radiodiff_jax.objectives.decoupled import Decoupled
from radiodiff_jax.objectives.objective import Noised
from radiodiff_jax.settings import (
    AutoencoderConfig,
    DiscriminatorConfig,
    GANObjectiveConfig,
    OptimizerConfig,
    SwinConfig,
)
from radiodiff_jax.spaces.latent import to_gain
from radiodiff_jax.training.optimizer import optimizer
from tests.golden_files import golden
from tests.models.comparison import assert_close, nhwc, state_dict


@pytest.fixture(scope="module")
def traces():
    return golden("traces")


def test_vae_gan(traces):
    """Four iterations of two forward passes each, the discriminator joining in the third."""
    vae_file, disc_file = golden("vae_small"), golden("disc_small")
    autoencoder = Autoencoder(AutoencoderConfig(base_channels=32))
    discriminator = Discriminator(DiscriminatorConfig(base_channels=16))
    image = jnp.asarray(nhwc(vae_file["in/x"]))
    shapes = jax.eval_shape(autoencoder.init, jax.random.key(0), image)
    params = import_weights("vae", shapes, state_dict(vae_file, "sd/"), "golden")["params"]
    shapes = jax.eval_shape(lambda: discriminator.init(jax.random.key(0), image, False))
    judge = import_weights("discriminator", shapes, state_dict(disc_file, "sd/"), "golden")
    objective = GANObjectiveConfig(discriminator_start=2)
    update = optimizer(
        OptimizerConfig(learning_rate=1e-4, weight_decay=1e-2, schedule="polynomial", power=0.95, minimum=5e-7,
                        clip_norm=None),
        10,
    )  # fmt: skip

    def discriminate(params, batch_stats, image):
        variables = {"params": params, "batch_stats": batch_stats}
        logits, changed = discriminator.apply(variables, image, True, mutable=["batch_stats"])
        return logits, changed["batch_stats"]

    def reconstruct(params, noise):
        moments = autoencoder.apply({"params": params}, image, method="encode")
        return autoencoder.apply({"params": params}, posterior_sample(moments, noise), method="decode"), moments

    @jax.jit
    def iteration(params, judge, states, noise, step):
        factor = vae_gan.discriminator_factor(objective, step)

        def generator(params):
            output, moments = reconstruct(params, noise[0])
            error = vae_gan.reconstruction_error(image, output, None, 0.0)
            nll, kl = vae_gan.negative_log_likelihood(error, 0.0), vae_gan.kl_loss(moments)
            logits, after = discriminate(judge["params"], judge["batch_stats"], output)
            return (nll, -logits.mean()), (kl, error.mean(), after)

        (nll, g), pull, (kl, error, batch_stats) = jax.vjp(generator, params, has_aux=True)
        last = [pull((1.0 - i, float(i)))[0]["convolution_out"]["kernel"] for i in range(2)]
        weight = vae_gan.adaptive_weight(*last, objective.discriminator_weight)
        gradients = pull((0.5, 0.5 * weight * factor))[0]
        kl_gradients = jax.grad(lambda p: vae_gan.kl_loss(reconstruct(p, noise[0])[1]))(params)
        gradients = jax.tree.map(lambda a, b: a + 0.5 * objective.kl_weight * b, gradients, kl_gradients)
        change, first = update.update(gradients, states[0], params)
        params = optax.apply_updates(params, change)

        output, _ = reconstruct(params, noise[1])
        terms = vae_gan.adversarial_terms(objective, discriminate, judge["params"], batch_stats, image, output)
        gradients = jax.tree.map(lambda x: 0.5 * factor * x, terms.gradients)
        change, second = update.update(gradients, states[1], judge["params"])
        judge = {"params": optax.apply_updates(judge["params"], change), "batch_stats": terms.batch_stats}
        total = nll + objective.kl_weight * kl + weight * factor * g
        logs = {"d_weight": weight, "disc_factor": factor, "disc_loss": factor * terms.loss, "g_loss": g,
                "kl_loss": kl, "logits_fake": terms.metrics["logits_fake"], "logits_real": terms.metrics["logits_real"],
                "logvar": 0.0, "nll_loss": nll, "rec_loss": error, "scaled_loss0": total / 2,
                "scaled_loss1": factor * terms.loss / 2, "total_loss": total}  # fmt: skip
        return params, judge, (first, second), logs

    states = update.init(params), update.init(judge["params"])
    names = [str(name) for name in traces["vae/names"]]
    for step, expected in enumerate(traces["vae/trace"]):
        noise = jnp.stack([nhwc(x) for x in traces["vae/posterior_noise"][step]])
        params, judge, states, logs = iteration(params, judge, states, noise, step)
        for name, value in zip(names, expected, strict=True):
            # |d g / d last layer| jumps by up to 0.6 % when one leaky ReLU of the discriminator crosses zero, which a
            # change of the parameters by 1e-6 of their size does at the second iteration (1.3422, 1.3450, 1.3507 or
            # 1.3535 were seen; the recorded one is 1.3507). All else, and the weights in the end, are held tightly.
            tolerance = 1e-2 if name == "d_weight" else 1e-4
            assert abs(float(logs[name]) - value) <= tolerance * max(abs(value), 0.1), (step, name, float(logs[name]), value)
    ours = export_weights("vae", {"params": params}) | {
        f"loss.discriminator.{name}": value for name, value in export_weights("discriminator", judge).items()
    }
    for name, value in state_dict(traces, "vae/final/").items():
        if name != "loss.logvar":
            assert_close(ours[name], value, 1e-5, name)
    for name, value in state_dict(traces, "vae/final_buf/").items():
        assert_close(ours[f"loss.discriminator.{name}"], value, 1e-3, name)


def test_latent_diffusion(traces):
    """Three optimizer steps of two micro-batches each, batch normalisation in training mode, no dropout."""
    file = golden("unet_small")
    config = RadioDiffBackbone(
        base_channels=16, relation_dropout=0.0, swin=SwinConfig(16, (2, 2, 2, 2), (1, 2, 4, 8), stochastic_depth=0.0)
    )
    unet, objective = RadioDiffNetwork(config), Decoupled()
    condition = jnp.asarray(nhwc(file["A/cond"]))
    z = nhwc(traces["ldm/z0"][0, 0])
    shapes = jax.eval_shape(lambda: unet.init({"params": jax.random.key(0)}, z, jnp.ones(2), condition))
    variables = import_weights("unet", shapes, state_dict(file, "sd/"), "golden")
    update = optimizer(
        OptimizerConfig(learning_rate=2e-4, weight_decay=1e-4, schedule="polynomial", power=0.96, minimum=5e-6,
                        clip_norm=1.0),
        10,
    )  # fmt: skip

    @jax.jit
    def microbatch(params, batch_stats, x0, noise, t):
        def loss(params):
            v = {"params": params, "batch_stats": batch_stats, "constants": variables["constants"]}
            x = diffusion.forward_process(x0, noise, -x0, t)
            raw, changed = unet.apply(v, x, t, condition, True, mutable=["batch_stats"])
            noised = Noised(x, t, {"attenuation": -x0, "noise": noise})
            loss, _ = objective.loss(objective.precondition(raw, x, t, None), noised, None)
            return loss.mean(), changed["batch_stats"]

        return jax.value_and_grad(loss, has_aux=True)(params)

    params, batch_stats = variables["params"], variables["batch_stats"]
    state = update.init(params)
    for step, expected in enumerate(traces["ldm/loss_a_loss_b_gradnorm"]):
        total, losses = jax.tree.map(jnp.zeros_like, params), []
        for part in range(2):
            x0, noise = (nhwc(traces[f"ldm/{name}"][step, part]) for name in ("z0", "noise"))
            (loss, batch_stats), found = microbatch(params, batch_stats, x0, noise, traces["ldm/t"][step, part])
            losses.append(float(loss))
            total = jax.tree.map(lambda a, b: a + b / 2, total, found)
        np.testing.assert_allclose(losses, expected[:2], rtol=1e-3)
        np.testing.assert_allclose(optax.tree.norm(total), expected[2], rtol=1e-3)
        change, state = jax.jit(update.update)(total, state, params)
        params = optax.apply_updates(params, change)
    ours = export_weights("unet", {"params": params, "batch_stats": batch_stats})
    for name, value in (state_dict(traces, "ldm/final/") | state_dict(traces, "ldm/final_buf/")).items():
        assert_close(ours[name], value, 2e-3, name)


@pytest.mark.parametrize("steps", [1, 5])
def test_sampling_end_to_end(traces, steps):
    """Real small networks, all noise given: every latent of the trajectory and the final image."""
    file, vae_file = golden("unet_small"), golden("vae_small")
    unet = RadioDiffNetwork(RadioDiffBackbone(base_channels=16, swin=SwinConfig(16, (2, 2, 2, 2), (1, 2, 4, 8))))
    autoencoder = Autoencoder(AutoencoderConfig(base_channels=32))
    condition = jnp.asarray(nhwc(file["A/cond"]))
    start = jnp.asarray(nhwc(traces[f"e2e_N{steps}/x_init"]))
    shapes = jax.eval_shape(lambda: unet.init({"params": jax.random.key(0)}, start, jnp.ones(2), condition))
    variables = import_weights("unet", shapes, state_dict(file, "sd/"), "golden")
    shapes = jax.eval_shape(autoencoder.init, jax.random.key(0), nhwc(vae_file["in/x"]))
    decoder = import_weights("vae", shapes, state_dict(vae_file, "sd/"), "golden")
    features = jax.jit(lambda c: unet.apply(variables, c, method="encode_condition"))(condition)

    @functools.partial(jax.jit, static_argnums=2)
    def predict(x, t, wanted):
        raw = unet.apply(variables, x, t, features, False, wanted, method="denoise")
        return Decoupled().precondition(raw, x, t, None)

    draws = jnp.stack([start, *map(nhwc, traces[f"e2e_N{steps}/eps"])])
    z, record = diffusion.trajectory(predict, lambda i: draws[i], steps, 1e-4)
    for i, expected in enumerate(traces[f"e2e_N{steps}/z_steps"]):
        assert_close(record.following[i], nhwc(expected), 1e-4, f"latent after evaluation {i}")
    image = jax.jit(lambda z: autoencoder.apply(decoder, z, method="decode"))(z / 0.3)
    assert_close(to_gain(image)[..., None], nhwc(traces[f"e2e_N{steps}/image"]), 1e-4)
