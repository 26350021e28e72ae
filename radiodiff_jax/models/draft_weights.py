"""Names and layouts of the draft of the lean U-Net: weights that were trained before this network was written.

The draft is the same network with Flax's own names (Conv_0, Res_0, ...) in the order in which it made its layers.
"""

import re
from collections.abc import Mapping

import ml_dtypes
import numpy as np
from flax import traverse_util

from radiodiff_jax.errors import UserError

ATTENTION = "MultiHeadDotProductAttention_0"
IN_BLOCK = {"GroupNorm_0": "norm1", "Conv_0": "convolution1", "GroupNorm_1": "norm2", "Conv_1": "convolution2",
            "Conv_2": "shortcut"}  # fmt: skip


def draft_parameters(arrays: Mapping[str, np.ndarray], levels: int = 5) -> dict:
    """Parameters of `UNetNetwork` for the head x0 from a file of the draft, float32.

    `arrays` are named by Flax's key paths as `jax.tree_util.keystr` writes them, and hold bfloat16 bits as uint16. Raises
    UserError for a name that the draft does not have.
    """
    found = {}
    for name, bits in arrays.items():
        path = tuple(re.findall(r"\['([^']+)'\]", name))
        values = np.asarray(bits).view(ml_dtypes.bfloat16).astype(np.float32)
        place = new_path(path, levels)
        if ATTENTION in path:  # [channels, heads, head channels] or its inverse -> [channels, channels]
            channels = values.shape[-1] if path[-2] == "out" else values.shape[0]
            values = values.reshape(-1) if path[-1] == "bias" else values.reshape(channels, -1)
            if path[-2] == "out" and path[-1] == "kernel":
                values = values.reshape(-1, channels)
        found[place] = values
    return traverse_util.unflatten_dict(found)


def new_path(path: tuple[str, ...], levels: int) -> tuple[str, ...]:
    """The place in `UNetNetwork` of a leaf of the draft with so many levels and two blocks a level."""
    kind, _, index = path[0].partition("_")
    number = int(index) if index.isdecimal() else -1
    if kind == "Conv" and 0 <= number <= 2 * levels - 1:
        if number == 0:
            return ("input_convolution", *path[1:])
        if number < levels:
            return (f"downsample_{number - 1}", *path[1:])
        if number < 2 * levels - 1:
            return (f"upsample_{2 * levels - 2 - number}", *path[1:])
        return ("x0_output", *path[1:])
    if kind == "GroupNorm":
        return ("output_norm", *path[1:])
    if kind == "Res" and 0 <= number < 4 * levels and path[1] in IN_BLOCK:
        level, block = divmod(number % (2 * levels), 2)
        side = f"down_block_{level}_{block}" if number < 2 * levels else f"up_block_{levels - 1 - level}_{block}"
        return (side, IN_BLOCK[path[1]], *path[2:])
    if kind == "Attn" and path[1] == "GroupNorm_0":
        return (f"attention_{number}", "norm", *path[2:])
    if kind == "Attn" and path[1] == ATTENTION:
        return (f"attention_{number}", "projection" if path[2] == "out" else path[2], path[3])
    raise UserError(f"the draft's weights have no layer {'/'.join(path)}; give a file of the draft of the lean U-Net")
