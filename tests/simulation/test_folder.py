"""Simulated folders: complete, the same for any number of workers, resumable, never mixed with something else."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from radiodiff_jax.errors import UserError
from radiodiff_jax.simulation import folder, path_gain_grey, prepare, write_gains_for_scenes, write_simulated_folder

MAPS, TRANSMITTERS, SIZE, SEED = 3, 2, (64, 96), 11


def contents(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulated") / "set"
    write_simulated_folder(out, MAPS, TRANSMITTERS, SIZE, SEED, workers=1, progress=False)
    return out


def test_the_folder_is_complete(simulated):
    names = set(contents(simulated))
    expected = {"simulation.json"} | {f"png/buildings_complete/{m}.png" for m in range(MAPS)}
    for kind in ("png/antennas", "gain/DPM"):
        expected |= {f"{kind}/{m}_{t}.png" for m in range(MAPS) for t in range(TRANSMITTERS)}
    assert names == expected
    record = json.loads((simulated / "simulation.json").read_text())
    assert record["arguments"] == {
        "maps": MAPS,
        "transmitters": TRANSMITTERS,
        "size": list(SIZE),
        "seed": SEED,
    }
    for m in range(MAPS):
        buildings = read(simulated / f"png/buildings_complete/{m}.png")
        assert buildings.shape == SIZE and set(np.unique(buildings)) == {0, 255}
        for t in range(TRANSMITTERS):
            antenna = read(simulated / f"png/antennas/{m}_{t}.png")
            gain = read(simulated / f"gain/DPM/{m}_{t}.png")
            assert np.count_nonzero(antenna) == 1 and antenna.max() == 255
            assert gain[antenna > 0] == 255
            assert np.all(gain[buildings > 0] == 0)
            assert np.mean(gain[buildings == 0] > 0) > 0.95


def test_shards_write_the_same_bytes_in_any_order(simulated, tmp_path):
    for shard in ((2, 2), (1, 2)):
        write_simulated_folder(tmp_path / "set", MAPS, TRANSMITTERS, SIZE, SEED, progress=False, shard=shard)
        maps = {path.stem for path in (tmp_path / "set/png/buildings_complete").iterdir()}
        assert maps == ({"1"} if shard[0] == 2 else {"0", "1", "2"})
    assert contents(tmp_path / "set") == contents(simulated)
    scenes = tmp_path / "scenes"
    for number in (1, 2, 3, 4):  # the last part is empty
        write_gains_for_scenes(simulated, scenes, progress=False, shard=(number, 4))
    gains = {name: data for name, data in contents(scenes).items() if name.startswith("gain")}
    whole = {name: data for name, data in contents(simulated).items() if name.startswith("gain")}
    assert gains.keys() == whole.keys()


def test_two_workers_write_the_same_bytes(simulated, tmp_path):
    write_simulated_folder(tmp_path / "set", MAPS, TRANSMITTERS, SIZE, SEED, workers=2, progress=False)
    assert contents(tmp_path / "set") == contents(simulated)


def test_cars_add_files_and_change_none(simulated, tmp_path):
    for workers in (1, 2):
        write_simulated_folder(tmp_path / str(workers), MAPS, TRANSMITTERS, SIZE, SEED, workers, progress=False, cars=True)
    written, plain = contents(tmp_path / "2"), contents(simulated)
    assert written == contents(tmp_path / "1")
    assert json.loads(written["simulation.json"])["arguments"]["cars"]["most_cars"] == 4
    assert all(written[name] == plain[name] for name in plain if name != "simulation.json")
    added = {f"png/cars/{m}.png" for m in range(MAPS)}
    added |= {f"gain/carsDPM/{m}_{t}.png" for m in range(MAPS) for t in range(TRANSMITTERS)}
    assert set(written) - set(plain) == added
    differing = 0
    for m in range(MAPS):
        for t in range(TRANSMITTERS):
            with_cars, without = (read(tmp_path / "1" / f"gain/{name}/{m}_{t}.png") for name in ("carsDPM", "DPM"))
            assert np.all(with_cars <= without)
            differing += np.count_nonzero(with_cars < without)
    assert differing > 100


def test_an_interrupted_run_leaves_whole_files_and_is_taken_up_again(simulated, tmp_path, monkeypatch):
    calls = []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return path_gain_grey(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(folder, "path_gain_grey", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_simulated_folder(tmp_path / "set", MAPS, TRANSMITTERS, SIZE, SEED, progress=False)
    whole = contents(simulated)
    begun = contents(tmp_path / "set")
    assert 0 < len(begun) < len(whole)
    assert all(whole[name] == data for name, data in begun.items())
    write_simulated_folder(tmp_path / "set", MAPS, TRANSMITTERS, SIZE, SEED, progress=False)
    assert contents(tmp_path / "set") == whole


def test_foreign_folders_are_refused(simulated, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty and holds no simulation"):
        write_simulated_folder(tmp_path, 1, 1, (64, 64), 0, progress=False)
    with pytest.raises(UserError, match="is a file"):
        write_simulated_folder(tmp_path / "thesis.txt", 1, 1, (64, 64), 0, progress=False)
    with pytest.raises(UserError, match="with other arguments"):
        write_simulated_folder(simulated, MAPS, TRANSMITTERS, SIZE, SEED + 1, progress=False)
    with pytest.raises(UserError, match="needs maps to be 1 or more"):
        write_simulated_folder(tmp_path / "new", 0, 1, (64, 64), 0, progress=False)
    assert contents(tmp_path) == {"thesis.txt": b"mine"}


@pytest.fixture
def scenes(tmp_path):
    """One map with two transmitters and a car."""
    root = tmp_path / "scenes"
    buildings = np.zeros((64, 64), np.uint8)
    buildings[20:40, 15:45] = 255
    antennas = [np.zeros((64, 64), np.uint8) for _ in range(2)]
    cars = np.zeros((64, 64), np.uint8)
    cars[55:57, 30:35] = 255
    antennas[0][10, 10] = antennas[1][50, 33] = 255
    pictures = {"buildings_complete/4": buildings, "antennas/4_0": antennas[0], "antennas/4_7": antennas[1]}
    for name, picture in {**pictures, "cars/4": cars}.items():
        path = root / "png" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    return root


def test_gains_for_existing_scenes(scenes, tmp_path):
    out = tmp_path / "out"
    write_gains_for_scenes(scenes, out, progress=False)
    prepared = prepare(read(scenes / "png/buildings_complete/4.png") > 0)
    np.testing.assert_array_equal(read(out / "gain/DPM/4_0.png"), path_gain_grey(prepared, 10, 10))
    np.testing.assert_array_equal(read(out / "gain/DPM/4_7.png"), path_gain_grey(prepared, 50, 33))
    assert contents(out / "png") == contents(scenes / "png")
    write_gains_for_scenes(scenes, out, progress=False)  # the same again is no fault
    with pytest.raises(UserError, match="lies in the scenes themselves"):
        write_gains_for_scenes(scenes, scenes, progress=False)


def test_gains_with_the_cars_of_existing_scenes(scenes, tmp_path):
    write_gains_for_scenes(scenes, tmp_path / "out", progress=False, cars=True)
    without, with_cars = (read(tmp_path / f"out/gain/{name}/4_7.png").astype(int) for name in ("DPM", "carsDPM"))
    lost = without - with_cars
    assert lost[62, 33] == pytest.approx(255 * 6.02 / 100, abs=6) and lost[44, 33] == 0
    (scenes / "png/cars/4.png").unlink()
    with pytest.raises(UserError, match="4.png is missing; --cars needs"):
        write_gains_for_scenes(scenes, tmp_path / "other", progress=False, cars=True)


def two_transmitters(root):
    Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save(root / "png/antennas/4_0.png")


def other_size(root):
    Image.fromarray(np.zeros((32, 64), np.uint8)).save(root / "png/antennas/4_0.png")


def colours(root):
    Image.new("RGB", (64, 64)).save(root / "png/buildings_complete/4.png")


def many_levels(root):
    Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)).save(root / "png/buildings_complete/4.png")


FAULTS = {
    "64 lit pixels": two_transmitters,
    "one size": other_size,
    "has colours": colours,
    "more than two grey levels": many_levels,
    "cannot be read": lambda root: (root / "png/buildings_complete/4.png").write_bytes(b"no picture"),
    "4.png is missing": lambda root: (root / "png/buildings_complete/4.png").unlink(),
    "not named": lambda root: (root / "png/antennas/4_0.png").rename(root / "png/antennas/four.png"),
    "antennas is missing": lambda root: (root / "png/antennas").rename(root / "png/aerials"),
    "a folder, not a file": lambda root: (root / "png/antennas/4_0.png").unlink() or (root / "png/antennas/4_0.png").mkdir(),
    "a pipe, not a file": lambda root: os.mkfifo(root / "png/pipe"),
    "zero is a device|zero cannot be read: it is a device": lambda root: (root / "png/zero").symlink_to("/dev/zero"),
    "a link that leads nowhere": lambda root: (root / "png/link").symlink_to("nowhere"),
    "nothing to simulate": lambda root: [path.unlink() for path in (root / "png/antennas").iterdir()],
}


@pytest.mark.parametrize("sentence", FAULTS)
def test_odd_scenes_are_refused_in_one_sentence(sentence, scenes, tmp_path):
    FAULTS[sentence](scenes)
    with pytest.raises(UserError, match=sentence) as told:
        write_gains_for_scenes(scenes, tmp_path / "out", progress=False)
    assert "\n" not in str(told.value)


def test_a_link_upwards_in_the_pictures_has_an_end(scenes, tmp_path):
    (scenes / "png/cars/up").symlink_to("..")
    write_gains_for_scenes(scenes, tmp_path / "out", progress=False)
    assert len(list((tmp_path / "out/gain/DPM").iterdir())) == 2 and not (tmp_path / "out/png/cars/up").exists()


@pytest.mark.parametrize("name", ["gain/DPM/4_0.png", "png/antennas/4_7.png"])
def test_what_is_in_the_place_of_a_picture_is_told(name, scenes, tmp_path):
    (tmp_path / "out").mkdir()
    write_gains_for_scenes(scenes, tmp_path / "out", progress=False)
    (tmp_path / "out" / name).unlink()
    (tmp_path / "out" / name).mkdir()
    with pytest.raises(UserError, match=f"{name} should be a file, but it is in the way as something else .a folder."):
        write_gains_for_scenes(scenes, tmp_path / "out", progress=False)
    (tmp_path / "out" / name).rmdir()
    (tmp_path / "out" / name).touch()
    write_gains_for_scenes(scenes, tmp_path / "out", progress=False)
    assert (tmp_path / "out" / name).stat().st_size > 0


def test_a_refused_simulation_leaves_no_record(tmp_path):
    arguments = {"maps": 1, "size": (32, 32), "seed": 0, "progress": False}
    with pytest.raises(UserError, match="too few for 2000 transmitters"):
        write_simulated_folder(tmp_path / "out", transmitters=2000, **arguments)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="gain cannot be written: it is a file"):
        (tmp_path / "gain").write_text("x")
        write_simulated_folder(tmp_path, transmitters=1, **arguments)
