"""TFDS folders: the same records as the PNG files, whole or not there, and sentences for what does not fit."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
from array_record.python.array_record_data_source import ArrayRecordDataSource
from tensorflow_datasets.proto import tf_example_pb2

from radiodiff_jax.data.packed.builder import build
from radiodiff_jax.data.packed.contents import VERSION
from radiodiff_jax.data.sources import fingerprint, open_source
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import write_grey
from radiodiff_jax.radiomapseer import RadioMapFolder
from tests.data.example_folder import write_example_folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    place = tmp_path_factory.mktemp("builder")
    root = write_example_folder(place / "maps", maps=12, transmitters=3, size=(32, 64), cars=True)
    build(root, place / "tfds")
    build(root, place / "tfds", cars=True)
    return root, place / "tfds"


@pytest.mark.parametrize("cars", [False, True])
def test_round_trip_gives_the_same_records_in_the_same_order(folders, cars):
    root, built = folders
    for split in ("train", "validation", "test"):
        expected, records = (open_source(path, split, cars=cars) for path in (root, built))
        assert len(records) == len(expected) and records.size == expected.size == (32, 64)
        assert records.maps == expected.maps and records.cars == expected.cars == cars
        for index in range(len(expected)):
            assert records[index].keys() == expected[index].keys()
            for name, value in expected[index].items():
                np.testing.assert_array_equal(records[index][name], value)


def test_records_have_the_same_bytes_in_every_process(folders):
    """Features in the order of their names: a map of a protocol buffer has another order in each process otherwise."""
    (path,) = (folders[1] / "radio_maps" / "DPM_with_cars" / VERSION).glob("*train.array_record*")
    records = ArrayRecordDataSource([str(path)])
    assert len(records) == 30
    for record in (records[0], records[29]):
        example = tf_example_pb2.Example.FromString(record)
        assert len(example.features.feature) > 5 and example.SerializeToString(deterministic=True) == record


def test_description_says_what_was_built_and_from_what(folders):
    root, built = folders
    facts = json.loads((built / "radio_maps" / "DPM" / VERSION / "radiodiff.json").read_text())
    assert facts["fingerprint"] == fingerprint(root) == fingerprint(built)
    assert facts["records"] == {"train": 30, "validation": 3, "test": 3} and facts["image_size"] == [32, 64]
    assert sorted(sum(facts["maps"].values(), [])) == list(range(12))


def test_a_build_with_cars_serves_without_them(tmp_path):
    root = write_example_folder(tmp_path / "maps", maps=3, cars=True)
    build(root, tmp_path / "tfds", cars=True)
    assert "cars" not in open_source(tmp_path / "tfds", "train", cars=False)[0]


def test_building_again_keeps_equal_data_and_refuses_other_data(tmp_path):
    root = write_example_folder(tmp_path / "maps", maps=3)
    first = build(root, tmp_path / "tfds")
    times = {path: path.stat().st_mtime_ns for path in first.iterdir()}
    assert build(root, tmp_path / "tfds") == first
    assert {path: path.stat().st_mtime_ns for path in first.iterdir()} == times
    write_example_folder(root, maps=4)
    with pytest.raises(UserError, match="was built from other data or by another split; remove it"):
        build(root, tmp_path / "tfds")


def test_a_failed_build_leaves_nothing(tmp_path):
    root = write_example_folder(tmp_path / "maps", maps=3)
    (root / "gain/DPM/2_1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="2_1.png cannot be read as an image"):
        build(root, tmp_path / "tfds")
    assert list((tmp_path / "tfds").iterdir()) == []


def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path):
    out, here = tmp_path / "tfds", socket.gethostname()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = {who: f".building-{who}-x" for who in (f"{here}-{gone.pid}", f"{here}-{os.getpid()}", f"elsewhere-{gone.pid}")}
    for name in names.values():
        (out / name / "1.0.0").mkdir(parents=True)
    build(write_example_folder(tmp_path / "maps", maps=3), out)
    left = {path.name for path in out.iterdir() if path.name.startswith(".building-")}
    assert left == set(list(names.values())[1:])  # of a process that lives, and of another machine


def test_a_split_without_maps_is_not_built_and_says_so(tmp_path):
    root = write_example_folder(tmp_path / "maps", maps=2)
    build(root, tmp_path / "tfds")
    assert len(open_source(tmp_path / "tfds", "train")) == 4
    with pytest.raises(UserError, match="validation split .* is empty .*at least 3 maps"):
        open_source(tmp_path / "tfds", "validation")


def test_what_was_not_built(folders, tmp_path):
    _, built = folders
    with pytest.raises(UserError, match="has no simulation IRT2, only DPM, DPM_with_cars; add it with"):
        open_source(built, "train", "IRT2")
    with pytest.raises(UserError, match="was built with the split by_map, not radiounet; set data.split to by_map"):
        open_source(built, "train", rule="radiounet")
    root = write_example_folder(tmp_path / "maps", maps=3)
    with pytest.raises(UserError, match="no car masks .*leave out --cars"):
        build(root, tmp_path / "tfds", cars=True)


def test_another_version_is_refused(tmp_path):
    root = write_example_folder(tmp_path / "maps", maps=3)
    folder = build(root, tmp_path / "tfds")
    folder.rename(folder.with_name("0.9.0"))
    with pytest.raises(UserError, match=f"built as version 0.9.0, but this program reads {VERSION}; build it again"):
        open_source(tmp_path / "tfds", "train")


def test_damaged_files_are_told(tmp_path):
    root = write_example_folder(tmp_path / "maps", maps=3)
    folder = build(root, tmp_path / "tfds")
    (records,) = folder.glob("*train*")
    source = open_source(tmp_path / "tfds", "train")
    content = bytearray(records.read_bytes())
    content[200] ^= 255
    records.write_bytes(content)
    with pytest.raises(UserError, match="is damaged .*; remove it and build it again"):
        source[0]
    (folder / "radiodiff.json").write_text("{")
    with pytest.raises(UserError, match="radiodiff.json is damaged; remove .* and build it again"):
        open_source(tmp_path / "tfds", "train")


@pytest.mark.parametrize("level", [1, 100, 200])
def test_a_mask_of_any_other_level_than_0_is_read_and_packed_as_buildings(tmp_path, level):
    root = write_example_folder(tmp_path / "maps", maps=3)
    path = root / "png/buildings_complete/0.png"
    write_grey(path, np.full((32, 32), level, np.uint8))
    assert RadioMapFolder(root).buildings(0).all()
    build(root, tmp_path / "tfds")
    for split in ("train", "validation", "test"):
        source = open_source(tmp_path / "tfds", split)
        if 0 in source.maps:
            assert source[0]["buildings"].all()
