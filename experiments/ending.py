"""How a command ends, whatever happens: its exit code, its last sentence, its streams; never a traceback.

What goes wrong for a user to mend is a `UserError` where it happens. What is left is a fault of the program: its traceback is
written to a file, and the user is told which.
"""

import contextlib
import errno
import os
import platform
import signal
import sys
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from radiodiff_jax.errors import TableError, UserError

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
PIPE_CLOSED = 141  # 128 + SIGPIPE
FAULT = "this is a fault of the program"
FULL = (errno.ENOSPC, errno.EDQUOT)


def open_streams() -> None:
    """Make printing safe: closed streams lead nowhere, and letters that a terminal lacks are printed as their escapes."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (lives as long as the process)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def tell(sentence: str, whole: bool = True) -> None:
    """Print to stderr, if there is anybody to read it, on one line and without the control characters of a terminal.

    Blanks are joined, but in a row of a table (not `whole`).
    """
    line = " ".join(sentence.split()) if whole else sentence
    line = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def close_streams(code: int) -> int:
    """Write out what was printed; the exit code, which says so where that cannot be done and all else was well."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:  # the reader (`| head`) has gone
            code = code or PIPE_CLOSED
            lead_nowhere(stream)
        except (OSError, ValueError) as error:
            lead_nowhere(stream)
            if stream is sys.stdout and code == 0:
                tell(f"error: what was printed could not be written ({getattr(error, 'strerror', None) or error})")
            code = code or 1
    return code


def lead_nowhere(stream: TextIO) -> None:
    """Let go what a stream still holds; without this the interpreter complains when it flushes at exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def code_of(error: BaseException) -> int:
    """Tell what ended a command in one line; the exit code."""
    if isinstance(error, SystemExit):  # of argparse, which has told everything
        if error.code is None or isinstance(error.code, int):
            return error.code or 0
        tell(str(error.code))
        return 1
    if isinstance(error, UserError):
        sentence, *rows = str(error).splitlines() if isinstance(error, TableError) else [str(error)]
        tell(f"error: {sentence}")
        for row in rows:
            tell(row, whole=False)
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        with contextlib.suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # once more ends it at once
        tell("interrupted")
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return PIPE_CLOSED
    if isinstance(error, MemoryError):
        tell("error: the memory of this machine is full; take smaller maps or batches, or fewer workers at once")
        return 1
    if isinstance(error, RecursionError):
        tell("error: something that was read is nested too deeply; name another file, or write it flat")
        return 1
    if isinstance(error, OSError) and error.errno in FULL:
        where = error.filename or "what was printed, or a file,"
        tell(f"error: {where} could not be written ({error.strerror}); make room, or name another place")
        return 1
    place = write_fault(error)
    tell(f"error: {FAULT} ({type(error).__name__}); {place} holds the details, please send it to the authors")
    return 1


def write_fault(error: BaseException) -> str:
    """Write command, versions and traceback to a file; its path, or "the text above" where none could be written."""
    now = datetime.now(UTC)
    details = "".join(traceback.format_exception(error))
    text = f"{now.isoformat()}\n{' '.join(sys.argv)}\nPython {platform.python_version()}, {platform.platform()}\n\n{details}"
    for folder in (Path(tempfile.gettempdir()), Path.cwd()):
        with contextlib.suppress(OSError):
            path = folder / f"radiodiff-fault-{now:%Y%m%d-%H%M%S}-{os.getpid()}.txt"
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
            return str(path)
    with contextlib.suppress(OSError, ValueError):
        print(details, file=sys.stderr)
    return "the text above"


def interrupted_while_loading(kind: type[BaseException], error: BaseException, trace: object) -> None:
    """An exception hook for the seconds in which a command loads its libraries, before `run_command`."""
    if issubclass(kind, KeyboardInterrupt):
        tell("interrupted")
    else:
        sys.__excepthook__(kind, error, trace)
