"""What XLA compiled is kept in the user's cache folder, so that the next command with the same settings need not.

    $XDG_CACHE_HOME/radiodiff_jax/compiled/PROCESSOR/     by default below ~/.cache

JAX's own persistent cache does the work; an entry is found by the program, the versions and the compiler's options.
Code for a CPU is good for this very kind of processor only, hence the folder for each.
"""

import contextlib
import hashlib
import os
import platform
import sys
from pathlib import Path

FOLDER = "JAX_COMPILATION_CACHE_DIR"
MOST_BYTES = 2 * 10**9  # beyond, the oldest entries go


def keep_compiled() -> None:
    """Tell JAX the folder, unless the user has named one; nothing where it cannot be made. Call before anything is compiled.

    The processes that this one starts are told too, by the environment. `JAX_ENABLE_COMPILATION_CACHE=0` there switches
    the cache off.
    """
    if FOLDER in os.environ:
        return
    with contextlib.suppress(OSError, RuntimeError):  # the second where there is no home
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = caches / "radiodiff_jax" / "compiled" / processor()
        folder.mkdir(parents=True, exist_ok=True)
        shrink(folder, MOST_BYTES)
        if os.access(folder, os.W_OK):
            os.environ[FOLDER] = str(folder)
            if "jax" in sys.modules:  # which has read the environment already
                sys.modules["jax"].config.update(FOLDER.lower(), str(folder))


def processor() -> str:
    """A name for the processor with all that its compilers can make use of."""
    known = platform.processor() + platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        known += "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    return hashlib.sha256(known.encode()).hexdigest()[:12]


def shrink(folder: Path, most: int) -> None:
    """Remove the oldest files of a folder until the others take no more than `most` bytes."""
    facts = sorted(((path.stat().st_mtime, path.stat().st_size, path) for path in folder.iterdir()), reverse=True)
    total = 0
    for _, size, path in facts:
        total += size
        if total > most:
            path.unlink(missing_ok=True)
