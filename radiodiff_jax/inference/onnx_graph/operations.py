"""Primitives of JAX that work number by number, or that move, join and sum arrays, as ONNX nodes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from jax.extend.core import JaxprEqn

from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.onnx_graph.writer import Stretched, Turned, Value, Writer, element_type, turned


def untranslated(what: str) -> UserError:
    """The error of a form of a primitive that no model of this package has."""
    return UserError(f"the model computes {what}, which has no translation to ONNX; export it with `program` instead")


def shape_of(value: Value, atom: Any) -> tuple[int, ...]:
    """The shape in which ONNX meets a value."""
    return np.shape(value.value) if isinstance(value, Stretched) and isinstance(value.value, np.ndarray) else tuple(atom.aval.shape)


# ---- number by number ----


def _arithmetic(kind: str, writer: Writer, equation: JaxprEqn, *inputs: Value) -> Value:
    inputs = unstretched(writer, equation, inputs)
    order = next((value.order for value in inputs if isinstance(value, Turned)), None)
    if order is None:
        return writer.add(kind, *inputs)
    before = [_against(writer, value, atom, order) for value, atom in zip(inputs, equation.invars, strict=True)]
    return Turned(writer.add(kind, *before), order)


def _against(writer: Writer, x: Value, atom: Any, order: list[int]) -> Value:
    """x as it is before its axes are brought into `order`; numbers that stand for all stay as they are."""
    x = x.value if isinstance(x, Stretched) and isinstance(x.value, np.ndarray) else x
    rank = x.ndim if isinstance(x, np.ndarray) else len(atom.aval.shape)
    if rank < len(order) and isinstance(x, np.ndarray):
        x = x.reshape(*[1] * (len(order) - rank), *x.shape) if rank else x
    return turned(writer, x, list(map(int, np.argsort(order)))) if rank else x


def unstretched(writer: Writer, equation: JaxprEqn, inputs: tuple[Value, ...]) -> list[Value]:
    """The operands of arithmetic: stretched ones as small as they are, if the others have the whole shape."""
    whole = any(
        not isinstance(value, Stretched) and tuple(atom.aval.shape) == tuple(equation.outvars[0].aval.shape)
        for value, atom in zip(inputs, equation.invars, strict=True)
    )
    return [value.value if isinstance(value, Stretched) and whole else value for value in inputs]


def _not_equal(writer: Writer, equation: JaxprEqn, *inputs: Value) -> Value:
    return writer.add("Not", writer.add("Equal", *unstretched(writer, equation, inputs)))


def _logical(kind: str, writer: Writer, equation: JaxprEqn, *inputs: Value) -> Value:
    is_mask = equation.invars[0].aval.dtype == bool
    return writer.add(kind if is_mask else f"Bitwise{kind}", *unstretched(writer, equation, inputs))


def _select(writer: Writer, equation: JaxprEqn, *inputs: Value) -> Value:
    which, *cases = unstretched(writer, equation, inputs)
    if len(cases) != 2 or equation.invars[0].aval.dtype != bool:
        raise untranslated("a choice among more than two arrays")
    return writer.add("Where", which, cases[1], cases[0])


def _cast(writer: Writer, equation: JaxprEqn, x: Value) -> Value:
    source, target = equation.invars[0].aval.dtype, equation.outvars[0].aval.dtype
    if source == target:
        return x
    if isinstance(x, Stretched):
        return Stretched(writer.add("Cast", x.value, to=element_type(target)), x.shape)
    return writer.add("Cast", x, to=element_type(target))


def _power(writer: Writer, equation: JaxprEqn, x: Value) -> Value:
    return writer.add("Pow", x, np.float32(equation.params["y"]).reshape(()))


def _round(writer: Writer, equation: JaxprEqn, x: Value) -> Value:
    if int(equation.params["rounding_method"]) != 1:
        raise untranslated("roundings away from zero")
    return writer.add("Round", x)


def _log1p(writer: Writer, equation: JaxprEqn, x: Value) -> Value:
    return writer.add("Log", writer.add("Add", x, np.float32(1).reshape(())))


def _hypot(writer: Writer, equation: JaxprEqn, x: Value, y: Value) -> Value:
    x, y = unstretched(writer, equation, (x, y))
    return writer.add("Sqrt", writer.add("Add", writer.add("Mul", x, x), writer.add("Mul", y, y)))


def _atan2(writer: Writer, equation: JaxprEqn, y: Value, x: Value) -> Value:
    """atan(y / x), and a half turn more or less where x is negative; 0 at the origin."""
    y, x = (writer.named(value) for value in (y, x))
    zero, half = np.float32(0).reshape(()), np.float32(np.pi).reshape(())
    turn = writer.add("Where", writer.add("Less", y, zero), -half, half)
    turned = writer.add("Where", writer.add("Less", x, zero), turn, zero)
    angle = writer.add("Add", writer.add("Atan", writer.add("Div", y, x)), turned)
    origin = writer.add("And", writer.add("Equal", x, zero), writer.add("Equal", y, zero))
    return writer.add("Where", origin, zero, angle)


def _shift_left(writer: Writer, equation: JaxprEqn, x: Value, bits: Value) -> Value:
    if not isinstance(bits, np.ndarray):
        raise untranslated("shifts by numbers that are not known beforehand")
    return writer.add("Mul", x, (1 << bits).astype(bits.dtype))


def _clamp(writer: Writer, equation: JaxprEqn, low: Value, x: Value, high: Value) -> Value:
    return writer.add("Min", writer.add("Max", x, low), high)


def _same(writer: Writer, equation: JaxprEqn, *inputs: Value) -> list[Value]:
    return list(inputs)


# ---- shapes ----


def reshaped(writer: Writer, x: Value, shape: tuple[int, ...]) -> Value:
    """x in another shape."""
    return writer.add("Reshape", x, np.asarray(shape, np.int64), allowzero=1)


def _reshape(writer: Writer, equation: JaxprEqn, x: Value) -> Value:
    return reshaped(writer, x, equation.outvars[0].aval.shape)


def _broadcast(writer: Writer, equation: JaxprEqn, x: Value) -> Value:
    """Axes of length one first; the rest is left to the arithmetic that follows."""
    shape, places = equation.params["shape"], equation.params["broadcast_dimensions"]
    if isinstance(x, Stretched):
        x = writer.named(x)
    thin = [1] * len(shape)
    for axis, place in enumerate(places):
        thin[place] = equation.invars[0].aval.shape[axis]
    if tuple(thin) != tuple(equation.invars[0].aval.shape):
        x = x.reshape(thin) if isinstance(x, np.ndarray) else reshaped(writer, x, tuple(thin))
    return x if tuple(thin) == tuple(shape) else Stretched(x, tuple(shape))


def _iota(writer: Writer, equation: JaxprEqn) -> Value:
    shape, axis = equation.params["shape"], equation.params["dimension"]
    thin = [length if number == axis else 1 for number, length in enumerate(shape)]
    return Stretched(np.arange(shape[axis]).astype(equation.params["dtype"]).reshape(thin), tuple(shape))


def _transpose(writer: Writer, equation: JaxprEqn, x: Value) -> Value:
    return turned(writer, x, list(map(int, equation.params["permutation"])))


def _slice(writer: Writer, equation: JaxprEqn, x: Value) -> Value:
    start, stop, step = (equation.params[name] for name in ("start_indices", "limit_indices", "strides"))
    return cut(writer, x, start, stop, step or [1] * len(start))


def cut(writer: Writer, x: Value, start: Any, stop: Any, step: Any) -> Value:
    """x[start:stop:step] along every axis."""
    numbers = [np.asarray(part, np.int64) for part in (start, stop, np.arange(len(start)), step)]
    return writer.add("Slice", x, *numbers)


def _reverse(writer: Writer, equation: JaxprEqn, x: Value) -> Value:
    axes = np.asarray(equation.params["dimensions"], np.int64)
    ends = np.full(axes.shape, np.iinfo(np.int64).min)
    return writer.add("Slice", x, np.full(axes.shape, -1, np.int64), ends, axes, np.full(axes.shape, -1, np.int64))


def _concatenate(writer: Writer, equation: JaxprEqn, *inputs: Value) -> Value:
    axis, order = int(equation.params["dimension"]), next((value.order for value in inputs if isinstance(value, Turned)), None)
    if order is None:
        return writer.add("Concat", *inputs, axis=axis)
    back = list(map(int, np.argsort(order)))
    return Turned(writer.add("Concat", *(turned(writer, value, back) for value in inputs), axis=order[axis]), order)


def _stack(writer: Writer, equation: JaxprEqn, *inputs: Value) -> Value:
    axis = int(equation.params["axis"])
    thin = list(equation.outvars[0].aval.shape)
    thin[axis] = 1
    return writer.add("Concat", *(reshaped(writer, value, tuple(thin)) for value in inputs), axis=axis)


def _split(writer: Writer, equation: JaxprEqn, x: Value) -> list[Value]:
    sizes = np.asarray(equation.params["sizes"], np.int64)
    found = writer.add("Split", x, sizes, outputs=len(sizes), axis=int(equation.params["axis"]))
    return found if isinstance(found, list) else [found]


def _unstack(writer: Writer, equation: JaxprEqn, x: Value) -> list[Value]:
    axis, count = int(equation.params["axis"]), len(equation.outvars)
    pieces = writer.add("Split", x, np.ones(count, np.int64), outputs=count, axis=axis)
    pieces = pieces if isinstance(pieces, list) else [pieces]
    return [reshaped(writer, piece, var.aval.shape) for piece, var in zip(pieces, equation.outvars, strict=True)]


def _pad(writer: Writer, equation: JaxprEqn, x: Value, filling: Value) -> Value:
    around = equation.params["padding_config"]
    if any(between for _, _, between in around):
        raise untranslated("an array with gaps between its numbers")
    amounts = np.asarray([low for low, _, _ in around] + [high for _, high, _ in around], np.int64)
    return writer.add("Pad", x, amounts, filling)


# ---- sums ----


def _reduction(kind: str, writer: Writer, equation: JaxprEqn, x: Value) -> Value:
    axes = np.asarray(equation.params["axes"], np.int64)
    if equation.invars[0].aval.dtype == bool:
        return writer.add("Cast", writer.add(kind, writer.add("Cast", x, to=element_type(np.int32)), axes, keepdims=0),
                          to=element_type(bool))  # fmt: skip
    return writer.add(kind, x, axes, keepdims=0)


def _running(kind: str, writer: Writer, equation: JaxprEqn, x: Value) -> Value:
    """The largest or smallest number so far along an axis: of 2, then 4, 8, ... neighbours."""
    axis, length = int(equation.params["axis"]), equation.outvars[0].aval.shape[equation.params["axis"]]
    dtype = equation.outvars[0].aval.dtype
    limits = np.finfo(dtype) if np.issubdtype(dtype, np.floating) else np.iinfo(dtype)
    neutral = np.asarray(limits.min if kind == "Max" else limits.max, dtype)
    places, axes, step = (np.asarray([value], np.int64) for value in (0, axis, 1))
    while step[0] < length:
        before = np.zeros((2, len(equation.outvars[0].aval.shape)), np.int64)
        before[1 if equation.params["reverse"] else 0, axis] = step[0]
        wide = writer.add("Pad", x, before.reshape(-1), neutral)
        start = places + step if equation.params["reverse"] else places
        x = writer.add(kind, x, writer.add("Slice", wide, start, start + length, axes))
        step = 2 * step
    return x


def _chain(*kinds: str) -> Callable[..., Value]:
    def operation(writer: Writer, equation: JaxprEqn, x: Value) -> Value:
        order = x.order if isinstance(x, Turned) else None
        x = x.value if isinstance(x, Turned) else x
        for kind in kinds:
            x = writer.add(kind, x)
        return x if order is None else Turned(x, order)

    return operation


ALIKE = {
    "add": "Add", "add_any": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min", "pow": "Pow",
    "eq": "Equal", "lt": "Less", "gt": "Greater", "le": "LessOrEqual", "ge": "GreaterOrEqual",
}  # fmt: skip
ONE_BY_ONE = {
    "neg": "Neg", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "tanh": "Tanh", "logistic": "Sigmoid", "floor": "Floor",
    "ceil": "Ceil", "abs": "Abs", "sign": "Sign", "sin": "Sin", "cos": "Cos", "acos": "Acos", "erf": "Erf", "not": "Not",
}  # fmt: skip
SUMS = {
    "reduce_sum": "ReduceSum", "reduce_max": "ReduceMax", "reduce_min": "ReduceMin", "reduce_and": "ReduceMin",
    "reduce_or": "ReduceMax",
}  # fmt: skip

OPERATIONS: dict[str, Callable[..., Value | list[Value]]] = {
    **{name: partial(_arithmetic, kind) for name, kind in ALIKE.items()},
    **{name: _chain(kind) for name, kind in ONE_BY_ONE.items()},
    **{name: partial(_reduction, kind) for name, kind in SUMS.items()},
    **dict.fromkeys(("stop_gradient", "optimization_barrier", "copy", "copy_p"), _same),
    "rsqrt": _chain("Sqrt", "Reciprocal"),
    "square": lambda writer, equation, x: writer.add("Mul", x, x),
    "rem": lambda writer, equation, *inputs: writer.add("Mod", *unstretched(writer, equation, inputs), fmod=1),
    "ne": _not_equal,
    "and": partial(_logical, "And"),
    "or": partial(_logical, "Or"),
    "xor": partial(_logical, "Xor"),
    "select_n": _select,
    "convert_element_type": _cast,
    "integer_pow": _power,
    "round": _round,
    "log1p": _log1p,
    "erfc": lambda writer, equation, x: writer.add("Sub", np.float32(1).reshape(()), writer.add("Erf", x)),
    "hypot": _hypot,
    "atan2": _atan2,
    "shift_left": _shift_left,
    "clamp": _clamp,
    "reshape": _reshape,
    "squeeze": _reshape,
    "expand_dims": _reshape,
    "broadcast_in_dim": _broadcast,
    "iota": _iota,
    "transpose": _transpose,
    "slice": _slice,
    "rev": _reverse,
    "concatenate": _concatenate,
    "stack": _stack,
    "unstack": _unstack,
    "split": _split,
    "cummax": partial(_running, "Max"),
    "cummin": partial(_running, "Min"),
    "pad": _pad,
}
