"""The model that comes with the package: listed, used by name, and as good as its card says."""

import os
from pathlib import Path

import numpy as np
import pytest

import radiodiff_jax
from experiments import models, predict
from radiodiff_jax.data.sources import open_source
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import read_grey, write_grey
from radiodiff_jax.inference.evaluation_files import read_evaluation
from radiodiff_jax.inference.model_file import SHIPPED
from radiodiff_jax.units import thresholded

SITE = Path(__file__).parents[2] / "site_src" / "models" / "dpm-regression"
SAMPLE = Path(os.environ.get("RADIODIFF_SAMPLE_DIR", Path(__file__).resolve().parents[3] / "shared" / "radiomapseer_sample"))


@pytest.fixture(scope="module")
def model():
    return radiodiff_jax.load_generator("dpm-regression")


def test_it_is_listed_small_and_tells_where_it_comes_from(model, capsys):
    assert models.main([]) == 0 and "dpm-regression" in capsys.readouterr().out
    assert (SHIPPED / "dpm-regression.safetensors").stat().st_size < 16e6
    assert model.record["licence"] == "MIT" and "no real map" in model.record["trained_on"]


def test_the_three_lines_of_the_readme(model, tmp_path):
    buildings, transmitter = radiodiff_jax.example_scene()
    found = model.predict(buildings, transmitter)
    assert buildings.shape == found.gain.shape == (256, 256) and not buildings[transmitter]
    assert found.db.dtype == np.float32 and found.gain[transmitter] > 0.9
    np.testing.assert_array_equal(read_grey(found.to_png(tmp_path / "map.png")), np.round(255 * found.gain))
    # the command without any model named is the same
    write_grey(tmp_path / "b.png", np.where(buildings, 255, 0).astype(np.uint8))
    words = ["--buildings", str(tmp_path / "b.png"), "--tx", "{},{}".format(*transmitter), "--out", str(tmp_path / "c.png")]
    assert predict.main(words) == 0
    np.testing.assert_array_equal(read_grey(tmp_path / "c.png"), read_grey(tmp_path / "map.png"))


def test_what_the_package_gives_is_found_when_it_is_asked_for():
    assert set(radiodiff_jax.__all__) <= set(dir(radiodiff_jax))
    with pytest.raises(AttributeError, match="no attribute 'load_generater'"):
        _ = radiodiff_jax.load_generater


def test_xarray_is_asked_for_where_it_is_missing(model):
    scene = radiodiff_jax.RadioMap(np.zeros((2, 2), np.float32), np.eye(2, dtype=bool), (0, 1), np.ones((2, 2), np.float32))
    try:
        import xarray  # noqa: F401
    except ImportError:
        with pytest.raises(UserError, match="pip install xarray"):
            scene.to_dataset()
        return
    found = scene.to_dataset()
    assert found.path_gain.attrs["units"] == "dB" and np.isnan(found.path_gain.values[0, 0])
    assert found.path_gain.values[0, 1] == -147 and found.deviation.values[0, 0] == pytest.approx(99.16)


@pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"needs {SAMPLE}")
def test_the_card_says_what_a_real_map_shows(model):
    """The first real maps again, each as its card's evaluation has it, raw and thresholded."""
    told = read_evaluation(SITE / "real.json")["results"]["model"]["maps"]
    source = open_source(SAMPLE, "all")
    for index in range(3):
        record = source[index]
        found = model.predict(record["buildings"], tuple(record["position"].tolist())).gain
        row = list(zip(told["map"], told["transmitter"], strict=True)).index((int(record["map"]), int(record["transmitter"])))
        for name, (one, truth) in {
            "raw": (found, record["gain"] / 255), "thresholded": map(thresholded, (found, record["gain"] / 255)),
        }.items():  # fmt: skip
            rmse = np.sqrt(np.mean((one - truth) ** 2))
            assert rmse == pytest.approx(told[f"{name}/all/rmse"][row], abs=2e-5)
