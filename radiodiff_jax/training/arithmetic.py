"""Floating-point operations of a traced function, by the shapes of its convolutions, matrix products and transforms.

A multiply-add counts as two. A real Fourier transform of N values counts as 2.5 N log2 N, a complex one as 5 N log2 N.
Element-wise work (norms, activations, softmax, sums) and multiplications by the zeros of a padding are not counted.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn


def operations(equation: JaxprEqn) -> int:
    """Operations of one equation, with those inside of it: a loop counts every turn, a choice its dearest branch."""
    name, parameters = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        left = equation.invars[0].aval.shape
        return 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)
    if name == "conv_general_dilated":
        return convolution_operations(equation)
    if name == "fft":
        return fourier_operations(equation)
    inside = [sum(map(operations, part.eqns)) for part in parts(parameters)]
    if name == "cond":
        return max(inside, default=0)
    return sum(inside) * (parameters["length"] if name == "scan" else 1)


def convolution_operations(equation: JaxprEqn) -> int:
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


def fourier_operations(equation: JaxprEqn) -> int:
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
