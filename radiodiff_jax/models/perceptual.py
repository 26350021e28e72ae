"""LPIPS: perceptual distance between two images by the features of a VGG16 that the user provides.

Zhang et al., arXiv 1801.03924. The weights are not ours to ship. `perceptual_weights_file` names an .npz file with
float32 arrays in PyTorch's layout: for each of VGG16's 13 convolutions `convolution_{i}.weight` (OIHW) and
`convolution_{i}.bias`, i = 0..12 in order, and for the five linear layers `linear_{j}.weight` (1, channels, 1, 1).
"""

import re
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from radiodiff_jax.errors import UserError
from radiodiff_jax.models.layers import convolve

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # VGG16; 2x2 max pooling between
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)


def perceptual_weights(arrays: Mapping[str, np.ndarray], where: str) -> dict[str, Array]:
    """Check the arrays of a weight file and bring kernels to HWIO. Raises UserError naming `where`."""
    weights: dict[str, Array] = {}
    index, channels = 0, 3
    for stage, widths in enumerate(STAGES):
        for width in widths:
            kernel = _take(arrays, f"convolution_{index}.weight", (width, channels, 3, 3), where)
            weights[f"kernel_{index}"] = jnp.asarray(kernel.transpose(2, 3, 1, 0))
            weights[f"bias_{index}"] = jnp.asarray(_take(arrays, f"convolution_{index}.bias", (width,), where))
            index, channels = index + 1, width
        linear = _take(arrays, f"linear_{stage}.weight", (1, channels, 1, 1), where)
        weights[f"linear_{stage}"] = jnp.asarray(linear.reshape(channels))
    return weights


def from_torchvision(vgg: Mapping[str, np.ndarray], linear: Mapping[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """The arrays of a weight file, from the state dicts of torchvision's VGG16 and of LPIPS's linear layers.

    Raises UserError naming `where` for a state dict that lacks one of them.
    """
    for found in (vgg, linear):
        if not isinstance(found, Mapping) or not all(isinstance(value, np.ndarray) for value in found.values()):
            raise UserError(f"{where}: one of them is no dictionary of arrays; give VGG16's and LPIPS' state dicts")
    convolutions = sorted({int(found[1]) for name in vgg if (found := re.fullmatch(r"features\.([0-9]{1,4})\..*", str(name)))})
    arrays = {}
    for index, layer in enumerate(convolutions):
        for part in ("weight", "bias"):
            arrays[f"convolution_{index}.{part}"] = vgg.get(f"features.{layer}.{part}")
    for stage in range(len(STAGES)):
        arrays[f"linear_{stage}.weight"] = linear.get(f"lin{stage}.model.1.weight")
    return {name: _take(arrays, name, np.shape(value), where) for name, value in arrays.items() if value is not None}


def _take(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    if name not in arrays:
        raise UserError(f"{where} has no array '{name}'; it must hold VGG16's 13 convolutions and LPIPS' 5 linear layers")
    if arrays[name].shape != shape:
        raise UserError(f"{where}: '{name}' has shape {arrays[name].shape}, but LPIPS on VGG16 needs {shape}")
    return np.asarray(arrays[name], np.float32)


def perceptual_distance(weights: Mapping[str, Array], first: Float[Array, "batch height width channels"],
                        second: Float[Array, "batch height width channels"]) -> Float[Array, "batch 1 1 1"]:  # fmt: skip
    """Distance of images in [-1, 1], one channel (repeated) or three; no dropout."""
    shift, scale = jnp.array(SHIFT), jnp.array(SCALE)
    x = (jnp.concatenate([first, second]) - shift) / scale
    total, index = 0.0, 0
    for stage, widths in enumerate(STAGES):
        if stage:
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        for _ in widths:
            x = convolve(x, weights[f"kernel_{index}"], 1, ((1, 1), (1, 1))) + weights[f"bias_{index}"]
            x = jax.nn.relu(x)
            index += 1
        unit = x / (jnp.sqrt(jnp.sum(jnp.square(x), -1, keepdims=True)) + 1e-10)
        here, there = jnp.split(unit, 2)
        difference = jnp.square(here - there) @ weights[f"linear_{stage}"]
        total += difference.mean((1, 2))
    return total[:, None, None, None]
