"""The conditional U-Net against the original's outputs, activations and gradients (square and rectangular)."""

import jax
import numpy as np
import pytest
from flax import linen as nn

from radiodiff_jax.models.radiodiff import RadioDiffBackbone, RadioDiffNetwork
from radiodiff_jax.models.torch_weights import export_weights, import_weights
from radiodiff_jax.objectives.decoupled import Decoupled
from radiodiff_jax.settings import SwinConfig
from tests.golden_files import golden
from tests.models.comparison import (
    assert_close,
    assert_gradient_norms,
    assert_gradients,
    at,
    nhwc,
    relative_error,
    state_dict,
)

SMALL = RadioDiffBackbone(base_channels=16, swin=SwinConfig(16, (2, 2, 2, 2), (1, 2, 4, 8)))


@pytest.fixture(scope="module")
def file():
    return golden("unet_small")


def load(weights, z, t, condition):
    unet = RadioDiffNetwork(SMALL)
    shapes = jax.eval_shape(unet.init, {"params": jax.random.key(0)}, z, t, condition)
    return unet, import_weights("unet", shapes, weights, "the golden file")


@pytest.fixture(scope="module")
def case(file):
    z, t, condition = nhwc(file["A/z"]), file["A/t"], nhwc(file["A/cond"])
    unet, variables = load(state_dict(file, "sd/"), z, t, condition)

    @jax.jit
    def run(z, t, condition):  # outputs and gradients share one compilation
        def weighted(params, z, condition):
            raw, state = unet.apply(
                {**variables, "params": params}, z, t, condition, mutable=["intermediates"], capture_intermediates=True
            )
            c, noise = Decoupled().precondition(raw, z, t, None).values()
            loss = (c * nhwc(file["A/grad_wC"])).sum() + (noise * nhwc(file["A/grad_wN"])).sum()
            return loss, (c, noise, first_examples(state["intermediates"]))

        return jax.value_and_grad(weighted, (0, 1, 2), has_aux=True)(variables["params"], z, condition)

    return variables, run, (z, t, condition)


def first_examples(tree):
    """Item 0 of every recorded output, to keep the compiled function small."""
    return jax.tree.map(lambda x: x[0] if getattr(x, "ndim", 0) else x, tree)


@pytest.fixture(scope="module")
def result(case):
    _, run, inputs = case
    return run(*inputs)


def test_outputs(file, result):
    (loss, (c, noise, _)), _ = result
    assert_close(c, nhwc(file["A/C_pred"]), 1e-5, "C")
    assert_close(noise, nhwc(file["A/noise_pred"]), 1e-5, "noise")
    assert_close(loss, file["A/grad_loss"], 1e-4, "loss")


def test_outputs_at_the_ends_of_time(file, case):
    _, run, (z, _, condition) = case
    (_, (c, noise, _)), _ = run(z, file["A_edge/t"], condition)
    assert_close(c, nhwc(file["A_edge/C_pred"]), 1e-5, "C")
    assert_close(noise, nhwc(file["A_edge/noise_pred"]), 1e-5, "noise")


def test_gradients(file, result):
    _, (params, z, condition) = result
    assert_close(z, nhwc(file["A/grad_z"]), 1e-3, "z")
    assert_close(condition[0, :, :, 0], file["A/grad_cond_item0_ch0"], 1e-3, "condition")
    assert_gradients("unet", params, file, "grad/", 1e-3)
    assert_gradient_norms("unet", params, file["gradnorm/names"], file["gradnorm/values"], 1e-3)


ACTIVATIONS = {
    "init_conv.0": "initial_convolution",
    "init_conv.1": "initial_norm",
    "time_mlp.1": "time_embedding/hidden",
    "time_mlp": "time_embedding",
    "projects.0": "condition_projection_0",
    "projects.3": "condition_projection_3",
    "downs.0.0": "down_0/block1",
    "relation_layers_down.0": "down_0/relation",
    "downs.0.1": "down_0/block2",
    "downs.0.2": "down_0/attention",
    "downs.0.3": "down_0/resample",
    "downs.1.0": "down_1/block1",
    "relation_layers_down.1": "down_1/relation",
    "downs.2.3": "down_2/resample",
    "relation_layers_down.3": "down_3/relation",
    "downs.3.3": "down_3/resample",
    "mid_block1": "middle_block1",
    "mid_attn": "middle_attention",
    "mid_block2": "middle_block2",
    "decouple1": "attenuation_decoder/fourier",
    "decouple2": "noise_decoder/fourier",
    "ups.0.0": "attenuation_decoder/up_3/block1",
    "relation_layers_up.0": "attenuation_decoder/up_3/relation",
    "ups.0.3": "attenuation_decoder/up_3/resample",
    "ups.1.3": "attenuation_decoder/up_2/resample",
    "ups.2.3": "attenuation_decoder/up_1/resample",
    "ups.3.3": "attenuation_decoder/up_0/resample",
    "final_res_block": "attenuation_decoder/final_block",
    "final_conv": "attenuation_decoder/final_convolution",
    "relation_layers_up2.3": "noise_decoder/up_0/relation",
    "ups2.3.3": "noise_decoder/up_0/resample",
    "final_res_block2": "noise_decoder/final_block",
    "final_conv2": "noise_decoder/final_convolution",
}


@pytest.mark.parametrize("theirs", ACTIVATIONS)
def test_activation(file, result, theirs):
    (_, (_, _, intermediates)), _ = result
    ours = np.asarray(at(intermediates, f"{ACTIVATIONS[theirs]}/__call__/0"))
    if ours.ndim == 1:
        assert_close(ours, file[f"act/{theirs}"], 1e-4, theirs)
        return
    assert_close(ours[..., :3].transpose(2, 0, 1), file[f"act/{theirs}"], 1e-4, theirs)
    flat = ours.reshape(-1, ours.shape[-1])
    assert_close(np.stack([flat.mean(0), flat.std(0)]), file[f"actstat/{theirs}"], 1e-4, theirs)


def test_every_recorded_activation_is_compared(file):
    recorded = {key.removeprefix("act/") for key in file.files if key.startswith("act/")}
    assert recorded - set(ACTIVATIONS) == {"time_mlp.0"}  # the sines and cosines, inside our time embedding


def test_condition_features(file, case, result):
    (_, (_, _, intermediates)), _ = result
    stages = at(intermediates, "condition_encoder/__call__/0")
    for level, ours in enumerate(stages):
        assert_close(np.asarray(ours).transpose(2, 0, 1), file[f"A/cond_feat{level}_item0"], 1e-5)


def test_rectangle_with_one_decoder_at_a_time(file):
    z, t = nhwc(file["B/z"]), file["B/t"]
    condition = nhwc(file["A/cond"])[:1, :64]
    unet, variables = load(state_dict(file, "sd/") | state_dict(file, "sdB/"), z, t, condition)

    @jax.jit
    def run():
        def both(unet):
            features = unet.encode_condition(condition)
            c, skipped = Decoupled().precondition(unet.denoise(z, t, features, False, ["attenuation"]), z, t, None).values()
            noise = Decoupled().precondition(unet.denoise(z, t, features, False, ["noise"]), z, t, None)["noise"]
            return c, noise, skipped

        return nn.apply(both, unet)(variables)

    c, noise, skipped = run()
    assert_close(c, nhwc(file["B/C_pred"]), 1e-5, "C")
    assert_close(noise, nhwc(file["B/noise_pred"]), 1e-5, "noise")
    assert relative_error(skipped, np.sqrt(t)[:, None, None, None] * z) < 1e-6


def test_weights_survive_the_way_there_and_back(file, case):
    theirs = state_dict(file, "sd/")
    unused = ("num_batches_tracked", "relative_position_index")
    missing = {
        name for name in theirs.keys() - export_weights("unet", case[0]).keys() if not name.endswith(unused)
    }
    assert missing == {f"init_conv_{name}" for name in
                       ("mask.norm.weight", "mask.norm.bias", "mask.head.weight", "mask.head.bias",
                        "carK.weight", "carK.bias")}  # fmt: skip
    for name, tensor in export_weights("unet", case[0]).items():
        np.testing.assert_array_equal(tensor, theirs[name])
