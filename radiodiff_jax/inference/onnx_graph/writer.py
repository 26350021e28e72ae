"""The ONNX graph while it is written: nodes, constants, and the finished model.

A value is the name of what some node answers, a NumPy array that is known beforehand, `Stretched` or `Turned`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR = 20, 10
"""What onnxruntime reads since 1.18 (2024)."""
WEIGHTS = ("float32", "float16", "int8")
SMALL = 2048
"""Weights of fewer numbers stay float32."""
MIDDLING = 80_000
"""With int8, kernels of so many numbers at most are float16: half of the error was theirs, and a tenth of the size is."""
INT8 = 127


class Stretched(NamedTuple):
    """A value that stands for an array of `shape` by broadcasting, as ONNX's arithmetic does by itself."""

    value: "str | np.ndarray"
    shape: tuple[int, ...]


class Turned(NamedTuple):
    """A value with its axes in another order, which is not done until somebody needs it so."""

    value: str
    order: list[int]


Value = str | np.ndarray | Stretched | Turned


class Writer:
    """Collects nodes in the order in which they are computed; `weights` is how large weights are stored."""

    def __init__(self, weights: str = "float32"):
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple, tuple[str, np.ndarray]] = {}
        self._weights: dict[tuple, str] = {}
        self._before: list[onnx.NodeProto] = []  # what makes weights of their stored form
        self._turned: dict[tuple, str] = {}
        self._count = 0

    def add(self, kind: str, *inputs: Value, outputs: int = 1, **attributes: Any) -> Any:
        """Append a node; the name of its answer, or a list of names where there are several."""
        names = [self.new_name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, [self.named(value) for value in inputs], names, **attributes))
        return names[0] if outputs == 1 else names

    def new_name(self) -> str:
        """A name that no value has yet."""
        self._count += 1
        return f"v{self._count}"

    def named(self, value: Value) -> str:
        """The name of a value; an array becomes a constant of the graph, once."""
        if isinstance(value, str):
            return value
        if isinstance(value, Stretched):
            return self.add("Expand", value.value, np.asarray(value.shape, np.int64))
        if isinstance(value, Turned):
            turn = (value.value, *value.order)
            if turn not in self._turned:
                self._turned[turn] = self.add("Transpose", value.value, perm=value.order)
            return self._turned[turn]
        key = (str(value.dtype), value.shape, value.tobytes())
        if key not in self._constants:
            self._constants[key] = (self.new_name(), value)
        return self._constants[key][0]

    def weight(self, value: np.ndarray, axis: int) -> str:
        """The name of a kernel, stored as the writer was told; int8 with one scale for each index along `axis`.

        Stored weights are made float32 by nodes with nothing but constants before them, which onnxruntime computes when
        it loads the model.
        """
        if self.weights == "float32" or value.size < SMALL or value.dtype != np.float32:
            return self.named(value)
        key = (value.shape, axis, value.tobytes())
        if key not in self._weights:
            here, self.nodes = self.nodes, self._before
            if self.weights == "float16" or value.size <= MIDDLING:
                found = self.add("Cast", value.astype(np.float16), to=TensorProto.FLOAT)
            else:
                others = tuple(number for number in range(value.ndim) if number != axis)
                scale = np.maximum(np.abs(value).max(others, keepdims=True), 1e-12) / np.float32(INT8)
                levels = np.rint(value / scale).astype(np.int8)
                found = self.add("Mul", self.add("Cast", levels, to=TensorProto.FLOAT), scale.astype(np.float32))
            self.nodes, self._weights[key] = here, found
        return self._weights[key]

    @contextmanager
    def body(self) -> Iterator[list[onnx.NodeProto]]:
        """The nodes added meanwhile are those of a loop's body; names from outside are seen there."""
        outside, known, self.nodes = self.nodes, dict(self._turned), []
        try:
            yield self.nodes
        finally:
            self.nodes, self._turned = outside, known  # what is turned in a loop is not there outside

    def model(self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto], about: dict[str, str]) -> bytes:
        """The serialised model; `about` becomes its metadata. Raises onnx.checker.ValidationError for a faulty graph."""
        constants = [numpy_helper.from_array(array, name) for name, array in self._constants.values()]
        graph = helper.make_graph([*self._before, *self.nodes], "radiodiff_jax", inputs, outputs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        model.producer_name = "radiodiff_jax"
        helper.set_model_props(model, about)
        onnx.checker.check_model(model)
        return model.SerializeToString()


def turned(writer: Writer, x: Value, order: list[int]) -> Value:
    """x with its axes in this order, at once if it is known, else when somebody needs it so."""
    if isinstance(x, Turned):
        x, order = x.value, [x.order[axis] for axis in order]
    if order == sorted(order):
        return x
    if isinstance(x, np.ndarray):
        return np.ascontiguousarray(x.transpose(order))
    return Turned(writer.named(x), order)


def element_type(dtype: Any) -> int:
    """ONNX's number of a NumPy dtype."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
