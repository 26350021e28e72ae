"""Against real RadioMapSeer DPM maps, where these are at hand."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radiodiff_jax.simulation import path_gain_grey, prepare

SAMPLE = Path(os.environ.get("RADIODIFF_SAMPLE_DIR", Path(__file__).parents[4] / "shared" / "radiomapseer_sample"))
pytestmark = pytest.mark.skipif(not SAMPLE.is_dir(), reason="no real maps at hand")

# RMSE in raw gain units (grey / 255) of the fitted model; a change for the better should lower these.
RMSE = {
    "0_0": 0.0119,
    "1_0": 0.0309,
    "2_0": 0.0214,
    "3_0": 0.0192,
    "4_0": 0.0103,
    "5_0": 0.0171,
    "6_0": 0.0143,
    "7_0": 0.0084,
    "8_0": 0.0208,
    "9_0": 0.0128,
    "10_0": 0.0143,
    "10_1": 0.0151,
    "11_0": 0.0094,
}


def read(*parts):
    with Image.open(SAMPLE.joinpath(*parts)) as picture:
        return np.asarray(picture)


@pytest.fixture(scope="module")
def rmse_of():
    """RMSE of each sample, computed once."""
    known, prepared = {}, {}

    def compute(name):
        if name not in known:
            map_id = name.split("_")[0]
            if map_id not in prepared:
                prepared.clear()
                prepared[map_id] = prepare(read("png", "buildings_complete", f"{map_id}.png") > 0)
            row, column = np.argwhere(read("png", "antennas", f"{name}.png"))[0]
            error = path_gain_grey(prepared[map_id], row, column) - read("gain", "DPM", f"{name}.png").astype(float)
            known[name] = np.sqrt(np.mean((error / 255) ** 2))
        return known[name]

    return compute


@pytest.mark.parametrize("name", RMSE)
def test_a_real_map_is_met_as_closely_as_before(name, rmse_of):
    assert rmse_of(name) == pytest.approx(RMSE[name], abs=1e-4)


def test_mean_over_the_real_maps(rmse_of):
    assert np.mean([rmse_of(name) for name in RMSE]) <= 0.0160
