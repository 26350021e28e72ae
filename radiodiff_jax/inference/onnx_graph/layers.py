"""Layers as ONNX has them itself: convolutions with their bias, group norms, upsampling by two.

While a model is traced inside `as_onnx_layers` each of them is one primitive in place of its five to thirty; images then stay
as ONNX has them, channels before rows and columns, from one layer to the next. The answers are the same but for rounding.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.core import ShapedArray
from jax.extend.core import JaxprEqn, Primitive
from jaxtyping import Array

from radiodiff_jax.inference.onnx_graph.operations import reshaped
from radiodiff_jax.inference.onnx_graph.writer import Turned, Value, Writer, turned
from radiodiff_jax.models.layers import Convolution, UpsampleConvolution, standardised, upsampling_phases
from radiodiff_jax.models.normalisation import GroupNorm, modulated

FIRST, LAST = [0, 3, 1, 2], [0, 2, 3, 1]
"""Channels brought before rows and columns, and behind them again."""
convolution_p, group_norm_p, interleave_p = (Primitive(name) for name in ("convolution", "group_norm", "interleave"))


def as_onnx_layers() -> AbstractContextManager:
    """Inside, modules that are applied bind the primitives of this file. For tracing alone: nothing else knows them."""
    return nn.intercept_methods(_as_primitive)


def _as_primitive(call: Callable[..., Any], given: tuple, named: dict[str, Any], context: nn.module.InterceptorContext) -> Any:
    layer = MODULES.get(type(context.module)) if context.method_name == "__call__" else None
    return call(*given, **named) if layer is None else layer(context.module, *given, **named)


# ---- modules -> primitives ----


def _convolution(module: Convolution, x: Array) -> Array:
    kernel, bias = _parameters(module)
    around = module.kernel_size // 2 if module.padding is None else module.padding
    padding = ((around, around), (around, around)) if isinstance(around, int) else around
    return convolution_p.bind(x.astype(jnp.float32), kernel, bias, stride=module.stride, padding=padding)


def _upsampling(module: UpsampleConvolution, x: Array) -> Array:
    kernel, bias = _parameters(module)
    x = x.astype(jnp.float32)
    phases = [convolution_p.bind(x, part, bias, stride=1, padding=padding) for part, padding in upsampling_phases(kernel)]
    return interleave_p.bind(*phases)


def _group_norm(module: GroupNorm, x: Array, modulation: tuple[Array, Array] | None = None) -> Array:
    params = module.variables["params"]
    gain, shift = modulated(params["scale"], params["bias"], modulation)
    return group_norm_p.bind(x.astype(jnp.float32), gain, shift, groups=module.groups, epsilon=module.epsilon, swish=module.swish)


def _parameters(module: Convolution) -> tuple[Array, Array]:
    params = module.variables["params"]
    kernel = params["kernel"].astype(jnp.float32)
    bias = params["bias"].astype(jnp.float32) if module.use_bias else jnp.zeros(module.features)
    return standardised(kernel) if module.standardise else kernel, bias


MODULES: dict[type, Callable[..., Array]] = {
    Convolution: _convolution, UpsampleConvolution: _upsampling, GroupNorm: _group_norm,
}  # fmt: skip


@convolution_p.def_abstract_eval
def _(x: ShapedArray, kernel: ShapedArray, bias: ShapedArray, stride: int, padding: tuple) -> ShapedArray:
    along = zip(x.shape[1:3], padding, kernel.shape[:2], strict=True)
    sides = [(side + sum(around) - size) // stride + 1 for side, around, size in along]
    return ShapedArray((x.shape[0], *sides, kernel.shape[3]), x.dtype)


@group_norm_p.def_abstract_eval
def _(x: ShapedArray, gain: ShapedArray, shift: ShapedArray, **_: Any) -> ShapedArray:
    return ShapedArray(x.shape, x.dtype)


@interleave_p.def_abstract_eval
def _(*phases: ShapedArray) -> ShapedArray:
    batch, height, width, channels = phases[0].shape
    return ShapedArray((batch, 2 * height, 2 * width, channels), phases[0].dtype)


# ---- primitives -> nodes ----


def _to_convolution(writer: Writer, equation: JaxprEqn, x: Value, kernel: Value, bias: Value) -> Value:
    (top, bottom), (left, right) = equation.params["padding"]
    kernel = turned(writer, kernel, [3, 2, 0, 1])
    kernel = writer.weight(kernel, 0) if isinstance(kernel, np.ndarray) else kernel
    stride = equation.params["stride"]
    answer = writer.add("Conv", turned(writer, x, FIRST), kernel, bias, pads=[top, left, bottom, right], strides=[stride, stride])
    return Turned(answer, LAST)


def _to_group_norm(writer: Writer, equation: JaxprEqn, x: Value, gain: Value, shift: Value) -> Value:
    groups, (batch, height, width, channels) = equation.params["groups"], equation.invars[0].aval.shape
    together = reshaped(writer, turned(writer, x, FIRST), (batch, groups, channels // groups * height * width))
    ones, zeros = np.ones(groups, np.float32), np.zeros(groups, np.float32)
    y = writer.add("InstanceNormalization", together, ones, zeros, epsilon=equation.params["epsilon"])
    y = reshaped(writer, y, (batch, channels, height, width))
    for kind, each, atom in (("Mul", gain, equation.invars[1]), ("Add", shift, equation.invars[2])):
        shape = (atom.aval.shape[0], channels, 1, 1)
        y = writer.add(kind, y, each.reshape(shape) if isinstance(each, np.ndarray) else reshaped(writer, each, shape))
    return Turned(writer.add("Mul", y, writer.add("Sigmoid", y)) if equation.params["swish"] else y, LAST)


def _to_interleave(writer: Writer, equation: JaxprEqn, *phases: Value) -> Value:
    joined = writer.add("Concat", *(turned(writer, phase, FIRST) for phase in phases), axis=1)
    return Turned(writer.add("DepthToSpace", joined, blocksize=2, mode="DCR"), LAST)


LAYERS: dict[str, Callable[..., Value]] = {
    convolution_p.name: _to_convolution, group_norm_p.name: _to_group_norm, interleave_p.name: _to_interleave,
}  # fmt: skip
