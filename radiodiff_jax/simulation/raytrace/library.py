"""The ray tracer: is it there, does it run, and if not, what to do."""

import glob
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from types import ModuleType

from radiodiff_jax.errors import UserError

CITIES = {"munich": "munich", "paris": "etoile", "florence": "florence", "san_francisco": "san_francisco"}
"""Name of a city -> name of its scene in `sionna.rt.scene`."""
LLVM_VARIABLE = "DRJIT_LIBLLVM_PATH"
OLDEST_LLVM = 16  # 14 is not accepted and 15 aborts while it compiles the solver
LLVM_FILES = ("/usr/lib/*/libLLVM.so.*", "/usr/lib/*/libLLVM-*.so*", "/usr/lib/llvm-*/lib/libLLVM.so*", "/usr/lib64/libLLVM.so.*")
PROBE = """
from sionna import rt
scene = rt.load_scene(rt.scene.simple_reflector)
scene.tx_array = rt.PlanarArray(num_rows=1, num_cols=1, pattern="iso", polarization="V")
scene.add(rt.Transmitter("probe", position=[0, 0, 3]))
assert max(rt.RadioMapSolver()(scene, samples_per_tx=100, cell_size=(1, 1)).path_gain.array) > 0
"""


def load_ray_tracer() -> ModuleType:
    """The module sionna.rt, after a trial in a process of its own, since an LLVM that is too old aborts the process.

    Sets DRJIT_LIBLLVM_PATH to the newest LLVM library of the system where the user has not set it. Raises UserError
    where the package is missing, or the trial fails.
    """
    if importlib.util.find_spec("sionna") is None:  # looking for sionna.rt would import it
        raise UserError("ray tracing needs the package sionna-rt; install the extra with pip install -e '.[raytrace]'")
    newest = newest_llvm(path for pattern in LLVM_FILES for path in glob.glob(pattern))
    if newest:
        os.environ.setdefault(LLVM_VARIABLE, newest)
    trial = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False)
    if trial.returncode:
        where = os.environ.get(LLVM_VARIABLE)
        last = trial.stderr.strip().splitlines() or ["no message"]
        reason = next((line for line in last if "LLVM ERROR" in line), last[-1]).strip()
        raise UserError(
            f"the ray tracer does not run with {where or 'the LLVM library that it found'} ({shortened(reason)}); on a CPU it "
            f"needs LLVM {OLDEST_LLVM} or newer: install libllvm19 (Debian, Ubuntu) and set {LLVM_VARIABLE} to its libLLVM.so"
        )
    return importlib.import_module("sionna.rt")


def newest_llvm(paths: Iterable[str]) -> str | None:
    """The library with the highest version in its file name, if that is not too old."""
    versions = {path: re.search(r"libLLVM(?:-|\.so\.)(\d+)", path) for path in paths}
    known = [(int(match[1]), path) for path, match in versions.items() if match and int(match[1]) >= OLDEST_LLVM]
    return max(known)[1] if known else None


def versions() -> dict[str, str]:
    """Versions of the packages that decide the maps."""
    from importlib.metadata import version

    return {name: version(name) for name in ("sionna-rt", "mitsuba", "drjit")}


def shortened(text: str, longest: int = 120) -> str:
    """The beginning of a long message."""
    return text if len(text) <= longest else f"{text[:longest]}..."
