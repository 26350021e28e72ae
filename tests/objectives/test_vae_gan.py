"""The autoencoder's and the discriminator's losses, with all gradients, against the original in every scenario."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.models.discriminator import Discriminator
from radiodiff_jax.models.layers import convolve
from radiodiff_jax.models.torch_weights import export_weights, import_weights
from radiodiff_jax.objectives import vae_gan
from radiodiff_jax.settings import DiscriminatorConfig, GANObjectiveConfig
from tests.golden_files import golden
from tests.models.comparison import assert_close, nhwc, relative_error, state_dict

DISCRIMINATOR = Discriminator(DiscriminatorConfig(base_channels=16))


@pytest.fixture(scope="module")
def file():
    return golden("vae_loss")


@pytest.fixture(scope="module")
def inputs(file):
    x, kernel = nhwc(file["in/x"]), np.asarray(file["in/last_layer"]).transpose(2, 3, 1, 0)
    shapes = jax.eval_shape(lambda: DISCRIMINATOR.init(jax.random.key(0), x, False))
    variables = import_weights("discriminator", shapes, state_dict(file, "sd/discriminator."), "the golden file")
    leaves = {
        "feat": nhwc(file["in/feat"]),
        "kernel": kernel,
        "bias": file["in/last_bias"],
        "moments": nhwc(file["in/moments"]),
        "logvar": file["in/logvar_param"],
        "disc": variables["params"],
    }
    return x, leaves, variables["batch_stats"]


def discriminate(params, batch_stats, image):
    variables = {"params": params, "batch_stats": batch_stats}
    logits, changed = DISCRIMINATOR.apply(variables, image, True, mutable=["batch_stats"])
    return logits, changed["batch_stats"]


def last_layer(kernel, bias, feat):
    return convolve(feat, kernel, 1, ((1, 1), (1, 1))) + bias


def original_generator_loss(leaves, batch_stats, x, step, kl_weight, perceptual):
    """The generator pass in the original's order: two extra backward passes for the adaptive weight."""
    config = GANObjectiveConfig(kl_weight=kl_weight, perceptual_weight=0.0 if perceptual is None else 1.0)

    def parts(kernel):
        output = last_layer(kernel, leaves["bias"], leaves["feat"])
        error = vae_gan.reconstruction_error(x, output, perceptual, config.perceptual_weight)
        logits, after = discriminate(leaves["disc"], batch_stats, output)
        return vae_gan.negative_log_likelihood(error, leaves["logvar"]), -jnp.mean(logits), (error, output, after)

    nll, g, (error, output, after) = parts(leaves["kernel"])
    weight = vae_gan.adaptive_weight(
        jax.grad(lambda k: parts(k)[0])(leaves["kernel"]), jax.grad(lambda k: parts(k)[1])(leaves["kernel"]), 0.5
    )
    kl = vae_gan.kl_loss(leaves["moments"])
    factor = vae_gan.discriminator_factor(config, step)
    loss = nll + kl_weight * kl + weight * factor * g
    logs = {"total_loss": loss, "kl_loss": kl, "nll_loss": nll, "rec_loss": error.mean(), "d_weight": weight,
            "disc_factor": factor, "g_loss": g, "logvar": leaves["logvar"]}  # fmt: skip
    return loss, (logs, output, after)


@pytest.fixture(scope="module")
def generator_pass(inputs):
    x, leaves, batch_stats = inputs

    @jax.jit
    def run(step, kl_weight, perceptual):
        def loss(leaves):
            return original_generator_loss(leaves, batch_stats, x, step, kl_weight, perceptual)

        return jax.value_and_grad(loss, has_aux=True)(leaves)

    return run


@pytest.mark.parametrize("name,step", [("gen_before", 50000), ("gen_after", 50001), ("gen_after_plpips", 50001)])
def test_generator_pass(file, generator_pass, name, step):
    perceptual = nhwc(file["in/p_loss"]) if name.endswith("lpips") else jnp.zeros((2, 1, 1, 1))
    (loss, (logs, output, after)), gradients = generator_pass(step, 1e-6, perceptual)
    assert_close(loss, file[f"{name}/loss"], 1e-5)
    assert_close(output, nhwc(file[f"{name}/rec"]), 1e-5)
    for log in ("total_loss", "kl_loss", "nll_loss", "rec_loss", "d_weight", "disc_factor", "g_loss", "logvar"):
        assert_close(logs[log], file[f"{name}/log_{log}"], 1e-5, log)
    assert_close(gradients["feat"], nhwc(file[f"{name}/grad_feat"]), 1e-4)
    assert_close(gradients["kernel"].transpose(3, 2, 0, 1), file[f"{name}/grad_last_layer"], 1e-4)
    assert_close(gradients["bias"], file[f"{name}/grad_last_bias"], 1e-4)
    assert_close(gradients["moments"], nhwc(file[f"{name}/grad_moments"]), 1e-4)
    assert_close(gradients["logvar"], file[f"{name}/grad_logvar"], 1e-4)
    check_discriminator(file, name, gradients["disc"], after)


def check_discriminator(file, name, gradients, batch_stats):
    ours = export_weights("discriminator", {"params": gradients})
    for key, value in state_dict(file, f"{name}/grad_disc.").items():
        assert_close(ours[key], value, 1e-3, key)
    books = export_weights("discriminator", {"batch_stats": batch_stats})
    for key, value in state_dict(file, f"{name}/discbuf_").items():
        assert_close(books[key], value, 1e-5, key)


def test_kl_weight(file, generator_pass):
    (loss, _), gradients = generator_pass(50001, 0.01, jnp.zeros((2, 1, 1, 1)))
    assert_close(loss, file["gen_after_klw0p01/loss"], 1e-5)
    assert_close(gradients["moments"], nhwc(file["gen_after_klw0p01/grad_moments"]), 1e-4)


@pytest.mark.parametrize("name,step", [("disc_before", 50000), ("disc_after", 50001)])
def test_discriminator_pass(file, inputs, name, step):
    x, leaves, batch_stats = inputs
    output = last_layer(leaves["kernel"], leaves["bias"], leaves["feat"])
    config = GANObjectiveConfig()

    @jax.jit
    def run(params, step):
        terms = vae_gan.adversarial_terms(config, discriminate, params, batch_stats, x, output)
        factor = vae_gan.discriminator_factor(config, step)
        return factor * terms.loss, jax.tree.map(lambda g: factor * g, terms.gradients), terms.batch_stats, terms.metrics

    loss, gradients, after, metrics = run(leaves["disc"], step)
    assert_close(loss, file[f"{name}/loss"], 1e-5)
    assert abs(metrics["logits_real"] - file[f"{name}/log_logits_real"]) < 1e-6  # a mean that all but cancels
    assert_close(metrics["logits_fake"], file[f"{name}/log_logits_fake"], 1e-5)
    check_discriminator(file, name, gradients, after)


def test_adaptive_weight(file):
    first, second = file["adaptive/nll_grad"], file["adaptive/g_grad"]
    assert_close(np.linalg.norm(first), file["adaptive/nll_grad_norm"], 1e-6)
    assert_close(np.linalg.norm(second), file["adaptive/g_grad_norm"], 1e-6)
    assert_close(vae_gan.adaptive_weight(first, second, 0.5), file["adaptive/d_weight"], 1e-6)
    assert vae_gan.adaptive_weight(1e9 * np.ones(3), np.zeros(3), 0.5) == 0.5e4  # clamped


def test_cotangents_give_what_backward_passes_give(file, inputs, generator_pass):
    """One pass over the last layer with the weighted cotangent equals the original's gradients."""
    x, leaves, batch_stats = inputs
    config = GANObjectiveConfig(log_variance=float(leaves["logvar"]))

    @jax.jit
    def run():
        output, pull = jax.vjp(last_layer, leaves["kernel"], leaves["bias"], leaves["feat"])
        _, likelihood, _ = vae_gan.likelihood_terms(config, x, output)
        terms = vae_gan.adversarial_terms(config, discriminate, leaves["disc"], batch_stats, x, output)
        weight = vae_gan.adaptive_weight(pull(likelihood)[0], pull(terms.generator_cotangent)[0], 0.5)
        return weight, pull(likelihood + weight * terms.generator_cotangent)

    weight, (kernel, bias, feat) = run()
    assert_close(weight, file["gen_after/log_d_weight"], 1e-5)
    assert_close(kernel.transpose(3, 2, 0, 1), file["gen_after/grad_last_layer"], 1e-4)
    assert_close(bias, file["gen_after/grad_last_bias"], 1e-4)
    assert_close(feat, nhwc(file["gen_after/grad_feat"]), 1e-4)
    assert relative_error(kernel, generator_pass(50000, 1e-6, jnp.zeros((2, 1, 1, 1)))[1]["kernel"]) > 1e-3
