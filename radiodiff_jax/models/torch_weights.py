"""Names and layouts of the original's PyTorch weights, for every parameter of our networks.

The map goes from our names to the original's, so a missing or odd tensor is always found: `import_weights` fills a tree
of our shapes and complains about what it cannot fill; `export_weights` is the way back.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from radiodiff_jax.errors import UserError

Rules = list[tuple[str, str]]  # applied in order to the whole path, "/" between our segments, "." between theirs

AUTOENCODER_RULES: Rules = [
    (r"^moments_mixing", "quant_conv"),
    (r"^latent_mixing", "post_quant_conv"),
    (r"^convolution_out", "decoder.conv_out"),
    (r"^(encoder|decoder)/", r"\1."),
    (r"(down|up)_(\d+)_block_(\d+)/", r"\1.\2.block.\3."),
    (r"(down|up)_(\d+)_(downsample|upsample)/", r"\1.\2.\3.conv."),
    (r"middle/block_0/", "mid.block_1."),
    (r"middle/block_1/", "mid.block_2."),
    (r"middle/attention/", "mid.attn_1."),
    (r"(attn_1\.)projection", r"\1proj_out"),
    (r"(attn_1\.)(q|k|v)(uery|ey|alue)", r"\1\2"),
    (r"convolution_(in|out)", r"conv_\1"),
    (r"convolution([12])", r"conv\1"),
    (r"shortcut", "nin_shortcut"),
]

DISCRIMINATOR_RULES: Rules = [  # the index in the original's list of layers
    (r"^convolution_0", "main.0"),
    (r"^(convolution|norm)_(\d+)", lambda m: f"main.{3 * int(m[2]) - (1 if m[1] == 'convolution' else 0)}"),
]

SWIN_RULES: Rules = [
    (r"^patch_embedding", "first_coonv.0"),
    (r"^patch_norm", "first_coonv.2"),
    (r"^merging_(\d+)", lambda m: f"features.{2 * int(m[1]) + 1}"),
    (r"^stage_(\d+)_block_(\d+)", lambda m: f"features.{2 * int(m[1])}.{m[2]}"),
    (r"attention/qkv", "attn.qkv"),
    (r"attention/projection", "attn.proj"),
    (r"attention/position_bias", "attn.relative_position_bias_table"),
    (r"hidden", "mlp.0"),
    (r"output", "mlp.3"),
]

ENCODER_RULES: Rules = [  # torchvision's Swin transformer; the original's begins one stage later
    *SWIN_RULES,
    (r"^features\.(\d+)", lambda m: f"features.{int(m[1]) + 1}"),
    (r"^first_coonv", "features.0"),
]

RELATION_RULES: Rules = [
    (r"relation/condition_convolution", "relation/input_conv1.0"),
    (r"relation/condition_norm", "relation/input_conv1.1"),
    (r"relation/feature_convolution", "relation/input_conv2.0"),
    (r"relation/feature_norm", "relation/input_conv2.1"),
    (r"relation/attention/(query|key|value)", lambda m: f"relation/attentions.0.{m[1][0]}_lin"),
    (r"relation/attention/hidden", "relation/attentions.0.mlp.fc1"),
    (r"relation/attention/output", "relation/attentions.0.mlp.fc2"),
    (r"relation/attention/concatenation", "relation/attentions.0.concat_conv"),
    (r"relation/attention/norm", "relation/attentions.0.gn"),
    (r"relation/attention/projection", "relation/attentions.0.out_conv"),
]

UNET_RULES: Rules = [
    *RELATION_RULES,
    (r"^condition_projection_(\d+)", r"projects.\1"),
    (r"^initial_convolution", "init_conv.0"),
    (r"^initial_norm", "init_conv.1"),
    (r"^time_embedding/frequencies", "time_mlp.0.W"),
    (r"^time_embedding/hidden", "time_mlp.1"),
    (r"^time_embedding/output", "time_mlp.3"),
    (r"^attenuation_decoder/", "decoder/1/"),
    (r"^noise_decoder/", "decoder/2/"),
    (r"^decoder/(\d)/fourier_norm", r"decouple\1.0"),
    (r"^decoder/(\d)/fourier_convolution", r"decouple\1.1"),
    (r"^decoder/(\d)/fourier/", r"decouple\1.2."),
    (r"^decoder/(\d)/final_block", lambda m: f"final_res_block{_second(m[1])}"),
    (r"^decoder/(\d)/final_convolution", lambda m: f"final_conv{_second(m[1])}"),
    (r"^down_(\d+)/relation/", r"relation_layers_down.\1."),
    (r"^down_(\d+)/", r"downs.\1."),
    (r"^decoder/(\d)/up_(\d+)/relation/", lambda m: f"relation_layers_up{_second(m[1])}.{3 - int(m[2])}."),
    (r"^decoder/(\d)/up_(\d+)/", lambda m: f"ups{_second(m[1])}.{3 - int(m[2])}."),
    (r"^(downs\.\d+|ups2?\.\d+)\.block1/", r"\1.0/"),
    (r"^(downs\.\d+|ups2?\.\d+)\.block2/", r"\1.1/"),
    (r"^(downs\.\d+|ups2?\.\d+)\.attention/", r"\1.2/attention/"),
    (r"^(ups2?\.[012])\.resample", r"\1.3.1"),
    (r"^(downs\.\d+|ups2?\.\d+)\.resample", r"\1.3"),
    (r"^middle_(block[12])", r"mid_\1"),
    (r"^middle_attention/projection", "mid_attn.fn.fn.to_out"),
    (r"^middle_attention/", "mid_attn/attention/"),
    (r"attention/norm_out", "fn.fn.to_out.1"),
    (r"attention/norm", "fn.norm"),
    (r"attention/qkv", "fn.fn.to_qkv"),
    (r"attention/projection", "fn.fn.to_out.0"),
    (r"(block[12])/convolution", r"\1.proj"),
    (r"(block[12])/norm", r"\1.norm"),
    (r"/time(/|$)", r".mlp.1\1"),
    (r"/shortcut", ".res_conv"),
]
RULES = {
    "vae": AUTOENCODER_RULES,
    "discriminator": DISCRIMINATOR_RULES,
    "swin": SWIN_RULES,
    "encoder": ENCODER_RULES,
    "unet": UNET_RULES,
}
LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "variance": "running_var"}


def _second(index: str) -> str:
    return "2" if index == "2" else ""


def torch_name(kind: str, path: str) -> str:
    """The original's name of one of our leaves, e.g. ("unet", "down_0/block1/time/kernel") -> "downs.0.0.mlp.1.weight"."""
    if kind == "unet" and path.startswith("condition_encoder/"):
        return "init_conv_mask." + torch_name("swin", path.removeprefix("condition_encoder/"))
    for pattern, replacement in RULES[kind]:
        path = re.sub(pattern, replacement, path)
    module, _, leaf = path.replace("/", ".").rpartition(".")
    if leaf in ("real", "imaginary"):
        return f"{module}.complex_weight"
    if leaf == "scale" and re.search(r"fn\.(norm|fn\.to_out\.1)$", module):
        return f"{module}.g"
    return f"{module}.{LEAVES.get(leaf, leaf)}"


def from_torch(path: str, tensor: np.ndarray) -> np.ndarray:
    """One tensor in our layout: OIHW -> HWIO, (out, in) -> (in, out), (C, H, K, 2) -> a part of (H, K, C)."""
    leaf = path.rsplit("/", 1)[-1]
    if leaf == "kernel":
        return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T
    if leaf in ("real", "imaginary"):
        return tensor[..., int(leaf == "imaginary")].transpose(1, 2, 0)
    return tensor.reshape(-1) if leaf == "scale" else tensor


def to_torch(path: str, array: np.ndarray, name: str) -> np.ndarray:
    """The inverse of `from_torch`, for everything but the two halves of a complex weight."""
    if path.endswith("/kernel"):
        return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
    return array.reshape(1, -1, 1, 1) if name.endswith(".g") else array


def import_weights(kind: str, shapes: Mapping[str, Any], tensors: Mapping[str, np.ndarray], where: str) -> dict[str, Any]:
    """Our variables ("params", "batch_stats", "constants") filled from the original's state dict.

    `shapes` is a tree of arrays or shapes such as `jax.eval_shape(module.init, ...)` gives; `where` names the file in
    errors. Raises UserError for a tensor that is missing or of another shape.
    """
    flat = traverse_util.flatten_dict(dict(shapes), sep="/")
    filled = {}
    for full_path, leaf in flat.items():
        path = full_path.split("/", 1)[1]
        name = torch_name(kind, path)
        if name not in tensors:
            raise UserError(f"{where} has no tensor '{name}' for the {kind} parameter {path}; is it another model?")
        array = from_torch(path, np.asarray(tensors[name]))
        if array.shape != tuple(leaf.shape):
            raise UserError(
                f"{where}: '{name}' has shape {tuple(tensors[name].shape)}, which does not fit {path} "
                f"{tuple(leaf.shape)}; choose the settings that the weights were trained with"
            )
        filled[full_path] = np.ascontiguousarray(array, dtype=np.float32)
    return traverse_util.unflatten_dict(filled, sep="/")


def export_weights(kind: str, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Our variables as a state dict with the original's names and layouts, float32."""
    flat = {p.split("/", 1)[1]: np.asarray(v) for p, v in traverse_util.flatten_dict(dict(variables), sep="/").items()}
    tensors = {}
    for path, array in flat.items():
        name = torch_name(kind, path)
        if path.endswith("/real"):
            other = flat[path.removesuffix("real") + "imaginary"]
            tensors[name] = np.stack([array.transpose(2, 0, 1), other.transpose(2, 0, 1)], -1)
        elif not path.endswith("/imaginary"):
            tensors[name] = to_torch(path, array, name)
    return tensors
