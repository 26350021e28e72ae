"""Processes that simulate: one that fails or dies is told in a sentence, what is closed is ended, imports stay light."""

import operator
import os
import subprocess
import sys
import time
from functools import partial

import numpy as np
import psutil
import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.simulation import write_masks_folder
from radiodiff_jax.simulation.workers import PACKAGE_ROOT, CityWorkers


def children():
    return [process for process in psutil.Process().children() if process.status() != psutil.STATUS_ZOMBIE]


def test_closing_finishes_the_job_at_hand_and_drops_the_rest():
    before = len(children())
    workers = CityWorkers(operator.call, 1)
    assert workers.submit(0, partial(int, 7)).result() == 7
    first, second = workers.submit(0, partial(time.sleep, 0.5)), workers.submit(1, partial(int, 8))
    time.sleep(0.2)  # the first is begun
    workers.close()
    assert first.done() and not first.cancelled() and second.cancelled()
    assert len(children()) == before


def test_closing_after_a_process_died():
    workers = CityWorkers(os._exit, 1)
    with pytest.raises(UserError, match=r"died, most likely for want of memory; run again with fewer of them \(--workers"):
        workers.submit(0, 3).result()
    workers.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_one_map_ends_the_simulation(tmp_path, workers):
    free, full = np.zeros((32, 32), bool), np.ones((32, 32), bool)
    before = len(children())
    with pytest.raises(UserError, match="has only 0 pixels outside buildings"):
        write_masks_folder(tmp_path / "out", [free, full, free], {}, 2, seed=0, workers=workers, progress=False)
    assert len(children()) == before
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
