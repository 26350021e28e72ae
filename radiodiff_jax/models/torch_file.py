"""PyTorch's .pt files, read without PyTorch and without running anything that they hold (see `torch_pickle.py`).

Since PyTorch 1.6 a file is a ZIP archive: NAME/data.pkl, the pickled object in which a tensor is a reference to a storage, its
shape and its strides, and NAME/data/KEY, the bytes of the storages, not compressed. Before, it was a stream: a number that
marks it, the format's version and facts about the machine, the pickled object, the keys of its storages, and then of each its
length and its bytes. torchvision's older weights and those of LPIPS are such streams.
"""

import io
import math
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from radiodiff_jax.errors import UserError
from radiodiff_jax.models.torch_pickle import LARGEST_PICKLE, Refused, Storage, Tensor, plain, read_pickle

MARK, STREAM_VERSION = 0x1950A86A20F9469CFC6C, 1001  # what a stream begins with
DEEPEST = 64
"""How far containers may be nested in what is read."""
MOST_TIMES = 8
"""How many times larger than the file its tensors may be together: they can share storages, as tied weights do."""
Storages = Callable[[Storage], np.ndarray]


def read_torch_file(path: Path) -> Any:
    """The object that torch.save wrote: dictionaries, lists, numbers, text, and tensors as NumPy arrays.

    bfloat16 tensors become float32. Nothing in the file can run. Raises UserError where the file is missing or damaged, or
    holds anything else than tensors in plain containers.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}; give a checkpoint that torch.save wrote")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _read_archive(archive, path)
        with path.open("rb") as file:
            if not _is_stream(file):
                raise UserError(f"{path} is nothing that torch.save wrote: neither a ZIP archive nor a stream of pickles")
            return _read_stream(file, path)
    except UserError:
        raise
    except Refused as reason:
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
    for name, entry in entries.items():
        if not name.startswith(root) or ".." in name.split("/"):
            raise Refused(f"its archive has an entry outside {root[:40]!r}")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > size:
            raise Refused("its archive is compressed, as those of torch.save never are")
        if entry.flag_bits & 1:
            raise Refused("its archive is encrypted")
    if entries[pickles[0]].file_size > LARGEST_PICKLE:
        raise Refused(f"its data.pkl has {entries[pickles[0]].file_size:,} bytes, more than {LARGEST_PICKLE:,}")
    order = root + "byteorder"
    if order in entries and archive.read(entries[order]).strip() not in (b"little", b""):
        raise Refused("it was saved on a big-endian machine")
    found: dict[str, np.ndarray] = {}

    def values(storage: Storage) -> np.ndarray:
        name = f"{root}data/{storage.key}"
        if name not in entries:
            raise Refused(f"the storage {storage.key!r} of a tensor is not there")
        if storage.length * storage.dtype.itemsize != entries[name].file_size:
            raise Refused(f"a storage of {storage.length:,} values is said, but there are {entries[name].file_size:,} bytes")
        if storage.key not in found:
            found[storage.key] = np.frombuffer(archive.read(entries[name]), np.uint8)
        return found[storage.key].view(storage.dtype)

    described = read_pickle(io.BytesIO(archive.read(entries[pickles[0]])))
    return _Filling(values, MOST_TIMES * size).filled(described)


def _is_stream(file: io.BufferedIOBase) -> bool:
    """Whether a file begins with the mark; it then stands behind that."""
    try:
        return read_pickle(file) == MARK
    except Exception:  # any other file
        return False


def _read_stream(file: io.BufferedIOBase, path: Path) -> Any:
    version, machine = read_pickle(file), read_pickle(file)
    if version != STREAM_VERSION or not isinstance(machine, dict):
        raise UserError(f"{path} was saved by PyTorch in a format of version {version!r}; load and save it again by PyTorch")
    if not machine.get("little_endian", True):
        raise Refused("it was saved on a big-endian machine")
    described, keys = read_pickle(file), read_pickle(file)
    storages = _storages(described)
    if not isinstance(keys, list) or sorted(keys) != sorted(storages):
        raise Refused("the storages that its tensors need are not those that it names")
    found: dict[str, np.ndarray] = {}
    for key in keys:
        dtype, _, length = storages[key]
        (said,) = struct.unpack("<q", file.read(8))
        if said != length:
            raise Refused(f"a storage of {length:,} values is said to have {said:,}")
        content = file.read(min(length * dtype.itemsize, path.stat().st_size))
        if len(content) != length * dtype.itemsize:
            raise Refused(f"a storage of {length:,} values is said, but there are {len(content):,} bytes")
        found[key] = np.frombuffer(content, dtype)
    return _Filling(lambda storage: found[storage.key].view(storage.dtype), MOST_TIMES * path.stat().st_size).filled(described)


def _storages(described: Any) -> dict[str, Storage]:
    """Storages of all tensors by their keys."""
    found: dict[str, Storage] = {}

    def note(storage: Storage) -> np.ndarray:
        if found.setdefault(storage.key, storage) != storage:
            raise Refused(f"the storage {storage.key!r} is described in two ways")
        return np.empty(0)

    _Filling(note, None).filled(described)
    return found


class _Filling:
    """Plain containers with arrays in the place of tensors; each container once, however often it is referred to."""

    def __init__(self, values: Storages, most_bytes: int | None):
        self.values, self.left = values, most_bytes
        self.done: dict[int, Any] = {}

    def filled(self, value: Any, depth: int = 0) -> Any:
        if depth > DEEPEST:
            raise Refused(f"containers are nested deeper than {DEEPEST}")
        if plain(value):
            return value
        if id(value) not in self.done:
            self.done[id(value)] = self._made(value, depth)
        return self.done[id(value)]

    def _made(self, value: Any, depth: int) -> Any:
        if isinstance(value, Tensor):
            return self._array(value)
        if isinstance(value, dict):
            return {key: self.filled(item, depth + 1) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self.filled(item, depth + 1) for item in value)
        raise Refused(f"it holds a {type(value).__name__}")

    def _array(self, tensor: Tensor) -> np.ndarray:
        values = self.values(tensor.storage)
        if self.left is None:
            return values
        self.left -= math.prod(tensor.shape) * values.itemsize
        if self.left < 0:
            raise Refused(f"its tensors are together more than {MOST_TIMES} times as large as the file")
        found = _strided(values, tensor)
        return found.astype(np.float32) if found.dtype == ml_dtypes.bfloat16 else found


def _strided(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    """The tensor's values of a storage, as an array of their own."""
    if not tensor.shape:
        if not 0 <= tensor.offset < len(values):
            raise Refused("a tensor begins beyond its storage")
        return values[tensor.offset].copy()
    if math.prod(tensor.shape) == 0:
        return np.zeros(tensor.shape, values.dtype)
    last = tensor.offset + sum((side - 1) * stride for side, stride in zip(tensor.shape, tensor.strides, strict=True))
    if last >= len(values) or math.prod(tensor.shape) > len(values):
        raise Refused(f"a tensor of shape {tensor.shape} is larger than its storage")
    strides = [stride * values.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides, writeable=False).copy()
