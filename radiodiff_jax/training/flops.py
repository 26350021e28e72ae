"""FLOPs of a traced function, by the shapes of its convolutions, matrix products and transforms, and what devices reach.

A multiply-add counts as two. A real Fourier transform of N values counts as 2.5 N log2 N, a complex one as 5 N log2 N.
Element-wise work (norms, activations, softmax, sums) and multiplications by the zeros of a padding are not counted.
"""

import math
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn


def equation_flops(equation: JaxprEqn) -> int:
    """Operations of one equation, with those inside of it: a loop counts every turn, a choice its dearest branch."""
    name, parameters = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        left = equation.invars[0].aval.shape
        return 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)
    if name == "conv_general_dilated":
        return convolution_flops(equation)
    if name == "fft":
        return fourier_flops(equation)
    inside = [sum(map(equation_flops, part.eqns)) for part in parts(parameters)]
    if name == "cond":
        return max(inside, default=0)
    return sum(inside) * (parameters["length"] if name == "scan" else 1)


def convolution_flops(equation: JaxprEqn) -> int:
    """Operations of one convolution."""
    image, kernel = (variable.aval.shape for variable in equation.invars)
    result, parameters = equation.outvars[0].aval.shape, equation.params
    image_axes, kernel_axes, result_axes = parameters["dimension_numbers"]
    taps = 1
    for axis, stride in enumerate(parameters["window_strides"]):
        out, pixels, wide = result[result_axes[2 + axis]], image[image_axes[2 + axis]], kernel[kernel_axes[2 + axis]]
        before, spread = parameters["padding"][axis][0], parameters["lhs_dilation"][axis]
        place = np.arange(out)[:, None] * stride - before + np.arange(wide) * parameters["rhs_dilation"][axis]
        taps *= int(np.sum((place >= 0) & (place <= (pixels - 1) * spread) & (place % spread == 0)))
    batch, features = (result[axis] for axis in result_axes[:2])
    return 2 * batch * features * kernel[kernel_axes[1]] * taps


def fourier_flops(equation: JaxprEqn) -> int:
    """Operations of one transform, forward or inverse."""
    lengths = equation.params["fft_lengths"]
    points = math.prod(lengths)
    arrays = (equation.invars[0].aval, equation.outvars[0].aval)
    real = any(array.dtype.kind != "c" for array in arrays)
    batch = math.prod(arrays[0].shape[: -len(lengths)])
    return round((2.5 if real else 5) * batch * points * math.log2(max(points, 2)))


def parts(parameters: dict[str, Any]) -> Iterator[Jaxpr]:
    """The traced functions inside an equation, a branch, a loop's body or a jitted function.

    Of a custom derivative only the function itself is inside: its derivative is a Python function.
    """
    for value in parameters.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(item, ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, Jaxpr):
                yield item


PEAKS = {
    "H200": (989.0, 494.0),
    "H100": (989.0, 494.0),
    "A100": (312.0, 156.0),
    "L40S": (362.0, 183.0),
    "L40": (181.0, 90.5),
    "L4": (121.0, 60.0),
    "A10G": (70.0, 35.0),
    "RTX 4090": (165.0, 82.6),
    "RTX 3090": (71.0, 35.6),
    "V100": (125.0, 15.7),
    "T4": (65.0, 8.1),
    "TPU v4": (275.0, 137.5),
    "TPU v5 lite": (197.0, 98.5),
    "TPU v5p": (459.0, 229.5),
    "TPU v6 lite": (918.0, 459.0),
}
"""Tera-operations a second of one device by its name: (16-bit, 32-bit as JAX multiplies by default: TF32 where there is
such), dense matrices, accumulated in 32 bits. From the vendors' data sheets."""


def peak_teraflops(device_kind: str, compute: str) -> float | None:
    """The data sheet's limit of one device in 10^12 operations a second for a compute type; None if not in the table."""
    words = device_kind.replace("-", " ").split()
    for name, (half, single) in PEAKS.items():
        parts = name.split()
        if any(words[start : start + len(parts)] == parts for start in range(len(words))):
            return single if compute == "float32" else half
    return None


def traced_flops(traced: Any) -> int:
    """FLOPs of a traced function (`jax.jit(f).trace(...)`) over all devices."""
    return sum(map(equation_flops, traced.jaxpr.eqns))


def device_memory_gb() -> float | None:
    """The most memory in use so far on the first device of this process, in GB (10^9 bytes); None on CPUs."""
    statistics = jax.local_devices()[0].memory_stats() or {}
    peak = statistics.get("peak_bytes_in_use")
    return None if peak is None else peak / 1e9
