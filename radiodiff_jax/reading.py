"""Files that anybody may have written, read with care: ordinary files of a bearable size, of the form that we expect.

Every JSON file has one schema, a typed dictionary beside what writes it, and is checked in one place, `read_json`. Unknown
keys are kept, so that older and newer versions read each other's files.
"""

import csv
import hashlib
import io
import math
import os
import re
import zipfile
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import FILE, kind_of
from radiodiff_jax.limits import ARRAYS_BYTES, DOCUMENT_BYTES, LINES_BYTES

OPEN = ConfigDict(extra="allow", allow_inf_nan=False)
"""How a schema says that it takes further keys, and no number that is not finite."""
Count = Annotated[int, Field(ge=0, lt=2**63)]
"""A number of things: 0 or more, and such that NumPy can hold it."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
AnyNumber = Annotated[float, Field(allow_inf_nan=True)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
AnyObject = dict[str, Any]
"""The schema of a file that is free, but for being an object."""


class MissingFileError(UserError):
    """There is no such file."""


class DamagedFileError(UserError):
    """The file is there, and is not what it should be."""


def check_file(path: str | Path, cure: str, missing: str | None = None) -> None:
    """Raise MissingFileError or DamagedFileError, in one sentence, unless there is an ordinary file at `path`.

    `cure` says what to do about a file that cannot be read, `missing` (default: the same) about one that is not there.
    """
    try:
        kind = kind_of(path)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise DamagedFileError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}); {cure}") from error
    if kind is None:
        raise MissingFileError(f"{path} is missing; {missing or cure}")
    if kind != FILE:
        raise DamagedFileError(f"{path} cannot be read: it is {kind}, not a file; {cure}")


def read_bytes(path: str | Path, cure: str, missing: str | None = None, most: int = DOCUMENT_BYTES) -> bytes:
    """The content of an ordinary file of at most so many bytes; pipes, sockets, devices and folders are refused unread.

    Raises MissingFileError and DamagedFileError as `check_file` does.
    """
    check_file(path, cure, missing)
    try:
        # Should it have become a pipe since, opening it must not wait for a writer.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise DamagedFileError(f"{path} cannot be read ({error.strerror}); {cure}") from error
    if len(content) > most:
        raise DamagedFileError(f"{path} is too large: it has more than {most} bytes; {cure}")
    return content


def read_text(path: str | Path, cure: str, missing: str | None = None, most: int = DOCUMENT_BYTES) -> str:
    """As `read_bytes`, the text of a file in UTF-8, with or without a byte order mark."""
    try:
        return read_bytes(path, cure, missing, most).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamagedFileError(f"{path} cannot be read: it is no text in UTF-8; {cure}") from error


def is_there(path: Path) -> bool:
    """Whether there is anything at a path, be it readable or not, so that reading it tells what is wrong."""
    return os.path.lexists(path)


def file_digests(paths: Sequence[Path]) -> dict[Path, str]:
    """SHA-256 of files, side by side."""

    def of_file(path: Path) -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(paths, pool.map(of_file, paths), strict=True))


def check_digests(told: dict[Path, str], cure: str) -> None:
    """Raise MissingFileError or DamagedFileError unless every file is there and has the SHA-256 that it is told to have."""
    for path in told:
        check_file(path, cure)
    for path, digest in file_digests(list(told)).items():
        if digest != told[path]:
            raise DamagedFileError(f"{path} is damaged (it is not what was written: its digest differs); {cure}")


# ---- JSON ----


@lru_cache
def _adapter(schema: Any) -> TypeAdapter:
    return TypeAdapter(schema)


def read_json(path: str | Path, schema: Any, cure: str, missing: str | None = None) -> Any:
    """The value in a JSON file, checked against `schema`, a type that pydantic knows; nothing is converted.

    Raises MissingFileError and DamagedFileError; the latter names the first place that is wrong.
    """
    return parse_json(read_bytes(path, cure, missing), schema, str(path), cure)


def parse_json(content: bytes | str, schema: Any, where: str, cure: str) -> Any:
    """As `read_json`, of a text that came from `where`."""
    try:
        return _adapter(schema).validate_json(content, strict=True)
    except ValidationError as error:
        raise DamagedFileError(f"{where} is damaged ({first_fault(error)}); {cure}") from error


def check_value(value: Any, schema: Any, where: str, cure: str) -> Any:
    """As `read_json`, of a value that was read in another way."""
    try:
        return _adapter(schema).validate_python(value, strict=True)
    except ValidationError as error:
        raise DamagedFileError(f"{where} is damaged ({first_fault(error)}); {cure}") from error


def is_value(value: Any, schema: Any) -> bool:
    """Whether a value is of a schema."""
    try:
        _adapter(schema).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def first_fault(error: ValidationError) -> str:
    """What is wrong first, in a few words: `runs.0.seed: input should be a valid integer`."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place, what = ".".join(map(str, first["loc"])), first["msg"][:1].lower() + first["msg"][1:]
    if first["type"] == "missing":
        return f"'{place}' is missing"
    if first["type"] == "json_invalid":
        return f"it is no JSON: {what.removeprefix('invalid JSON: ')}"
    return " ".join(f"{place}: {what}".split()) if place else what


def read_json_lines(path: Path, schema: Any = AnyObject, cure: str = "delete that line") -> list[Any]:
    """The objects of a file of one JSON object a line, in order; none if there is no file.

    An unfinished last line is left out. Raises UserError for a damaged line before the last.
    """
    if not is_there(path):
        return []
    records = []
    for number, line in enumerate(read_bytes(path, "move it away", most=LINES_BYTES).split(b"\n")[:-1], start=1):
        try:
            records.append(_adapter(schema).validate_json(line, strict=True))
        except ValidationError as error:
            raise DamagedFileError(f"{path}, line {number} is damaged ({first_fault(error)}); {cure}") from error
    return records


# ---- numbers and tables ----

NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")


def finite_number(value: Any) -> float | None:
    """A finite number, or the text of one in plain digits; None for everything else (1_0, inf, true, digits of other scripts)."""
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, bool) or not isinstance(text, (int, float, str)) or (isinstance(text, str) and not NUMBER.fullmatch(text)):
        return None
    try:
        found = float(text)
    except OverflowError:  # an int of more than 308 digits
        return None
    return found if math.isfinite(found) else None


def read_table(path: Path, cure: str) -> list[tuple[int, list[str]]]:
    """(line, fields) of every row of a CSV file in UTF-8 that is not blank, fields without blanks around them.

    Raises MissingFileError and DamagedFileError.
    """
    return parse_table(read_text(path, cure), path, cure)


def parse_table(text: str, path: Path, cure: str) -> list[tuple[int, list[str]]]:
    """As `read_table`, of the text of the file."""
    reader = csv.reader(io.StringIO(text, newline=None))
    try:
        rows = [(reader.line_num, [field.strip() for field in fields]) for fields in reader]
    except csv.Error as error:
        raise DamagedFileError(f"line {reader.line_num} of {path} cannot be read ({error}); {cure}") from error
    return [(line, fields) for line, fields in rows if any(fields)]


# ---- arrays ----


def read_arrays(path: Path, names: Collection[str] | None, cure: str, missing: str | None = None) -> dict[str, np.ndarray]:
    """Arrays of an .npz file (all of them, where no names are given), without pickled ones.

    Raises MissingFileError and DamagedFileError.
    """

    def read() -> dict[str, np.ndarray]:
        with zipfile.ZipFile(path) as packed:
            if sum(member.file_size for member in packed.infolist()) > ARRAYS_BYTES:
                raise ValueError(f"its arrays have more than {ARRAYS_BYTES} bytes")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in (file.files if names is None else names)}

    return read_with(path, read, cure, missing)


def read_with(path: Path, read: Callable[[], Any], cure: str, missing: str | None = None) -> Any:
    """What a library reads from `path`, an ordinary file: whatever it raises is told as damage.

    Raises MissingFileError and DamagedFileError.
    """
    check_file(path, cure, missing)
    try:
        return read()
    except UserError:
        raise
    except (Exception, MemoryError) as error:  # libraries raise a dozen kinds for damaged files
        told = " ".join(str(error).split())[:120] or type(error).__name__
        raise DamagedFileError(f"{path} is damaged ({told}); {cure}") from error

