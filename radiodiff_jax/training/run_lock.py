"""One process trains in a run folder at a time.

    RUN/lock.json    {"host", "pid", "process_started", "since"}; its date is renewed every 20 s while the process lives

A lock is stale, and taken over, when its process is gone: on the same host this is asked of the system (the start time
tells a process from a later one with the same number), of another host it is believed after 3 minutes without a sign.
"""

import contextlib
import json
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from radiodiff_jax.errors import UserError
from radiodiff_jax.reading import AnyObject, DamagedFileError, MissingFileError, read_json
from radiodiff_jax.training.run_folder import now

NAME = "lock.json"
HEARTBEAT = 20.0  # seconds between two signs of life
SILENCE = 180.0  # seconds without one after which a process on another host is given up

Holder = dict[str, Any]


@contextlib.contextmanager
def run_lock(run: Path) -> Iterator[Holder | None]:
    """Hold the lock of a run folder, which must exist; yields whose stale lock was taken over, if there was one.

    Raises UserError, naming host and process, if another process holds it, and where the lock is no file.
    """
    path = run / NAME
    stale = _acquire(path)
    stopped = threading.Event()
    threading.Thread(target=_beat, args=(path, stopped), daemon=True).start()
    try:
        yield stale
    finally:
        stopped.set()
        path.unlink(missing_ok=True)


def _acquire(path: Path) -> Holder | None:
    taken_over = None
    mine = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_started": psutil.Process().create_time(),
        "since": now(),
    }
    while not _create(path, mine):
        holder = _read(path)
        if holder is None:
            continue  # released just now
        if not is_stale(path, holder):
            raise UserError(
                f"{path.parent} is being trained by process {holder.get('pid')} on {holder.get('host')} since "
                f"{holder.get('since')}; wait for it, stop it, or name another folder as --run"
            )
        aside = path.with_name(f".writing-stale-lock-{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            path.rename(aside)  # of several processes that see it, one succeeds
            if _read(aside) == holder:
                taken_over = holder
                aside.unlink()
            else:  # a new lock, made since it was read: put it back
                aside.rename(path)
    return taken_over


def is_stale(path: Path, holder: Holder) -> bool:
    """Whether the process that wrote a lock is gone."""
    if holder.get("host") != socket.gethostname():
        return _silence(path) > SILENCE
    try:
        return psutil.Process(holder["pid"]).create_time() != holder["process_started"]
    except (psutil.NoSuchProcess, KeyError, TypeError, ValueError, OverflowError):
        return True
    except psutil.AccessDenied:
        return False


def _silence(path: Path) -> float:
    """Seconds since the lock's date was renewed, both times by the clock of the file system."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".writing-") as probe:
        try:
            return os.stat(probe.name).st_mtime - path.stat().st_mtime
        except FileNotFoundError:
            return 0.0


def _create(path: Path, holder: Holder) -> bool:
    """Make the lock file; False if there is one."""
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump(holder, file)
    except FileExistsError:
        return False
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); mend that, or name another folder as --run") from error
    return True


def _read(path: Path) -> Holder | None:
    """The content of a lock; None if there is none, {} if it is damaged."""
    try:
        return read_json(path, AnyObject, "remove it")
    except MissingFileError:
        return None
    except DamagedFileError:
        if path.is_symlink() or not path.is_file():
            raise
        return {}


def _beat(path: Path, stopped: threading.Event) -> None:
    while not stopped.wait(HEARTBEAT):
        with contextlib.suppress(OSError):
            os.utime(path)
