"""The Beam pipeline on two worker processes: the same records in the same order, and faults told as elsewhere."""

import shutil

import numpy as np
import pytest

pytest.importorskip("apache_beam")

from radiodiff_jax.data.packed.beam import beam_writer
from radiodiff_jax.data.packed.builder import build
from radiodiff_jax.data.sources import open_source
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import write_grey
from tests.data.example_folder import write_example_folder

WORKERS = ("runner=DirectRunner", "direct_num_workers=2", "direct_running_mode=multi_processing")
SMALL = 0.01  # megabytes a file, so that there are several


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_example_folder(tmp_path_factory.mktemp("beam") / "maps", maps=10, transmitters=6, cars=True)


def test_two_workers_write_what_one_process_writes(root, tmp_path):
    ordinary = build(root, tmp_path / "here", cars=True, shard_megabytes=SMALL)
    beam = build(root, tmp_path / "beam", cars=True, shard_megabytes=SMALL, write=beam_writer(WORKERS))
    names = [sorted(path.name for path in folder.iterdir()) for folder in (ordinary, beam)]
    assert names[0] == names[1] and sum("train.array_record" in name for name in names[0]) > 1
    for name in ("radiodiff.json", "features.json"):
        assert (ordinary / name).read_bytes() == (beam / name).read_bytes()
    for split in ("train", "validation", "test"):
        expected, records = (open_source(tmp_path / place, split, cars=True) for place in ("here", "beam"))
        assert len(records) == len(expected) > 0
        for index in range(len(expected)):
            for name, value in expected[index].items():
                np.testing.assert_array_equal(records[index][name], value)


def test_workers_may_read_and_write_a_store(root, tmp_path):
    store, out = tmp_path / "store", tmp_path / "out"
    shutil.copytree(root, store)
    for path in (store / "gain/DPM").iterdir():
        write_grey(path, np.full((32, 32), 7, np.uint8))  # so that it shows where records come from
    build(root, out, shard_megabytes=SMALL, write=beam_writer(["runner=DirectRunner"], str(store)))
    expected, records = (open_source(place, "train") for place in (root, out))
    assert len(records) == len(expected)
    for index in range(len(expected)):
        assert (records[index]["gain"] == 7).all()
        np.testing.assert_array_equal(records[index]["buildings"], expected[index]["buildings"])
    assert not [path for path in (store / "built").rglob("*") if path.is_file()]
    (store / "gain/DPM/0_0.png").unlink()
    with pytest.raises(UserError, match="gain/DPM/0_0.png cannot be read .*copy the whole folder there"):
        build(root, tmp_path / "again", write=beam_writer(["runner=DirectRunner"], str(store)))


def test_faults_in_the_data_keep_their_sentence_and_leave_nothing(tmp_path):
    root = write_example_folder(tmp_path / "maps", maps=3)
    (root / "gain/DPM/2_1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match="2_1.png cannot be read as an image"):
        build(root, tmp_path / "tfds", write=beam_writer(["runner=DirectRunner"]))
    assert list((tmp_path / "tfds").iterdir()) == []


def test_an_unknown_runner_is_told(root, tmp_path):
    with pytest.raises(UserError, match="Apache Beam refuses runner=NoRunner"):
        build(root, tmp_path / "tfds", write=beam_writer(["runner=NoRunner"]))
