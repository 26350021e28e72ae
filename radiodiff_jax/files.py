"""Whole files or none: everything is written under a temporary name in the same folder and then renamed.

A place is looked at before work begins (`output_path`, `output_folder`), so that nothing is computed in vain.
"""

import contextlib
import errno
import json
import os
import re
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from radiodiff_jax.errors import UserError
from radiodiff_jax.limits import NAME_BYTES

TEMPORARY = ".writing-"
FILE, FOLDER = "a file", "a folder"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
KINDS = {
    stat.S_IFREG: FILE, stat.S_IFDIR: FOLDER, stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}  # fmt: skip


class UnwritableError(UserError):
    """A file could not be written: the disk is full, or something is in the way."""


# ---- what is in a place, and whether something can be written there ----


def kind_of(path: str | Path) -> str | None:
    """What is at a path, links followed: `FILE`, `FOLDER`, "a pipe", "a link that leads nowhere", ...; None for nothing.

    Raises OSError where the system cannot tell: a loop of links, a name that is too long, a parent that may not be read.
    """
    try:
        return KINDS.get(stat.S_IFMT(os.stat(path).st_mode), "nothing known")
    except FileNotFoundError:
        return "a link that leads nowhere" if os.path.islink(path) else None
    except NotADirectoryError:
        return None


def is_written(path: str | Path) -> bool:
    """Whether a whole file is there, so that it need not be made again; an empty one, as a crash may leave, is none.

    Raises UserError where something else is in its place.
    """
    try:
        kind = kind_of(path)
        if kind == FILE:
            return os.stat(path).st_size > 0
    except OSError as error:
        kind = error.strerror
    if kind is not None:
        raise UserError(f"{path} should be a file, but it is in the way as something else ({kind}); remove it")
    return False


def output_path(path: str | Path, inputs: Iterable[str | Path | None] = ()) -> Path:
    """The path, after a look whether a file can be written there; what is there already is left as it is.

    Raises UserError where it is no ordinary file, is one of the `inputs`, or its folder cannot be written. No folder is made.
    """
    path = _checked(Path(path), FILE)
    if any(given is not None and path.resolve() == Path(given).resolve() for given in inputs):
        raise UserError(f"{path} is what is read, and would be written over; name another file to write")
    return path


def output_folder(path: str | Path) -> Path:
    """The path, after a look whether it is a folder that can be written, or can be made. Raises UserError if not."""
    return _checked(Path(path), FOLDER)


def _checked(path: Path, wanted: str) -> Path:
    def fault(why: str) -> UserError:
        return UserError(f"{path} cannot be written: {why}; name another {wanted.removeprefix('a ')}")

    if "\0" in str(path):
        raise UserError(f"{str(path)!r} is no name of a file; leave out the zero byte")
    for part in path.parts:
        if len(os.fsencode(part)) > NAME_BYTES:
            raise fault(f"a name of {len(os.fsencode(part))} bytes is too long, {NAME_BYTES} is the most")
    place = path
    try:
        kind = kind_of(path)
        if kind not in (None, wanted):
            raise fault(f"it is {kind}")
        while (kind := kind_of(place)) is None or (kind == FILE and place == path):
            place = place.absolute().parent
        if kind != FOLDER:
            raise fault(f"{place} is {kind}")
        with tempfile.NamedTemporaryFile(dir=place, prefix=TEMPORARY) as probe:
            probe.write(b"0")
    except OSError as error:
        raise fault(f"no file can be made in {place} ({error.strerror})" if place != path else str(error.strerror)) from error
    return path


# ---- writing ----


def write_whole(path: str | Path, write: Callable[[Path], None]) -> Path:
    """Call `write(temporary_path)`, then rename the temporary file to `path`; on any failure leave nothing behind.

    The temporary name keeps the suffix of `path`, because image writers choose their format by it. Parent folders
    are created, and a link to a file stays a link. Raises UnwritableError for a full disk and for what is in the way.
    """
    path = Path(path)
    with telling_what_is_in_the_way(path):
        target = path
        if path.is_symlink():
            if (kind := kind_of(path)) != FILE:
                raise UnwritableError(f"{path} cannot be written: it is {kind}; remove it, or name another place")
            target = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=TEMPORARY, suffix=target.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            temporary.chmod(0o644)
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    return path


@contextlib.contextmanager
def telling_what_is_in_the_way(path: Path) -> Iterator[None]:
    """Turn the system's errors at writing `path`, and libraries' words for a full disk, into an UnwritableError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if getattr(error, "errno", None) in FULL or any(os.strerror(number) in str(error) for number in FULL):
            raise UnwritableError(f"the disk is full: {path} cannot be written; make room and give the command again") from error
        if not isinstance(error, OSError):
            raise
        raise UnwritableError(
            f"{path} cannot be written ({error.strerror or error}); name another place, or remove what is in the way"
        ) from error


@contextlib.contextmanager
def written_together(paths: Sequence[Path], inputs: Iterable[Path | None] = ()) -> Iterator[dict[Path, Path]]:
    """Several files, all or none: gives for each path the one to write to meanwhile; at the end all are renamed.

    Those that were not written are passed over. Raises UserError, before anything is done, where one of the places cannot
    be written or is one of the `inputs`, and where two are the same.
    """
    inputs = list(inputs)
    paths = [output_path(path, inputs) for path in paths]
    if len({path.resolve() for path in paths}) < len(paths):
        twice = next(path for path in paths if [one.resolve() for one in paths].count(path.resolve()) > 1)
        raise UserError(f"{twice} is to be written twice with different contents; give each file a name of its own", 2)
    with contextlib.ExitStack() as stack:
        folders = {}
        for path in paths:
            parent = path.resolve().parent
            if parent not in folders:
                with telling_what_is_in_the_way(path):
                    for new in reversed([one for one in (parent, *parent.parents) if not one.exists()]):
                        stack.callback(_remove_if_empty, new)
                    parent.mkdir(parents=True, exist_ok=True)
                    folders[parent] = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=parent, prefix=TEMPORARY)))
        places = {path: folders[path.resolve().parent] / path.name for path in paths}
        yield places
        done: dict[Path, Path] = {}
        try:
            for path, place in places.items():
                if place.exists():
                    target, before = path.resolve(), place.with_name(f"before-{place.name[-100:]}")
                    with telling_what_is_in_the_way(path):
                        if target.exists():
                            os.link(target, before)
                        place.replace(target)
                    done[target] = before
        except BaseException:
            for target, before in done.items():
                before.replace(target) if before.exists() else target.unlink(missing_ok=True)
            raise


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


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
