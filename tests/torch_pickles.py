"""Checkpoints as torch.save writes them, made without PyTorch."""

import pickle
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

STORAGES = {"f8": "DoubleStorage", "f4": "FloatStorage", "f2": "HalfStorage", "i8": "LongStorage", "i4": "IntStorage",
            "b1": "BoolStorage"}  # fmt: skip


class _Storage:
    def __init__(self, values: np.ndarray):
        self.values = values


class _Tensor:
    """Pickles as a call of torch._utils._rebuild_tensor_v2."""

    def __init__(self, values: np.ndarray, offset: int, shape: tuple, strides: tuple):
        self.parts = _Storage(values), offset, shape, strides

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (*self.parts, False, OrderedDict())


def save_like_torch(path: Path, value: Any) -> None:
    """Write `value`; NumPy arrays are tensors, and so is a tuple (flat array, offset, shape, strides)."""
    modules = {name: ModuleType(name) for name in ("torch", "torch._utils")}
    kinds = {}
    for name in STORAGES.values():
        kinds[name] = type(name, (), {"__module__": "torch"})
        setattr(modules["torch"], name, kinds[name])

    def _rebuild_tensor_v2(*parts):
        raise AssertionError("nothing is loaded here")

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    modules["torch._utils"]._rebuild_tensor_v2 = _rebuild_tensor_v2
    keys: dict[int, str] = {}
    written: list[np.ndarray] = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            if not isinstance(thing, _Storage):
                return None
            if id(thing.values) not in keys:
                keys[id(thing.values)] = str(len(keys))
                written.append(thing.values)
            kind = kinds[STORAGES[thing.values.dtype.str[1:]]]
            return "storage", kind, keys[id(thing.values)], "cpu", thing.values.size

    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        with zipfile.ZipFile(path, "w") as archive:
            with archive.open("archive/data.pkl", "w") as file:
                Pickler(file, 2).dump(_tensors(value, {}))
            archive.writestr("archive/byteorder", "little")
            for number, values in enumerate(written):
                archive.writestr(f"archive/data/{number}", values.tobytes())
            archive.writestr("archive/version", "3\n")
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def _tensors(value: Any, known: dict) -> Any:
    if isinstance(value, np.ndarray):
        flat = known.setdefault(id(value), np.ascontiguousarray(value).reshape(-1))
        strides = tuple(int(np.prod(value.shape[axis + 1 :])) for axis in range(value.ndim))
        return _Tensor(flat, 0, value.shape, strides)
    if isinstance(value, tuple) and len(value) == 4 and isinstance(value[0], np.ndarray):
        return _Tensor(known.setdefault(id(value[0]), value[0]), *value[1:])
    if isinstance(value, dict):
        return type(value)((name, _tensors(item, known)) for name, item in value.items())
    if isinstance(value, list):
        return [_tensors(item, known) for item in value]
    return value
