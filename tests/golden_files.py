"""Where the reference vectors of the original live: $RADIODIFF_GOLDEN_DIR, the small ones in the repository, a neighbour."""

import functools
import os
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


def golden_folders() -> list[Path]:
    """Folders to look in; where the environment names one, that one alone."""
    named = os.environ.get("RADIODIFF_GOLDEN_DIR")
    return [Path(named)] if named else [ROOT / "tests" / "golden", ROOT.parent / "shared" / "golden"]


@functools.cache
def _load(path: Path):
    return np.load(path, allow_pickle=False)


def golden(name: str):
    """The npz file of that name; skips the calling test where it is nowhere."""
    for folder in golden_folders():
        if (folder / f"{name}.npz").is_file():
            return _load(folder / f"{name}.npz")
    pytest.skip(f"no {name}.npz in {', '.join(map(str, golden_folders()))} (set RADIODIFF_GOLDEN_DIR)")
