"""The pickles inside PyTorch's files: a pickle is a program, and this interpreter of it may build tensors and nothing else.

Of a pickle's instructions only those that torch.save writes are known. Those that look up a name get one of a handful of our
own functions, whatever they ask for; everything else is refused before anything of it runs. What is built is bounded by the
pickle's own size: the interpreter is the one in Python, since that in C takes gigabytes for twelve bytes that ask for them.
"""

import io
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn

import ml_dtypes
import numpy as np

DTYPES = {
    "DoubleStorage": np.dtype("<f8"), "FloatStorage": np.dtype("<f4"), "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16), "LongStorage": np.dtype("<i8"), "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"), "CharStorage": np.dtype("i1"), "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"), "ComplexFloatStorage": np.dtype("<c8"), "ComplexDoubleStorage": np.dtype("<c16"),
}  # fmt: skip
LARGEST_PICKLE = 8 * 2**20
"""Bytes: the description of fifty thousand tensors, read in seconds."""
MOST_DIMENSIONS = 16
INSTRUCTIONS = (
    "PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT "
    "STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE SHORT_BINUNICODE BINBYTES SHORT_BINBYTES EMPTY_TUPLE TUPLE TUPLE1 "
    "TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT DICT SETITEM SETITEMS GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT "
    "MEMOIZE GLOBAL STACK_GLOBAL REDUCE BUILD BINPERSID"
).split()


class Refused(Exception):
    """What the file asks for is not for a file to ask."""


class Storage(NamedTuple):
    """The numbers that tensors are views of: their type, the name they are found by, and how many they are."""

    dtype: np.dtype
    key: str
    length: int


class Tensor(NamedTuple):
    """A view of a storage; offset and strides count numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _StorageKind(NamedTuple):
    """What torch.FloatStorage and its like become: they name a type and cannot be called."""

    dtype: np.dtype


def read_pickle(file: io.BufferedIOBase) -> Any:
    """The next pickled object of a file, with `Tensor` in the place of tensors; the file then stands behind it.

    Raises Refused for whatever is no tensor in dictionaries, lists and tuples, and any exception at all for a damaged pickle.
    """
    return _Interpreter(_Bounded(file)).load()


def plain(value: Any) -> bool:
    """Whether a value is a number, a text or nothing."""
    return value is None or isinstance(value, bool | int | float | complex | str | bytes)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    """In the place of torch._utils._rebuild_tensor_v2; `rest` says what gradients need, and whether the numbers are conjugated."""
    if any(rest[2:]):
        raise Refused("a tensor is a conjugated or negative view, which PyTorch's resolve_conj and resolve_neg make plain")
    shape, strides = tuple(shape), tuple(strides)
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, Storage) or not all(type(number) is int and 0 <= number < 2**62 for number in numbers):
        raise Refused("a tensor is described by something else than a storage and numbers")
    if len(shape) != len(strides) or len(shape) > MOST_DIMENSIONS:
        raise Refused(f"a tensor has {len(shape)} dimensions and {len(strides)} strides")
    return Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor: Any, *rest: Any) -> Tensor:
    """In the place of torch._utils._rebuild_parameter."""
    if not isinstance(tensor, Tensor):
        raise Refused("a parameter is no tensor")
    return tensor


def _ordered(*pairs: Any) -> dict:
    """In the place of collections.OrderedDict: empty and filled by later instructions, or, from Python 2, of a list of pairs."""
    given = pairs[0] if len(pairs) == 1 else pairs
    if not isinstance(given, list | tuple) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in given):
        raise Refused("an OrderedDict is made of something else than pairs")
    made: OrderedDict = OrderedDict()
    _put(made, given)
    return made


def _size(numbers: Any = ()) -> tuple:
    """In the place of torch.Size."""
    if not isinstance(numbers, list | tuple):
        raise Refused("a size is made of something else than numbers")
    return tuple(numbers)


_FUNCTIONS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _ordered,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,  # before PyTorch 0.4
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch", "Size"): _size,
} | {("torch", name): _StorageKind(dtype) for name, dtype in DTYPES.items()}


def _put(target: Any, pairs: Iterable[tuple[Any, Any]]) -> None:
    if not isinstance(target, dict):
        raise Refused(f"it puts a key into a {type(target).__name__}")
    for key, value in pairs:
        if not plain(key):  # the hash of nested tuples can take for ever
            raise Refused(f"a key is a {type(key).__name__}")
        target[key] = value


class _Bounded:
    """A file of which a pickle can read so much and no more."""

    def __init__(self, file: io.BufferedIOBase):
        self.file, self.left = file, LARGEST_PICKLE

    def read(self, size: int) -> bytes:
        return self._count(self.file.read(min(size, self.left + 1)))

    def readline(self) -> bytes:
        return self._count(self.file.readline(self.left + 1))

    def _count(self, content: bytes) -> bytes:
        self.left -= len(content)
        if self.left < 0:
            raise Refused(f"what describes its tensors has more than {LARGEST_PICKLE:,} bytes")
        return content


class _Instructions(dict):
    """By its first byte, how the interpreter does an instruction."""

    def __missing__(self, code: int) -> NoReturn:
        named = pickletools.code2op.get(chr(code))
        raise Refused(f"it has the instruction {named.name if named else code}, which torch.save does not write")


class _Interpreter(pickle._Unpickler):
    """Knows the names in `_FUNCTIONS` and the instructions in `INSTRUCTIONS`, and no others."""

    dispatch = _Instructions(
        {getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]] for name in INSTRUCTIONS}
    )

    def find_class(self, module: str, name: str) -> Callable[..., Any] | _StorageKind:
        """One of ours, or none."""
        try:
            return _FUNCTIONS[module, name]
        except (KeyError, TypeError):
            raise Refused(f"it asks for {module}.{name}") from None

    def persistent_load(self, pid: Any) -> Storage:
        """A storage, as ("storage", kind, key, device, length), and before PyTorch 1.6 which part of another one it is."""
        if not (isinstance(pid, tuple) and len(pid) in (5, 6) and pid[0] == "storage"):
            raise Refused("it refers to something that is no storage")
        _, kind, key, _, length, *part = pid
        known = isinstance(kind, _StorageKind) and isinstance(key, str) and key.isdecimal()
        if not (known and type(length) is int and length >= 0 and part in ([], [None])):
            raise Refused("it refers to a storage in an unknown way")
        return Storage(kind.dtype, key, length)

    def load_reduce(self) -> None:
        """A call, with arguments that are a tuple."""
        arguments, function = self.stack.pop(), self.stack[-1]
        if not (callable(function) and isinstance(arguments, tuple)):
            raise Refused(f"it calls a {type(function).__name__}")
        self.stack[-1] = function(*arguments)

    def load_build(self) -> None:
        """Attributes of a dictionary, such as a state dict's `_metadata`: nothing that weights need, so they are dropped."""
        self.stack.pop()
        if not isinstance(self.stack[-1], OrderedDict):
            raise Refused(f"it sets attributes of a {type(self.stack[-1]).__name__}")

    def load_setitem(self) -> None:
        """One entry of a dictionary."""
        value, key = self.stack.pop(), self.stack.pop()
        _put(self.stack[-1], [(key, value)])

    def load_setitems(self) -> None:
        """Several."""
        items = self.pop_mark()
        _put(self.stack[-1], zip(items[::2], items[1::2], strict=True))

    def load_dict(self) -> None:
        """A dictionary of what lies on the stack."""
        items, made = self.pop_mark(), {}
        _put(made, zip(items[::2], items[1::2], strict=True))
        self.append(made)


for _name in ("REDUCE", "BUILD", "SETITEM", "SETITEMS", "DICT"):
    _Interpreter.dispatch[getattr(pickle, _name)[0]] = getattr(_Interpreter, f"load_{_name.lower()}")
