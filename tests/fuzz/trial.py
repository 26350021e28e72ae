"""One trial: a command called in this process on a folder of its own, and what was wrong with how it ended."""

import contextlib
import hashlib
import io
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from radiodiff_jax.errors import TableError, UserError

SECONDS = 10.0  # of the processor
PATIENCE = 12.0  # times as long by the clock, for what waits; a busy machine is no fault
LONGEST_SENTENCE = 1500  # letters
TEMPORARY = (".writing-", ".tmp", ".incomplete", ".orbax-checkpoint")


@dataclass(frozen=True)
class Command:
    """A call of a command's `main`; `clean` where nothing new may be left if it is refused."""

    main: Callable[[list[str]], int | None]
    words: list[str]
    clean: bool = True
    seconds: float = SECONDS  # of the processor; more for what compiles networks or draws pages


@dataclass(frozen=True)
class Finding:
    """What was wrong, in a line that is the same for the same fault, and the details."""

    what: str
    details: str


class TookTooLongError(BaseException):
    """Raised by the alarm; no `except Exception` of a command takes it."""


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Interrupt what takes more of the processor, or many times as long by the clock; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    timers = {signal.SIGPROF: (signal.ITIMER_PROF, seconds), signal.SIGALRM: (signal.ITIMER_REAL, PATIENCE * seconds)}

    def ring(number: int, frame: object) -> None:
        raise TookTooLongError

    before = {number: signal.signal(number, ring) for number in timers}
    for timer, limit in timers.values():
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for timer, _ in timers.values():
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def snapshot(folder: Path) -> dict[str, str]:
    """Path -> digest of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def attempt(command: Command, folder: Path) -> Finding | None:
    """Call the command with `folder` as the working folder; what was wrong, or None."""
    before, here, started = snapshot(folder), Path.cwd(), time.process_time()
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), alarm(command.seconds):
            code = command.main(command.words) or 0
    except UserError as error:
        code, sentence = error.exit_code, str(error)
        sentence = sentence.partition("\n")[0] if isinstance(error, TableError) else sentence
        if "\n" in sentence or not 0 < len(sentence) <= LONGEST_SENTENCE:
            return Finding(f"a sentence of {len(sentence)} letters in {len(sentence.splitlines())} lines", sentence[:2000])
    except SystemExit as end:
        code = end.code
    except TookTooLongError as error:
        return Finding(f"longer than {command.seconds:.0f} s: {where(error)}", traceback.format_exc())
    except Exception as error:
        return Finding(f"{type(error).__name__}: {where(error)}", traceback.format_exc())
    finally:
        os.chdir(here)
    took, after, printed = time.process_time() - started, snapshot(folder), out.getvalue() + err.getvalue()
    new = sorted(set(after) - set(before))
    changed = sorted(name for name in before if after.get(name) != before[name])
    if code not in (0, 1, 2):
        return Finding(f"exit code {code!r}", printed)
    if "Traceback (most recent call last)" in printed or "Exception ignored" in printed:
        return Finding("a traceback was printed", printed)
    if any(mark in name for name in new for mark in TEMPORARY):
        return Finding("a temporary file was left", f"{new}\n{printed}")
    if code and command.clean and new:
        return Finding(f"exit code {code}, but something was written: {Path(new[0]).suffix or new[0]}", f"{new}\n{printed}")
    if changed:
        return Finding("an input was changed", f"{changed}\n{printed}")
    return Finding(f"took {took:.0f} s", printed) if took > command.seconds else None


def where(error: BaseException) -> str:
    """File and line of our code in which an exception was raised, or that called what raised it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    ours = [frame for frame in frames if "/radiodiff_jax/" in frame.filename or "/experiments/" in frame.filename]
    last = (ours or frames)[-1]
    return f"{Path(last.filename).name}:{last.lineno} in {last.name}"
