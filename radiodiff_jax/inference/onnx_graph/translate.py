"""From a function of JAX to the bytes of an ONNX model."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal
from jax.interpreters.partial_eval import dce_jaxpr
from onnx import helper

from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.onnx_graph.layers import LAYERS
from radiodiff_jax.inference.onnx_graph.loops import LOOPS
from radiodiff_jax.inference.onnx_graph.operations import OPERATIONS
from radiodiff_jax.inference.onnx_graph.products import PRODUCTS
from radiodiff_jax.inference.onnx_graph.spectra import is_complex, spectral
from radiodiff_jax.inference.onnx_graph.writer import Value, Writer, element_type

CALLS = {
    "jit": "jaxpr", "closed_call": "call_jaxpr", "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr",
    "checkpoint": "jaxpr", "remat2": "jaxpr",
}  # fmt: skip
"""Primitives that stand for a function, and the name of it among their parameters."""
GROWTH, LARGE = 16, 4096
"""What is known is computed at once, unless it has more than `LARGE` numbers and `GROWTH` times those that it comes from."""


def onnx_bytes(
    function: Callable[..., jax.Array], inputs: dict[str, jax.ShapeDtypeStruct], output: str, weights: str = "float32",
    about: dict[str, str] | None = None,
) -> bytes:  # fmt: skip
    """An ONNX model of a function of arrays with these shapes, in this order, that answers one array.

    `weights`, float32, float16 or int8, is how kernels are stored; all arithmetic is float32. Raises UserError for a function
    with a primitive of JAX that has no translation.
    """
    traced = jax.make_jaxpr(function)(*inputs.values())
    alive, _ = dce_jaxpr(traced.jaxpr, [True], instantiate=True)
    writer = Writer(weights)
    constants = dict(zip(traced.jaxpr.constvars, map(np.asarray, traced.consts), strict=True))
    (found,) = translate(writer, alive, [constants[var] for var in alive.constvars], list(inputs))
    writer.nodes.append(helper.make_node("Identity", [writer.named(found)], [output]))
    told = [helper.make_tensor_value_info(name, element_type(like.dtype), like.shape) for name, like in inputs.items()]
    (answer,) = traced.out_avals
    answers = [helper.make_tensor_value_info(output, element_type(answer.dtype), answer.shape)]
    return writer.model(told, answers, about or {})


def translate(writer: Writer, jaxpr: Jaxpr, constants: Sequence[Value], arguments: Sequence[Value]) -> list[Value]:
    """The values that a jaxpr answers for these arguments, with the nodes that compute them appended to the writer."""
    known: dict[Any, Value] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))

    def read(atom: Any) -> Value:
        return np.asarray(atom.val, atom.aval.dtype) if isinstance(atom, Literal) else known[atom]

    for equation in jaxpr.eqns:
        answers = _answers(writer, equation, [read(atom) for atom in equation.invars])
        known.update(zip(equation.outvars, answers, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _answers(writer: Writer, equation: JaxprEqn, inputs: list[Value]) -> list[Value]:
    name = equation.primitive.name
    if name in CALLS:
        inner = equation.params[CALLS[name]]
        jaxpr, constants = (inner.jaxpr, inner.consts) if isinstance(inner, ClosedJaxpr) else (inner, ())
        return translate(writer, jaxpr, [np.asarray(value) for value in constants], inputs)
    if _computed_at_once(equation, inputs):
        found = equation.primitive.bind(*inputs, **equation.params)
        return [np.asarray(value) for value in (found if equation.primitive.multiple_results else [found])]
    if is_complex(equation):
        return [spectral(writer, equation, inputs)]
    if name in LOOPS:
        return LOOPS[name](writer, translate, equation, inputs)
    operation = OPERATIONS.get(name) or PRODUCTS.get(name) or LAYERS.get(name)
    if operation is None:
        raise UserError(f"the model computes '{name}', which has no translation to ONNX; export it with `program` instead")
    answer = operation(writer, equation, *inputs)
    return answer if isinstance(answer, list) else [answer]


def _computed_at_once(equation: JaxprEqn, inputs: list[Value]) -> bool:
    if not all(isinstance(value, np.ndarray) for value in inputs) or equation.primitive.name in LOOPS:
        return False
    made = sum(var.aval.size for var in equation.outvars)
    return made <= max(LARGE, GROWTH * sum(value.size for value in inputs))
