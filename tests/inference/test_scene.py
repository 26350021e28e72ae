"""Scenes from files: what training shows, and sentences for measurements that cannot be."""

import numpy as np
import pytest

from radiodiff_jax.data.sources import open_varied_source
from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.measurements import read_measurements
from radiodiff_jax.inference.scene import read_scene
from radiodiff_jax.radiomapseer import buildings_path
from radiodiff_jax.settings import DataConfig
from radiodiff_jax.units import gain_to_db, grey_to_gain
from tests.data.example_folder import write_example_folder

OPEN = np.zeros((32, 32), bool)


def test_measurements_from_a_file_are_those_that_training_shows(tmp_path):
    root = write_example_folder(tmp_path / "maps", maps=3)
    record = open_varied_source(root, "train", DataConfig(observed_pixels=40))[1]
    gain, observed = grey_to_gain(record["gain"]), record["observed"]
    lines = [f"{row},{column},{gain_to_db(gain[row, column]):.4f}" for row, column in np.argwhere(observed)]
    path = tmp_path / "measured.csv"
    path.write_text("\n".join(["row,column,path_gain_db", *lines]) + "\n")
    scene = read_scene(buildings_path(root, int(record["map"])), None, path)
    np.testing.assert_array_equal(scene["buildings"], record["buildings"])
    np.testing.assert_array_equal(~np.isnan(scene["observed"]), observed)
    np.testing.assert_allclose(scene["observed"][observed], gain[observed], atol=1e-5)
    assert read_scene(buildings_path(root, int(record["map"])))["observed"] is None


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "holds no measurements; give lines row,column,path gain in dB"),
        ("row,column,dB\n", "holds no measurements"),
        ("1,2,-80\n1,x,-80\n", r"line 2 of .* \('1,x,-80'\) must be row, column, path gain in dB, such as"),
        ("1,2\n", "line 1 of .* must be"),
        ("1,2,nan\n1,3,-80", "line 1 of .* must be"),
        ("1,32,-80\n", "line 1 of .* is at row 1, column 32, outside the map; rows run from 0 to 31"),
        ("-1,3,-80\n", "outside the map"),
        ("5,5,-80\n", "row 5, column 5, inside a building; measure outdoors"),
        ("1,2,-80\n\n1,2,-81\n", "line 3 of .* a second time; keep one value a pixel"),
        ("1,2,80\n", r"has a path gain of 80.0 dB, but the scale ends at -47.84 dB"),
    ],
)
def test_bad_measurements(tmp_path, text, says):
    buildings = OPEN.copy()
    buildings[5, 5] = True
    path = tmp_path / "measured.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=says):
        read_measurements(path, buildings)


def test_path_gains_below_the_scale_are_no_signal(tmp_path):
    path = tmp_path / "measured.csv"
    path.write_text("1,2,-200\n3,4,-47.84\n")
    measured = read_measurements(path, OPEN)
    assert measured[1, 2] == 0 and measured[3, 4] == 1 and np.isnan(measured).sum() == 32 * 32 - 2


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UserError, match="cannot be read .*give a CSV file"):
        read_measurements(tmp_path / "none.csv", OPEN)
