"""Convolution as XLA has it, but for some of its gradients on CPUs.

XLA's gradient of a convolution with respect to its kernel is a convolution whose window is the whole image. On CPUs
that runs at a fraction of the speed of the convolution itself (measured: 2 to 10 times slower from 64 x 64 pixels on).
Inside a `lax.cond` XLA's compiler leaves both gradients to plain loops: measured 100 and 4 times slower for the 4x4
convolutions of the patch discriminator, which runs in one. Here they are matrix products instead. With stride s,

    dW[i, j] = sum over pixels (r, c) of x[s r + i, s c + j]^T g[r, c],

taken over blocks of rows small enough to stay in the processor's cache, so that it needs no memory to speak of, and

    dx[s r + i, s c + j] += g[r, c] W[i, j]^T.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Padding = tuple[tuple[int, int], tuple[int, int]]
SMALLEST_IMAGE = 64 * 64  # pixels; below, XLA's own gradients are as fast
OF_DISCRIMINATOR = (4, 4)  # kernels for which both gradients are matrix products, whatever the size of the image
BLOCK = 2048  # pixels of a block, about


def convolve(
    x: Float[Array, "batch height width channels"], kernel: Float[Array, "rows columns channels features"],
    stride: int, padding: Sequence[tuple[int, int]],
) -> Float[Array, "batch height width features"]:  # fmt: skip
    """NHWC image, HWIO kernel -> NHWC image; a 1x1 kernel is a matrix product."""
    padding = tuple(map(tuple, padding))
    if kernel.shape[:2] == (1, 1) and stride == 1 and padding == ((0, 0), (0, 0)):
        return x @ kernel[0, 0]
    large = x.shape[1] * x.shape[2] >= SMALLEST_IMAGE
    if jax.default_backend() == "cpu" and (large or kernel.shape[:2] == OF_DISCRIMINATOR):
        return convolve_for_cpu(x, kernel, stride, padding)
    return plain(x, kernel, stride, padding)


def plain(x: Array, kernel: Array, stride: int, padding: Padding) -> Array:
    """XLA's convolution."""
    return lax.conv_general_dilated(x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolve_for_cpu(x: Array, kernel: Array, stride: int, padding: Padding) -> Array:
    """`plain`, with gradients by matrix products."""
    return plain(x, kernel, stride, padding)


def _forward(x: Array, kernel: Array, stride: int, padding: Padding) -> tuple[Array, tuple[Array, Array]]:
    return plain(x, kernel, stride, padding), (x, kernel)


def _backward(stride: int, padding: Padding, kept: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    x, kernel = kept
    if kernel.shape[:2] == OF_DISCRIMINATOR:
        x_cotangent = image_gradient(kernel, cotangent, x.shape, stride, padding).astype(x.dtype)
    else:
        (x_cotangent,) = jax.linear_transpose(lambda x: plain(x, kernel, stride, padding), x)(cotangent)
    return x_cotangent, kernel_gradient(x, cotangent, kernel.shape[:2], stride, padding).astype(kernel.dtype)


convolve_for_cpu.defvjp(_forward, _backward)


def kernel_gradient(
    x: Float[Array, "batch height width channels"], cotangent: Float[Array, "batch rows columns features"],
    size: tuple[int, int], stride: int, padding: Padding,
) -> Float[Array, "kernel_rows kernel_columns channels features"]:  # fmt: skip
    """Gradient of the convolution of x with respect to a kernel of `size`, in float32."""
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    batch, rows, columns, features = cotangent.shape
    channels = x.shape[-1]
    block = max(number for number in range(1, rows + 1) if rows % number == 0 and number <= max(1, BLOCK // (batch * columns)))
    down, right = (block - 1) * stride + 1, (columns - 1) * stride + 1

    def add(number: Array | int, total: Array) -> Array:
        image = lax.dynamic_slice_in_dim(padded, number * block * stride, down + size[0] - 1, 1)
        gradient = lax.dynamic_slice_in_dim(cotangent, number * block, block, 1).reshape(-1, features)
        products = [
            jnp.einsum(
                "pc,pf->cf",
                image[:, i : i + down : stride, j : j + right : stride].reshape(-1, channels),
                gradient,
                preferred_element_type=jnp.float32,
            )
            for i in range(size[0])
            for j in range(size[1])
        ]
        return total + jnp.stack(products)

    total = lax.fori_loop(0, rows // block, add, jnp.zeros((size[0] * size[1], channels, features), jnp.float32))
    return total.reshape(*size, channels, features)


def image_gradient(
    kernel: Float[Array, "kernel_rows kernel_columns channels features"],
    cotangent: Float[Array, "batch rows columns features"], shape: tuple[int, int, int, int], stride: int, padding: Padding,
) -> Float[Array, "batch height width channels"]:  # fmt: skip
    """Gradient of the convolution with respect to an image of `shape`, in float32."""
    batch, rows, columns, features = cotangent.shape
    (top, bottom), (left, right) = padding
    height, width = shape[1] + top + bottom, shape[2] + left + right
    places = [(i, j) for i in range(kernel.shape[0]) for j in range(kernel.shape[1])]
    products = jnp.einsum(
        "pf,kcf->pkc", cotangent.reshape(-1, features), kernel.reshape(len(places), -1, features),
        preferred_element_type=jnp.float32,
    ).reshape(batch, rows, columns, len(places), -1)  # fmt: skip
    below, beside = height - (rows - 1) * stride - 1, width - (columns - 1) * stride - 1
    spread = [
        lax.pad(products[:, :, :, number], 0.0, ((0, 0, 0), (i, below - i, stride - 1), (j, beside - j, stride - 1), (0, 0, 0)))
        for number, (i, j) in enumerate(places)
    ]
    return sum(spread)[:, top : height - bottom, left : width - right]
