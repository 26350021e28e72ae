"""PyTorch's .pt files, read without PyTorch: a pickle is a program, and this one may build tensors and nothing else.

A file is a ZIP archive: NAME/data.pkl, the pickled object in which a tensor is a reference to a storage, its shape and its
strides, and NAME/data/KEY, the bytes of the storages, not compressed. Of the pickle's instructions those that look up a name
get one of a handful of our own functions, whatever they ask for; everything else is refused before anything of it runs.
"""

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from radiodiff_jax.errors import UserError

DTYPES = {
    "DoubleStorage": np.dtype("<f8"), "FloatStorage": np.dtype("<f4"), "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16), "LongStorage": np.dtype("<i8"), "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"), "CharStorage": np.dtype("i1"), "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"), "ComplexFloatStorage": np.dtype("<c8"), "ComplexDoubleStorage": np.dtype("<c16"),
}  # fmt: skip
LARGEST_PICKLE = 64 * 2**20
"""Bytes: the description of a hundred thousand tensors is a third of that."""
MOST_DIMENSIONS = 16
DEEPEST = 64
"""How far containers may be nested in what is read."""


class _Refused(Exception):
    """What the file asks for is not for a file to ask."""


class _Storage(NamedTuple):
    dtype: np.dtype
    key: str
    length: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _StorageKind(NamedTuple):
    """What torch.FloatStorage and its like become: they name a type and cannot be called."""

    dtype: np.dtype


def read_torch_file(path: Path) -> Any:
    """The object that torch.save wrote: dictionaries, lists, numbers, text, and tensors as NumPy arrays.

    bfloat16 tensors become float32. Nothing in the file can run. Raises UserError where the file is missing or damaged, was
    saved by PyTorch before 1.6 (no ZIP archive), or holds anything else than tensors in plain containers.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}; give a checkpoint that torch.save wrote")
    try:
        if not zipfile.is_zipfile(path):
            raise UserError(
                f"{path} is no ZIP archive, as PyTorch writes since 1.6; an older file must be loaded and saved again by PyTorch"
            )
        with zipfile.ZipFile(path) as archive:
            return _read_archive(archive, path)
    except UserError:
        raise
    except _Refused as reason:
        raise UserError(f"{path} is refused: {reason}; a checkpoint holds tensors in dictionaries and lists only") from None
    except RecursionError:
        raise UserError(f"{path} is refused: it is nested too deep; a checkpoint holds tensors in dictionaries and lists") from None
    except Exception as error:  # zipfile and pickle raise whatever the bytes lead them to
        line = (str(error).splitlines() or [""])[0][:120]
        told = f"{type(error).__name__}{': ' if line else ''}{line}"
        raise UserError(f"{path} is damaged ({told}); copy or download it again") from None


def _read_archive(archive: zipfile.ZipFile, path: Path) -> Any:
    entries = {entry.filename: entry for entry in archive.infolist()}
    pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1 or len(entries) != len(archive.infolist()):
        raise UserError(f"{path} is a ZIP archive, but no checkpoint that torch.save wrote (it has no single NAME/data.pkl)")
    root = pickles[0].removesuffix("data.pkl")
    size = path.stat().st_size
    for entry in entries.values():
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > size:
            raise _Refused("its archive is compressed, as PyTorch's never are")
        if entry.flag_bits & 1:
            raise _Refused("its archive is encrypted")
    if entries[pickles[0]].file_size > LARGEST_PICKLE:
        raise _Refused(f"its data.pkl has {entries[pickles[0]].file_size:,} bytes, more than {LARGEST_PICKLE:,}")
    order = root + "byteorder"
    if order in entries and archive.read(entries[order]).strip() not in (b"little", b""):
        raise _Refused("it was saved on a big-endian machine")
    described = _Reader(io.BytesIO(archive.read(entries[pickles[0]]))).load()
    storages: dict[str, np.ndarray] = {}

    def array(tensor: _Tensor) -> np.ndarray:
        storage = tensor.storage
        name = f"{root}data/{storage.key}"
        if name not in entries:
            raise _Refused(f"the storage {storage.key!r} of a tensor is not there")
        if storage.length * storage.dtype.itemsize != entries[name].file_size:
            raise _Refused(f"a storage of {storage.length:,} values is said, but there are {entries[name].file_size:,} bytes")
        if storage.key not in storages:
            storages[storage.key] = np.frombuffer(archive.read(entries[name]), np.uint8)
        values = storages[storage.key].view(storage.dtype)
        found = _strided(values, tensor)
        return found.astype(np.float32) if found.dtype == ml_dtypes.bfloat16 else found

    return _filled(described, array, 0)


def _strided(values: np.ndarray, tensor: _Tensor) -> np.ndarray:
    """The tensor's values of a storage, as an array of their own."""
    if not tensor.shape:
        if not 0 <= tensor.offset < len(values):
            raise _Refused("a tensor begins beyond its storage")
        return values[tensor.offset].copy()
    if math.prod(tensor.shape) == 0:
        return np.zeros(tensor.shape, values.dtype)
    last = tensor.offset + sum((side - 1) * stride for side, stride in zip(tensor.shape, tensor.strides, strict=True))
    if last >= len(values) or math.prod(tensor.shape) > len(values):
        raise _Refused(f"a tensor of shape {tensor.shape} is larger than its storage")
    strides = [stride * values.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides, writeable=False).copy()


def _filled(value: Any, array: Callable[[_Tensor], np.ndarray], depth: int) -> Any:
    """Plain containers with arrays in the place of tensors."""
    if depth > DEEPEST:
        raise _Refused(f"containers are nested deeper than {DEEPEST}")
    if isinstance(value, _Tensor):
        return array(value)
    if isinstance(value, dict):
        return {_filled(key, array, depth + 1): _filled(item, array, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set) and not isinstance(value, _Storage | _StorageKind):
        return type(value)(_filled(item, array, depth + 1) for item in value)
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return value
    raise _Refused(f"it holds a {type(value).__name__}")


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> _Tensor:
    """In the place of torch._utils._rebuild_tensor_v2; `rest` says what gradients need."""
    shape, strides = tuple(shape), tuple(strides)
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or not all(type(number) is int and 0 <= number < 2**62 for number in numbers):
        raise _Refused("a tensor is described by something else than a storage and numbers")
    if len(shape) != len(strides) or len(shape) > MOST_DIMENSIONS:
        raise _Refused(f"a tensor has {len(shape)} dimensions and {len(strides)} strides")
    return _Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor: Any, *rest: Any) -> _Tensor:
    """In the place of torch._utils._rebuild_parameter."""
    if not isinstance(tensor, _Tensor):
        raise _Refused("a parameter is no tensor")
    return tensor


def _ordered(*pairs: Any) -> dict:
    """In the place of collections.OrderedDict: always empty, filled by later instructions."""
    if any(pairs) and not all(isinstance(pair, list | tuple) for pair in pairs):
        raise _Refused("an OrderedDict is made of something else than pairs")
    return OrderedDict(*pairs)


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _ordered,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch", "Size"): tuple,
} | {("torch", name): _StorageKind(dtype) for name, dtype in DTYPES.items()}


class _Reader(pickle.Unpickler):
    """Knows the names in `_ALLOWED` and no others."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except (KeyError, TypeError):
            raise _Refused(f"it asks for {module}.{name}") from None

    def persistent_load(self, pid: Any) -> _Storage:
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise _Refused("it refers to something that is no storage")
        _, kind, key, _, length = pid
        known = isinstance(kind, _StorageKind) and isinstance(key, str) and key.isdecimal()
        if not (known and type(length) is int and length >= 0):
            raise _Refused("it refers to a storage in an unknown way")
        return _Storage(kind.dtype, key, length)
