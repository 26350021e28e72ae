"""Autoencoder, discriminator and Swin encoder against the original's outputs, activations and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.models.autoencoder import (
    Autoencoder,
    kl_divergence,
    negative_log_likelihood,
    posterior_sample,
    split_moments,
)
from radiodiff_jax.models.discriminator import Discriminator
from radiodiff_jax.models.swin import SwinEncoder
from radiodiff_jax.models.torch_weights import import_weights
from radiodiff_jax.objectives.vae_gan import discriminator_loss
from radiodiff_jax.settings import AutoencoderConfig, DiscriminatorConfig, SwinConfig
from tests.golden_files import golden
from tests.models.comparison import assert_close, assert_gradient_norms, assert_gradients, at, nhwc, state_dict

AUTOENCODER = Autoencoder(AutoencoderConfig(base_channels=32))
DISCRIMINATOR = Discriminator(DiscriminatorConfig(base_channels=16))
SWIN = SwinEncoder(SwinConfig(16, (2, 2, 2, 2), (1, 2, 4, 8)))


@pytest.fixture(scope="module")
def vae():
    file = golden("vae_small")
    shapes = jax.eval_shape(AUTOENCODER.init, jax.random.key(0), nhwc(file["in/x"]))
    return file, import_weights("vae", shapes, state_dict(file, "sd/"), "the golden file")


@pytest.fixture(scope="module")
def vae_result(vae):
    file, variables = vae
    x, noise, weight = (nhwc(file[f"in/{name}"]) for name in ("x", "eps", "grad_w"))

    @jax.jit
    def run(params):
        def loss(params):
            record = {"mutable": ["intermediates"], "capture_intermediates": True}
            moments, encoding = AUTOENCODER.apply({"params": params}, x, method="encode", **record)
            image = AUTOENCODER.apply({"params": params}, posterior_sample(moments, noise), method="decode")
            total = (image * weight).sum() + 0.01 * kl_divergence(moments).sum()
            return total, (moments, image, encoding["intermediates"])

        return jax.value_and_grad(loss, has_aux=True)(params)

    return run(variables["params"])


def test_autoencoder_outputs(vae, vae_result):
    file, variables = vae
    (loss, (moments, image, _)), _ = vae_result
    mean, log_variance = split_moments(moments)
    z = posterior_sample(moments, nhwc(file["in/eps"]))
    assert_close(moments, nhwc(file["out/moments"]), 1e-5, "moments")
    assert_close(mean, nhwc(file["out/mean"]), 1e-5, "mean")
    assert_close(log_variance, nhwc(file["out/logvar"]), 1e-5, "log variance")
    assert_close(jnp.exp(log_variance / 2), nhwc(file["out/std"]), 1e-5, "standard deviation")
    assert_close(z, nhwc(file["out/z_sample"]), 1e-5, "sample")
    assert_close(kl_divergence(moments), file["out/kl_per_sample"], 1e-5, "KL")
    assert_close(negative_log_likelihood(moments, z), file["out/nll_per_sample"], 1e-4, "NLL")
    assert_close(image, nhwc(file["out/rec_of_sample"]), 1e-5, "reconstruction")
    assert_close(loss, file["out/grad_loss"], 1e-4, "loss")


@pytest.fixture(scope="module")
def decoded(vae):
    file, variables = vae
    record = {"mutable": ["intermediates"], "capture_intermediates": True}
    decode = jax.jit(lambda z: AUTOENCODER.apply(variables, z, method="decode", **record))
    image, state = decode(nhwc(file["in/z"]))
    assert_close(image, nhwc(file["out/dec_z"]), 1e-5, "decoded latent")
    return state["intermediates"]


def test_autoencoder_rectangle(vae):
    file, variables = vae

    @jax.jit
    def run(x):
        moments = AUTOENCODER.apply(variables, x, method="encode")
        return moments, AUTOENCODER.apply(variables, split_moments(moments)[0], method="decode")

    moments, image = run(nhwc(file["in/x_rect"]))
    assert_close(moments, nhwc(file["out/moments_rect"]), 1e-5)
    assert_close(image, nhwc(file["out/dec_mean_rect"]), 2e-5)


def test_autoencoder_gradients(vae, vae_result):
    file, gradients = vae[0], vae_result[1]
    assert_gradients("vae", gradients, file, "grad/", 1e-3)
    assert_gradient_norms("vae", gradients, file["gradnorm/names"], file["gradnorm/values"], 1e-3)


ACTIVATIONS = {
    "encoder.conv_in": "encoder/convolution_in",
    "encoder.down.0.block.0": "encoder/down_0_block_0",
    "encoder.down.0.downsample": "encoder/down_0_downsample",
    "encoder.down.1.block.0": "encoder/down_1_block_0",
    "encoder.down.1.downsample": "encoder/down_1_downsample",
    "encoder.down.2.block.1": "encoder/down_2_block_1",
    "encoder.mid.block_1": "encoder/middle/block_0",
    "encoder.mid.attn_1": "encoder/middle/attention",
    "encoder.mid.block_2": "encoder/middle/block_1",
    "encoder.norm_out": "encoder/norm_out",
    "encoder.conv_out": "encoder/convolution_out",
    "post_quant_conv": "latent_mixing",
    "decoder.conv_in": "decoder/convolution_in",
    "decoder.mid.attn_1": "decoder/middle/attention",
    "decoder.mid.block_2": "decoder/middle/block_1",
    "decoder.up.2.block.2": "decoder/up_2_block_2",
    "decoder.up.2.upsample": "decoder/up_2_upsample",
    "decoder.up.1.block.0": "decoder/up_1_block_0",
    "decoder.up.1.upsample": "decoder/up_1_upsample",
    "decoder.up.0.block.0": "decoder/up_0_block_0",
    "decoder.norm_out": "decoder/norm_out",
}


@pytest.mark.parametrize("theirs", ACTIVATIONS)
def test_autoencoder_activation(vae, vae_result, decoded, theirs):
    file, (_, (_, _, encoding)) = vae[0], vae_result[0]
    tree = encoding if theirs.startswith("encoder") else decoded
    ours = np.asarray(at(tree, f"{ACTIVATIONS[theirs]}/__call__/0"))[0]
    assert_close(ours[..., :3].transpose(2, 0, 1), file[f"act/{theirs}"], 1e-4, theirs)
    values = ours.reshape(-1, ours.shape[-1])
    assert_close(np.stack([values.mean(0), values.std(0)]), file[f"actstat/{theirs}"], 1e-4, theirs)


def test_every_autoencoder_activation_is_compared(vae):
    assert {key.removeprefix("act/") for key in vae[0].files if key.startswith("act/")} == set(ACTIVATIONS)


def test_log_variance_is_clamped_with_no_gradient_outside(vae):
    file = vae[0]
    moments = jnp.asarray(nhwc(file["clamp/moments"]))
    mean, log_variance = split_moments(moments)
    assert_close(log_variance, nhwc(file["clamp/logvar"]), 1e-6)
    assert_close(jnp.exp(log_variance / 2), nhwc(file["clamp/std"]), 1e-5)
    assert_close(kl_divergence(moments), file["clamp/kl_per_sample"], 1e-5)

    def loss(moments):
        mean, log_variance = split_moments(moments)
        return mean.sum() + log_variance.sum() + 1e-3 * kl_divergence(moments).sum()

    assert_close(jax.grad(loss)(moments), nhwc(file["clamp/grad"]), 1e-5)


@pytest.fixture(scope="module")
def discriminator():
    file = golden("disc_small")
    x = nhwc(file["in/x"])
    shapes = jax.eval_shape(lambda: DISCRIMINATOR.init(jax.random.key(0), x, False))
    return file, import_weights("discriminator", shapes, state_dict(file, "sd/"), "the golden file")


def test_discriminator_and_its_books(discriminator):
    file, variables = discriminator
    first, second = nhwc(file["in/x"]), nhwc(file["in/x2"])
    evaluate = jax.jit(lambda v, x: DISCRIMINATOR.apply(v, x, False))
    record = {"mutable": ["batch_stats", "intermediates"], "capture_intermediates": True}
    train = jax.jit(lambda v, x: DISCRIMINATOR.apply(v, x, True, **record))
    assert_close(evaluate(variables, first), nhwc(file["out/logits_eval"]), 1e-5)
    for x, logits, books in ((first, "logits_train", "after1/"), (second, "logits_train_2nd_batch", "after2/")):
        out, changed = train(variables, x)
        assert_close(out, nhwc(file[f"out/{logits}"]), 2e-5, logits)
        if books == "after1/":
            for name, activation in state_dict(file, "act_train/").items():
                index = int(name.removeprefix("main."))
                kind = "convolution" if index in (0, 2, 5, 8) else "norm"
                ours = at(changed, f"intermediates/{kind}_{(index + 1) // 3}/__call__/0")[0]
                assert_close(ours[..., :4].transpose(2, 0, 1), activation, 1e-4, name)
        variables = {**variables, "batch_stats": changed["batch_stats"]}
        for name, value in state_dict(file, books).items():
            if not name.endswith("num_batches_tracked"):
                _, index, kind = name.split(".")
                ours = variables["batch_stats"][f"norm_{int(index) // 3}"][kind.removeprefix("running_").replace("var", "variance")]
                assert_close(ours, value, 1e-5, books + name)
    assert_close(evaluate(variables, first), nhwc(file["out/logits_eval_after2"]), 1e-5)


def test_discriminator_losses_and_gradients(discriminator):
    file, variables = discriminator
    real, fake = nhwc(file["in/x"]), nhwc(file["in/x2"])

    @jax.jit
    def run(params):
        def loss(params, form):
            def apply(x):
                return DISCRIMINATOR.apply({**variables, "params": params}, x, True, mutable=["batch_stats"])[0]

            return discriminator_loss(apply(real), apply(fake), form)

        return jax.value_and_grad(loss)(params, "hinge"), loss(params, "vanilla")

    (hinge, gradients), vanilla = run(variables["params"])
    assert_close(hinge, file["out/hinge_loss"], 1e-5)
    assert_close(vanilla, file["out/vanilla_loss"], 1e-5)
    assert_gradients("discriminator", gradients, file, "grad_hinge/", 1e-3)


@pytest.fixture(scope="module")
def swin():
    file = golden("swin_small")
    shapes = jax.eval_shape(SWIN.init, jax.random.key(0), nhwc(file["64x64/x"]))
    return file, import_weights("swin", shapes, state_dict(file, "sd/"), "the golden file")


@pytest.mark.parametrize("size", ["64x64", "64x128", "76x100", "224x224", "256x256"])
def test_swin_at_all_sizes(swin, size):
    file, variables = swin
    maps = jax.jit(SWIN.apply)(variables, nhwc(file[f"{size}/x"]))
    for stage, ours in enumerate(maps):
        ours = np.asarray(ours)
        if f"{size}/out{stage}" in file.files:
            assert_close(ours, nhwc(file[f"{size}/out{stage}"]), 1e-5, f"stage {stage}")
        else:
            assert_close(ours[..., :4], nhwc(file[f"{size}/out{stage}_ch0to3"]), 1e-5, f"stage {stage}")
            values = ours.reshape(-1, ours.shape[-1])
            assert_close(np.stack([values.mean(0), values.std(0)]), file[f"{size}/out{stage}_stat"], 1e-5)


def test_swin_gradients_and_activations_of_an_odd_size(swin):
    file, variables = swin

    @jax.jit
    def run(params, x):
        def loss(params, x):
            record = {"mutable": ["intermediates"], "capture_intermediates": True}
            maps, state = SWIN.apply({"params": params}, x, **record)
            total = sum((ours * nhwc(file[f"72x72/grad_w{i}"])).sum() for i, ours in enumerate(maps))
            return total, (maps, state["intermediates"])

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(params, x)

    (loss, (maps, intermediates)), (params, x) = run(variables["params"], nhwc(file["72x72/x"]))
    for stage, ours in enumerate(maps):
        assert_close(ours, nhwc(file[f"72x72/out{stage}"]), 1e-5, f"stage {stage}")
    assert_close(loss, file["72x72/grad_loss"], 1e-4)
    assert_close(x, nhwc(file["72x72/grad_x"]), 1e-3)
    names = {
        "first_coonv": "patch_norm",
        "features.0.0": "stage_0_block_0",
        "features.0.1.attn": "stage_0_block_1/attention",
        "features.0.1": "stage_0_block_1",
        "features.1": "merging_0",
        "features.2.1": "stage_1_block_1",
        "features.3": "merging_1",
        "features.5": "merging_2",
        "features.6.1": "stage_3_block_1",
    }
    recorded = state_dict(file, "act72/")
    assert recorded.keys() == names.keys()
    for name, activation in recorded.items():
        assert_close(at(intermediates, f"{names[name]}/__call__/0")[0], activation, 1e-4, name)
    assert_gradients("swin", params, file, "72x72/grad/", 1e-3)
    assert_gradient_norms("swin", params, file["72x72/gradnorm_names"], file["72x72/gradnorm_values"], 1e-3)
