"""Folders of ray-traced maps: arguments, grey levels, the layout (with a made-up ray tracer), and once the real one."""

import json

import numpy as np
import pytest

from experiments import dataset
from radiodiff_jax.data.checks.check import check_folder
from radiodiff_jax.errors import UserError
from radiodiff_jax.radiomapseer import RadioMapFolder
from radiodiff_jax.simulation.raytrace import folder
from radiodiff_jax.simulation.raytrace.library import load_ray_tracer
from radiodiff_jax.units import gain_to_db, grey_to_gain


def test_grey_levels_are_those_of_the_units():
    gain = np.array([[0.0, 10**-15.5, 10**-10.0, 1.0]])  # nothing, -155, -100 and 0 dB
    grey = folder.grey_levels(gain)
    assert grey.dtype == np.uint8 and grey[0, [0, 1, 3]].tolist() == [0, 0, 255]
    assert abs(gain_to_db(grey_to_gain(grey))[0, 2] + 100) < 0.2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cities": ["atlantis"]}, "different ones of munich, paris.*not atlantis"),
        ({"cities": ["munich", "munich"]}, "not munich munich"),
        ({"maps": 0}, "maps to be 1 or more, but it is 0"),
        ({"depth": -1}, "depth to be 0 or more"),
        ({"size": (62, 64)}, "multiples of 4 m, but the size is 62 x 64"),
    ],
)
def test_odd_arguments_are_told_before_anything_is_loaded(tmp_path, changed, message):
    arguments = {"cities": ["munich"], "maps": 1, "transmitters": 1, "size": (64, 64)} | changed
    with pytest.raises(UserError, match=message) as told:
        folder.write_ray_traced_folder(tmp_path / "out", **arguments)
    assert told.value.exit_code == 2 and not (tmp_path / "out").exists()


def test_unknown_cities_are_wrong_usage(capsys):
    with pytest.raises(SystemExit) as left:
        dataset.main(["raytrace", "--out", "x", "--city", "atlantis"])
    assert left.value.code == 2 and "atlantis" in capsys.readouterr().err


class MadeUpCity:
    """A city of blocks and streets, in place of the ray tracer's."""

    west, north = -100.0, 100.0

    def __init__(self, _, name):
        self.name = name

    def coarse_heights(self):
        roof = np.zeros((50, 50))
        roof[(np.indices((50, 50)) % 8 >= 3).all(axis=0)] = 20.0
        return roof, np.zeros((50, 50))


class MadeUpWindow:
    """What `TracedWindow` offers; counts the gains that are asked of it."""

    asked = 0

    def __init__(self, city, west, north, size):
        self.terrain = np.full(size, 7.0)
        self.roof = self.terrain + 10.0 * (np.indices(size) % 16 >= 10).all(axis=0)

    def path_gain(self, buildings, row, column, depth, samples, diffraction, seed):
        MadeUpWindow.asked += 1
        distance = np.hypot(*np.subtract(np.indices(buildings.shape), np.array([row, column])[:, None, None])).clip(1)
        return np.where(buildings, 0.0, 10**-4.786 / distance**2)


@pytest.fixture
def made_up(monkeypatch):
    for name, value in {"load_ray_tracer": lambda: None, "TracedCity": MadeUpCity, "TracedWindow": MadeUpWindow,
                        "versions": dict}.items():  # fmt: skip
        monkeypatch.setattr(folder, name, value)


def test_the_folder_is_one_that_every_command_reads_and_goes_on_where_it_stopped(made_up, tmp_path):
    out = tmp_path / "out"
    arguments = {"maps": 2, "transmitters": 3, "size": (64, 96), "seed": 4, "progress": False}
    folder.write_ray_traced_folder(out, ["munich", "florence"], **arguments)
    read = RadioMapFolder(out, "RT")
    assert read.size == (64, 96) and read.pairs == [(number, tx) for number in range(4) for tx in range(3)]
    assert not check_folder(out)
    record = read.record(3, 2, cars=False)
    assert record["gain"][tuple(record["position"])] == 255 and not record["gain"][record["buildings"]].any()
    assert [place["city"] for place in json.loads((out / "windows.json").read_text()).values()] == ["munich"] * 2 + ["florence"] * 2

    before, content = MadeUpWindow.asked, read.fingerprint()
    (out / "gain/RT/2_1.png").unlink()
    folder.write_ray_traced_folder(out, ["munich", "florence"], **arguments)
    assert MadeUpWindow.asked == before + 1 and RadioMapFolder(out, "RT").fingerprint() == content
    with pytest.raises(UserError, match="other arguments"):
        folder.write_ray_traced_folder(out, ["munich"], **arguments)


def test_a_small_real_window_has_line_of_sight_as_in_free_space(tmp_path):
    pytest.importorskip("sionna.rt", exc_type=ImportError)
    try:
        load_ray_tracer()
    except UserError as error:
        pytest.skip(str(error))
    folder.write_ray_traced_folder(tmp_path, ["munich"], 1, 1, (64, 64), samples=100_000, diffraction=False, progress=False)
    record = RadioMapFolder(tmp_path, "RT").record(0, 0, cars=False)
    rows, columns = np.indices((64, 64))
    row, column = record["position"]
    distance = np.hypot(rows - row, columns - column)
    near = (distance >= 2) & (distance <= 3)  # a transmitter keeps 3 m from buildings
    free_space = -47.86 - 20 * np.log10(distance[near])
    assert abs(np.median(gain_to_db(grey_to_gain(record["gain"][near])) - free_space)) < 1.5
    assert not record["gain"][record["buildings"]].any()
