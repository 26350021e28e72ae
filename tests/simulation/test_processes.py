"""An error in one map ends a simulation, in one process or several; imports stay light."""

import subprocess
import sys

import numpy as np
import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.simulation import write_masks_folder
from radiodiff_jax.worker_processes import PACKAGE_ROOT


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_one_map_ends_the_simulation(tmp_path, workers):
    free, full = np.zeros((32, 32), bool), np.ones((32, 32), bool)
    with pytest.raises(UserError, match="has only 0 pixels outside buildings"):
        write_masks_folder(tmp_path / "out", [free, full, free], {}, 2, seed=0, workers=workers, progress=False)
    assert (tmp_path / "out" / "gain" / "DPM" / "0_1.png").exists()


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("experiments.dataset", "numba"),  # its subcommands that simulate nothing start at once
        ("radiodiff_jax.simulation.dominant_path.field_jax", "numba"),
        ("radiodiff_jax.simulation.dominant_path.padded_scene", "jax"),
        ("radiodiff_jax.simulation.folder", "jax"),
    ],
)
def test_imports_stay_light(module, without):
    check = f"import sys, {module}; sys.exit({without!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False, cwd=PACKAGE_ROOT).returncode == 0
