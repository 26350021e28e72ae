"""Whole files or none: everything is written under a temporary name in the same folder and then renamed."""

import contextlib
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil


def write_whole(path: str | Path, write: Callable[[Path], None]) -> Path:
    """Call `write(temporary_path)`, then rename the temporary file to `path`; on any failure leave nothing behind.

    The temporary name keeps the suffix of `path`, because image writers choose their format by it. Parent folders
    are created.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def write_text(path: str | Path, text: str) -> Path:
    """Write `text` as UTF-8, whole or not at all; what is no text, as in some names of files, as its escapes."""
    return write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8", errors="backslashreplace"))


def write_json(path: str | Path, value: Any) -> Path:
    """Write `value` as indented JSON, a list of numbers on one line, with a final newline, whole or not at all."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    # A line break is never inside a string, so that this finds lists only.
    text = re.sub(r"\[\n(?:[-+\d.eE,\s]|null)*\]", lambda found: f"[{' '.join(found[0][1:-1].split())}]", text)
    return write_text(path, text + "\n")


@contextlib.contextmanager
def working_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder PARENT/PREFIXhost-pid-..., gone at the end; those of killed processes of this machine are removed."""
    of_this_machine = f"{prefix}{socket.gethostname()}-"
    for old in parent.glob(f"{of_this_machine}*"):
        number = old.name.removeprefix(of_this_machine).partition("-")[0]
        if number.isdigit() and not psutil.pid_exists(int(number)):
            shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=f"{of_this_machine}{os.getpid()}-") as name:
        yield Path(name)
