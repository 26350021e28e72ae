"""What a run was made with: command, commit, versions, devices, sizes."""

import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from radiodiff_jax import __version__
from radiodiff_jax.training.devices import describe_devices
from radiodiff_jax.training.task import Tree

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
CODE = Path(__file__).resolve().parents[2]


def provenance(parameters: Tree) -> dict[str, Any]:
    """The facts for run.json; `parameters` are shapes or arrays."""
    return {
        "command": shlex.join([Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]]),
        "started": now(),
        "git_commit": git_commit(),
        "versions": package_versions(),
        "devices": describe_devices(),
        "processes": jax.process_count(),
        "parameters": count_parameters(parameters),
    }


def now() -> str:
    """The time, UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def count_parameters(parameters: Tree) -> dict[str, int]:
    """Numbers of parameters: "total" and one entry for each top-level module."""
    counts = {name: sum(leaf.size for leaf in jax.tree.leaves(module)) for name, module in parameters.items()}
    return {"total": sum(counts.values()), **counts}


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result may depend on."""
    versions = {"radiodiff_jax": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def git_commit() -> str | None:
    """The commit of this code, with " (modified)" where files differ from it; None without git or a repository."""
    commit = _git("rev-parse", "HEAD")
    # A package installed into some other project's tree is not described by that project's commit.
    if commit is None or _git("ls-files", "--error-unmatch", "--", str(Path(__file__).resolve())) is None:
        return None
    return f"{commit} (modified)" if _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=CODE, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
