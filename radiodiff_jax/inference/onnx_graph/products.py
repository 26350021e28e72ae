"""Convolutions, matrix products and look-ups as ONNX nodes."""

import math
from collections.abc import Callable

import numpy as np
from jax.extend.core import JaxprEqn

from radiodiff_jax.inference.onnx_graph.operations import reshaped, untranslated
from radiodiff_jax.inference.onnx_graph.writer import Turned, Value, Writer, element_type, turned


def _convolution(writer: Writer, equation: JaxprEqn, x: Value, kernel: Value) -> Value:
    """ONNX wants channels before rows and columns, and kernels as [features, channels, rows, columns]."""
    params = equation.params
    layout = params["dimension_numbers"]
    if params["batch_group_count"] != 1 or any(step != 1 for step in params["lhs_dilation"]):
        raise untranslated("a transposed convolution")
    (top, bottom), (left, right) = params["padding"]
    image, kernel = turned(writer, x, list(layout.lhs_spec)), turned(writer, kernel, list(layout.rhs_spec))
    kernel = writer.weight(kernel, 0) if isinstance(kernel, np.ndarray) else kernel
    answer = writer.add(
        "Conv", image, kernel, pads=[top, left, bottom, right], strides=list(params["window_strides"]),
        dilations=list(params["rhs_dilation"]), group=params["feature_group_count"],
    )  # fmt: skip
    return Turned(answer, list(map(int, np.argsort(layout.out_spec))))


def _product(writer: Writer, equation: JaxprEqn, left: Value, right: Value) -> Value:
    """A sum over one pair of axes or several, for each index of the batch axes."""
    (summed, others), (batch, batched) = (tuple(map(list, pair)) for pair in equation.params["dimension_numbers"])
    shapes = [atom.aval.shape for atom in equation.invars]
    last = len(shapes[0]) - 1
    if not batch and summed == [last] and others == [0] and len(shapes[1]) == 2 and isinstance(right, np.ndarray):
        return writer.add("MatMul", left, writer.weight(right, 1))
    free = [
        [axis for axis in range(len(shape)) if axis not in (*taken, *along)]
        for shape, taken, along in zip(shapes, (summed, others), (batch, batched), strict=True)
    ]
    sizes = [[shape[axis] for axis in axes] for shape, axes in zip(shapes, free, strict=True)]
    together = [shapes[0][axis] for axis in batch]
    depth = math.prod(shapes[0][axis] for axis in summed)
    left = reshaped(writer, turned(writer, left, [*batch, *free[0], *summed]), (*together, math.prod(sizes[0]), depth))
    right = reshaped(writer, turned(writer, right, [*batched, *others, *free[1]]), (*together, depth, math.prod(sizes[1])))
    return reshaped(writer, writer.add("MatMul", left, right), (*together, *sizes[0], *sizes[1]))


def _gather(writer: Writer, equation: JaxprEqn, x: Value, places: Value) -> Value:
    """A part of an array that begins somewhere, whole slices along one axis, or single numbers along one axis.

    Places are taken to lie inside the array; onnxruntime refuses others, where JAX fills or clips.
    """
    numbers, sizes = equation.params["dimension_numbers"], tuple(equation.params["slice_sizes"])
    shape, looked_up = equation.invars[0].aval.shape, equation.invars[1].aval.shape
    axes, collapsed = list(map(int, numbers.start_index_map)), list(map(int, numbers.collapsed_slice_dims))
    batch, of_places = list(map(int, numbers.operand_batching_dims)), list(map(int, numbers.start_indices_batching_dims))
    if len(looked_up) == 1 and not collapsed and not batch and list(map(int, numbers.offset_dims)) == list(range(len(shape))):
        start = writer.add("Cast", places, to=element_type(np.int64))
        stop = writer.add("Add", start, np.asarray([sizes[number] for number in axes], np.int64))
        return writer.add("Slice", x, start, stop, np.asarray(axes, np.int64))
    if len(axes) != 1 or axes != collapsed:
        raise untranslated("a look-up of parts of an array")
    (axis,), count = axes, len(looked_up) - 1
    leading = list(range(len(batch)))
    if batch == leading == of_places and axis == len(batch) == len(shape) - 1 and not numbers.offset_dims:
        if not batch:
            return _whole_slices(writer, x, places, looked_up, axis)
        return writer.add("GatherND", x, writer.add("Cast", places, to=element_type(np.int64)), batch_dims=len(batch))
    if sorted([*batch, axis]) == list(range(len(shape))) and of_places == batch and not numbers.offset_dims:
        return writer.add("GatherElements", x, reshaped(writer, places, looked_up[:-1]), axis=axis)
    offsets = [*range(axis), *range(axis + count, len(shape) - 1 + count)]
    whole = all(size == (1 if number == axis else shape[number]) for number, size in enumerate(sizes))
    if batch or not whole or list(map(int, numbers.offset_dims)) != offsets:
        raise untranslated("a look-up of parts of an array")
    return _whole_slices(writer, x, places, looked_up, axis)


def _whole_slices(writer: Writer, x: Value, places: Value, looked_up: tuple[int, ...], axis: int) -> Value:
    return writer.add("Gather", x, reshaped(writer, places, looked_up[:-1]), axis=axis)


PRODUCTS: dict[str, Callable[..., Value]] = {"conv_general_dilated": _convolution, "dot_general": _product, "gather": _gather}
