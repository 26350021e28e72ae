"""Loops of JAX, `scan` and `while`, as ONNX's Loop."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jax.extend.core import JaxprEqn
from onnx import helper

from radiodiff_jax.inference.onnx_graph.operations import reshaped
from radiodiff_jax.inference.onnx_graph.writer import Value, Writer, element_type

Translate = Callable[..., list[Value]]


def _loop(
    writer: Writer, count: Value, going: Value, carried: list[Value], avals: list[Any],
    body: Callable[[str, list[str]], tuple[Value, list[Value], list[Value]]],
) -> list[str]:  # fmt: skip
    """A Loop of at most `count` rounds while `going`; body(number, carried) -> (going, carried, what every round answers)."""
    number, goes_on, inside = writer.new_name(), writer.new_name(), [writer.new_name() for _ in carried]
    with writer.body() as nodes:
        still, *answers = (lambda found: [found[0], *found[1], *found[2]])(body(number, inside))
        outputs = [writer.add("Identity", value) for value in (still, *answers)]
    info = helper.make_tensor_value_info
    states = [info(name, element_type(aval.dtype), aval.shape) for name, aval in zip(inside, avals, strict=False)]
    told = [info(number, element_type(np.int64), ()), info(goes_on, element_type(bool), ()), *states]
    kinds = [(np.dtype(bool), ()), *((aval.dtype, aval.shape) for aval in avals)]
    said = [info(name, element_type(dtype), shape) for name, (dtype, shape) in zip(outputs, kinds, strict=True)]
    graph = helper.make_graph(nodes, f"body_{number}", told, said)
    found = writer.add("Loop", count, going, *carried, outputs=len(answers), body=graph)
    return found if isinstance(found, list) else [found]


def _scan(writer: Writer, translate: Translate, equation: JaxprEqn, inputs: list[Value]) -> list[Value]:
    params = equation.params
    fixed, carries, length = params["num_consts"], params["num_carry"], params["length"]
    outside, carried, rows = inputs[:fixed], inputs[fixed : fixed + carries], inputs[fixed + carries :]
    rows = [writer.named(value) for value in rows]
    outside = [value if isinstance(value, np.ndarray) else writer.named(value) for value in outside]
    inner = params["jaxpr"]
    avals = inner.out_avals

    def body(number: str, state: list[str]) -> tuple[Value, list[Value], list[Value]]:
        if params["reverse"]:
            number = writer.add("Sub", np.int64(length - 1).reshape(()), number)
        row = [writer.add("Gather", value, number, axis=0) for value in rows]
        found = translate(writer, inner.jaxpr, [np.asarray(value) for value in inner.consts], [*outside, *state, *row])
        return np.asarray(True), found[:carries], found[carries:]

    found = _loop(writer, np.asarray(length, np.int64), np.asarray(True), carried, avals, body)
    if params["reverse"]:
        last = np.asarray([-1], np.int64)
        ends = np.asarray([np.iinfo(np.int64).min], np.int64)
        found[carries:] = [writer.add("Slice", value, last, ends, np.zeros(1, np.int64), last) for value in found[carries:]]
    return found


def _while(writer: Writer, translate: Translate, equation: JaxprEqn, inputs: list[Value]) -> list[Value]:
    params = equation.params
    asked, fixed = params["cond_nconsts"], params["body_nconsts"]
    inputs = [value if isinstance(value, np.ndarray) else writer.named(value) for value in inputs]
    for_condition, outside, carried = inputs[:asked], inputs[asked : asked + fixed], inputs[asked + fixed :]
    condition, inner = params["cond_jaxpr"], params["body_jaxpr"]

    def goes_on(state: list[Value]) -> Value:
        constants = [np.asarray(value) for value in condition.consts]
        (answer,) = translate(writer, condition.jaxpr, constants, [*for_condition, *state])
        return reshaped(writer, answer, ())

    def body(number: str, state: list[str]) -> tuple[Value, list[Value], list[Value]]:
        found = translate(writer, inner.jaxpr, [np.asarray(value) for value in inner.consts], [*outside, *state])
        return goes_on(found), found, []

    return _loop(writer, np.asarray(np.iinfo(np.int64).max, np.int64), goes_on(carried), carried, inner.out_avals, body)


LOOPS: dict[str, Callable[..., list[Value]]] = {"scan": _scan, "while": _while}
