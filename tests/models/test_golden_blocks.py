"""Each building block alone against the original: output and all gradients of sum(output * w)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.models import autoencoder, layers, radiodiff_blocks, relation, swin
from radiodiff_jax.models.torch_weights import from_torch, torch_name
from tests.golden_files import golden
from tests.models.comparison import assert_close, flat, nhwc, state_dict

# name of the block in the file: (module, kind, where it would sit in that network, the original's name of that place,
# whether its images are NCHW)
C, L = layers.Convolution, layers
RELATION = ("unet", "down_0/relation/attention", "relation_layers_down.0.attentions.0.", True)
BLOCKS = {
    "ws_conv": (C(10, standardise=True), "unet", "down_0/block1/block1/convolution", "downs.0.0.block1.proj.", True),
    "channel_layernorm": (L.ChannelLayerNorm(), "unet", "down_0/attention/norm", "downs.0.2.fn.norm.", True),
    "unet_linear_attention_residual_prenorm": (
        radiodiff_blocks.LinearAttention(), "unet", "down_0/attention", "downs.0.2.", True),
    "unet_attention_residual_prenorm": (radiodiff_blocks.FullAttention(), "unet", "middle_attention", "mid_attn.", True),
    "unet_resnet_block_same": (radiodiff_blocks.TimeResidualBlock(16), "unet", "down_0/block1", "downs.0.0.", True),
    "unet_resnet_block_proj": (radiodiff_blocks.TimeResidualBlock(16), "unet", "down_0/block1", "downs.0.0.", True),
    "unet_block_noscale": (
        radiodiff_blocks.StandardisedBlock(16), "unet", "down_0/block1/block1", "downs.0.0.block1.", True),
    "unet_downsample": (C(12, 4, 2, 1), "unet", "down_0/resample", "downs.0.3.", True),
    "unet_upsample": (
        L.UpsampleConvolution(12), "unet", "attenuation_decoder/up_3/resample", "ups.0.3.", True),
    "block_fft_ref_square": (
        radiodiff_blocks.FourierLayer(), "unet", "attenuation_decoder/fourier", "decouple1.2.", True),
    "block_fft_ref_rect": (radiodiff_blocks.FourierLayer(), "unet", "noise_decoder/fourier", "decouple2.2.", True),
    "block_fft_odd_width": (radiodiff_blocks.FourierLayer(), "unet", "noise_decoder/fourier", "decouple2.2.", True),
    "time_mlp": (L.TimeEmbedding(16, 16.0), "unet", "time_embedding", "time_mlp.", True),
    "basic_attn_w8_divisible": (
        relation.CrossAttention(((8, 8), (8, 8)), 8, 0.1), *RELATION),
    "basic_attn_padded_rect": (
        relation.CrossAttention(((4, 3), (3, 2)), 8, 0.1), *RELATION),
    "basic_attn_w1": (
        relation.CrossAttention(((1, 1), (1, 1)), 8, 0.1), *RELATION),
    "relation_net_eval": (
        relation.RelationLayer(((4, 4), (2, 2))), "unet", "down_0/relation", "relation_layers_down.0.", True),
    "vae_resnet_same": (autoencoder.ResidualBlock(32), "vae", "encoder/down_0_block_0", "encoder.down.0.block.0.", True),
    "vae_resnet_proj": (autoencoder.ResidualBlock(64), "vae", "encoder/down_0_block_0", "encoder.down.0.block.0.", True),
    "vae_groupnorm": (L.GroupNorm(32, 1e-6), "vae", "encoder/norm_out", "encoder.norm_out.", True),
    "unet_groupnorm": (L.GroupNorm(8, 1e-5), "unet", "initial_norm", "init_conv.1.", True),
    "vae_attn": (autoencoder.AttentionBlock(), "vae", "encoder/middle/attention", "encoder.mid.attn_1.", True),
    "vae_downsample": (
        C(8, 3, 2, ((0, 1), (0, 1))), "vae", "encoder/down_0_downsample", "encoder.down.0.downsample.", True),
    "vae_upsample": (L.UpsampleConvolution(8), "vae", "decoder/up_1_upsample", "decoder.up.1.upsample.", True),
    "swin_attn_noshift_padded": (
        swin.WindowAttention(7, 2, False), "swin", "stage_0_block_0/attention", "features.0.0.attn.", False),
    "swin_attn_shift_padded": (
        swin.WindowAttention(7, 2, True), "swin", "stage_0_block_0/attention", "features.0.0.attn.", False),
    "swin_attn_shift_exact": (
        swin.WindowAttention(7, 2, True), "swin", "stage_0_block_0/attention", "features.0.0.attn.", False),
    "swin_attn_shift_one_axis": (
        swin.WindowAttention(7, 2, True), "swin", "stage_0_block_0/attention", "features.0.0.attn.", False),
    "swin_block": (swin.SwinBlock(7, 2, True), "swin", "stage_0_block_0", "features.0.0.", False),
    "swin_patch_merging_odd": (swin.PatchMerging(), "swin", "merging_0", "features.1.", False),
}  # fmt: skip
PART_OF_ANOTHER = {"unet_linear_attention", "unet_attention", "relation_net_train_nodrop", "sine_pos", "interp", "meta"}


@pytest.fixture(scope="module")
def file():
    return golden("blocks")


def test_every_block_of_the_file_is_compared(file):
    assert {key.split("/")[0] for key in file.files} == set(BLOCKS) | PART_OF_ANOTHER


def load(file, name):
    """(module, variables, inputs, output weights, layout) of one block."""
    module, kind, place, their_place, channels_first = BLOCKS[name]
    layout = nhwc if channels_first else np.asarray
    inputs = [layout(file[key]) for key in sorted(k for k in file.files if k.startswith(f"{name}/in"))]
    tensors = state_dict(file, f"{name}/sd/")
    shapes = flat(jax.eval_shape(lambda: module.init(jax.random.key(0), *call_inputs(module, inputs))))
    variables = {}
    for path in shapes:
        collection, leaf = path.split("/", 1)
        theirs = torch_name(kind, f"{place}/{leaf}").removeprefix(their_place)
        value = from_torch(path, tensors[theirs])
        assert value.shape == shapes[path].shape, path
        variables.setdefault(collection, {})[leaf] = (jnp.asarray(value), theirs)
    return module, variables, inputs, layout


def call_inputs(module, inputs):
    return [*inputs, False] if isinstance(module, relation.RelationLayer) else inputs


def tree(variables):
    nested = {}
    for collection, leaves in variables.items():
        for path, (value, _) in leaves.items():
            place = nested.setdefault(collection, {})
            *folders, leaf = path.split("/")
            for folder in folders:
                place = place.setdefault(folder, {})
            place[leaf] = value
    return nested


@pytest.mark.parametrize("name", BLOCKS)
def test_block(file, name):
    module, variables, inputs, layout = load(file, name)
    nested = tree(variables)

    @jax.jit
    def run(params, inputs):
        def loss(params, inputs):
            out = module.apply({**nested, "params": params}, *call_inputs(module, inputs))
            return (out * layout(file[f"{name}/w"])).sum(), out

        return jax.value_and_grad(loss, (0, 1), has_aux=True)(params, inputs)

    (_, out), (params, along_inputs) = run(nested["params"], inputs)
    assert_close(out, layout(file[f"{name}/out"]), 1e-5, name)
    for i, gradient in enumerate(along_inputs):
        assert_close(gradient, layout(file[f"{name}/grad_in{i}"]), 2e-4, f"gradient of input {i}")
    largest = max(np.abs(value).max() for value in state_dict(file, f"{name}/grad/").values())
    ours = flat(params)
    for path, (_, theirs) in variables["params"].items():
        expected = from_torch(path, file[f"{name}/grad/{theirs}"])
        if np.abs(expected).max() < 1e-5 * largest:  # structurally zero
            assert np.abs(ours[path]).max() < 1e-4 * largest, path
        else:
            assert_close(ours[path], expected, 2e-4, path)


def test_relation_layer_in_training_moves_its_books(file):
    name = "relation_net_train_nodrop"
    module = relation.RelationLayer(((4, 4), (2, 2)), dropout=0.0)
    _, variables, _, _ = load(file, "relation_net_eval")
    tensors = state_dict(file, f"{name}/sd/")
    nested = tree({
        collection: {path: (jnp.asarray(from_torch(path, tensors[theirs])), theirs) for path, (_, theirs) in leaves.items()}
        for collection, leaves in variables.items()
    })  # fmt: skip
    inputs = [nhwc(file[f"{name}/in{i}"]) for i in range(2)]

    @jax.jit
    def run(params):
        def loss(params):
            out, changed = module.apply({**nested, "params": params}, *inputs, True, mutable=["batch_stats"])
            return (out * nhwc(file[f"{name}/w"])).sum(), (out, changed["batch_stats"])

        return jax.value_and_grad(loss, has_aux=True)(params)

    (_, (out, books)), params = run(nested["params"])
    assert_close(out, nhwc(file[f"{name}/out"]), 1e-5)
    for ours, theirs in (("condition_norm", "input_conv1.1"), ("feature_norm", "input_conv2.1")):
        assert_close(books[ours]["mean"], file[f"{name}/after/{theirs}.running_mean"], 1e-5)
        assert_close(books[ours]["variance"], file[f"{name}/after/{theirs}.running_var"], 1e-5)
    ours = flat(params)
    for path, (_, theirs) in variables["params"].items():
        expected = from_torch(path, file[f"{name}/grad/{theirs}"])
        scale = max(np.abs(expected).max(), 1e-3 * max(np.abs(g).max() for g in map(np.asarray, ours.values())))
        assert np.abs(ours[path] - expected).max() <= 1e-3 * scale, path


@pytest.mark.parametrize("size", [(5, 7, 16), (3, 4, 128)])
def test_sine_positions(file, size):
    name = "sine_pos/out_{}x{}_c{}".format(*size)
    assert_close(relation.sine_positions(*size), file[name], 1e-6)


def test_sine_positions_of_the_middle(file):
    assert_close(relation.sine_positions(8, 8, 512)[..., ::16], file["sine_pos/out_8x8_c512"], 1e-6)


def test_interpolation(file):
    x = nhwc(file["interp/in"])
    for size in ((13, 10), (3, 3)):
        expected = nhwc(file["interp/bilinear_ac_true_{}x{}".format(*size)])
        assert_close(layers.resize_aligned(jnp.asarray(x), size), expected, 1e-6)
    one = layers.resize_aligned(jnp.asarray(x[:, :1, :1]), (4, 4))
    assert_close(one, nhwc(file["interp/bilinear_ac_true_1x1_to_4x4"]), 1e-6)
    half_pixel = jax.image.resize(x, (1, 13, 10, 2), "bilinear", antialias=False)
    assert_close(half_pixel, nhwc(file["interp/bilinear_ac_false_13x10"]), 1e-6)
    half_pixel = jax.image.resize(x, (1, 3, 3, 2), "bilinear", antialias=False)
    assert_close(half_pixel, nhwc(file["interp/bilinear_ac_false_3x3"]), 1e-6)


def test_upsampling_equals_the_plain_order(file):
    """Nearest x2 then 3x3, made here step by step, against the folded kernels."""
    x, kernel = jax.random.normal(jax.random.key(0), (1, 5, 7, 3)), jax.random.normal(jax.random.key(1), (3, 3, 3, 4))
    big = jnp.repeat(jnp.repeat(x, 2, 1), 2, 2)
    plain = layers.convolve(big, kernel, 1, ((1, 1), (1, 1)))
    module = layers.UpsampleConvolution(4, use_bias=False)
    assert_close(module.apply({"params": {"kernel": kernel}}, x), plain, 1e-6)
