"""Batches: right values, same stream everywhere, exact resume."""

import itertools

import numpy as np
import pytest

from radiodiff_jax.data.packed.builder import build
from radiodiff_jax.data.pipeline import evaluation_batches, training_batches
from radiodiff_jax.data.records import scene_batch
from radiodiff_jax.data.sources import open_source
from radiodiff_jax.data.symmetries import transform_record
from radiodiff_jax.errors import UserError
from tests.data.example_folder import write_example_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_example_folder(tmp_path_factory.mktemp("pipeline") / "maps", maps=10, transmitters=3, cars=True)


@pytest.fixture(scope="module")
def source(folder):
    return open_source(folder, "train")


def draw(batches, count):
    return list(itertools.islice(batches, count))


def assert_equal(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def names(batches):
    return [(int(m), int(t)) for batch in batches for m, t in zip(batch["map"], batch["transmitter"], strict=True)]


def test_a_batch_holds_what_the_contract_says(source):
    batch = next(training_batches(source, 4, seed=0))
    assert {name: (value.dtype.name, value.shape) for name, value in batch.items()} == {
        "gain": ("uint8", (4, 32, 32)),
        "buildings": ("bool", (4, 32, 32)),
        "map": ("int32", (4,)),
        "transmitter": ("int32", (4,)),
        "position": ("int32", (4, 2)),
    }
    for gain, buildings, (row, column) in zip(batch["gain"], batch["buildings"], batch["position"], strict=True):
        assert gain[row, column] == 255
        assert buildings.any() and (gain[buildings] == 0).all()


def test_an_element_is_the_record_as_it_is(folder):
    source = open_source(folder, "train", cars=True)
    (batch,) = draw(evaluation_batches(source, 1, count=1), 1)
    record = source[0]
    assert batch.keys() - record.keys() == {"mask"}
    for name, value in record.items():
        assert batch[name].dtype == value.dtype
        np.testing.assert_array_equal(batch[name][0], value, err_msg=name)


def test_a_scene_of_no_data_set_is_a_batch_of_one(folder):
    (batch,) = draw(evaluation_batches(open_source(folder, "train", cars=True), 1, count=1), 1)
    scene = scene_batch(batch["buildings"][0], tuple(batch["position"][0]), batch["cars"][0], gain=batch["gain"][0])
    assert scene.keys() == {"buildings", "position", "cars", "gain"}
    for name, value in scene.items():
        assert value.dtype == batch[name].dtype
        np.testing.assert_array_equal(value, batch[name], err_msg=name)


def test_every_epoch_has_every_record_in_its_own_order(source):
    count = len(source)
    drawn = names(draw(training_batches(source, 1, seed=0), 3 * count))
    epochs = [drawn[start : start + count] for start in range(0, 3 * count, count)]
    everything = sorted((source[i]["map"], source[i]["transmitter"]) for i in range(count))
    assert all(sorted(epoch) == everything for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert drawn[:count] != names(draw(training_batches(source, 1, seed=1), count))


def test_a_set_smaller_than_a_batch_is_repeated(source):
    batch = next(training_batches(source, 3 * len(source) + 1, seed=0))
    assert len(batch["map"]) == 3 * len(source) + 1


def test_the_stream_does_not_depend_on_threads_or_storage(folder, source, tmp_path):
    build(folder, tmp_path)
    expected = draw(training_batches(source, 5, seed=3, threads=1, prefetch=1), 12)
    assert_equal(expected, draw(training_batches(source, 5, seed=3, threads=4, prefetch=8), 12))
    assert_equal(expected, draw(training_batches(open_source(tmp_path, "train"), 5, seed=3), 12))


def test_resume_is_exact(source):
    whole = draw(training_batches(source, 5, seed=3), 20)
    for stop in (0, 1, 7, 13):
        first = training_batches(source, 5, seed=3)
        draw(first, stop)
        state = first.get_state()
        assert state == {"next_index": stop}
        again = training_batches(source, 5, seed=3, threads=1)
        again.set_state(state)
        assert_equal(draw(again, 20 - stop), whole[stop:])


def test_parts_of_processes_tile_the_whole_batch(source):
    whole = draw(training_batches(source, 6, seed=3), 9)
    parts = [draw(training_batches(source, 6, seed=3, process_index=i, process_count=3), 9) for i in range(3)]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert_equal([batch], [{name: np.concatenate([share[name] for share in shares]) for name in batch}])
    with pytest.raises(UserError, match="a batch of 6 cannot be shared evenly by 4 processes"):
        training_batches(source, 6, seed=3, process_index=0, process_count=4)


@pytest.mark.parametrize("symmetry", range(8))
def test_a_symmetry_moves_gain_buildings_and_position_alike(source, symmetry):
    plain, turned = source[2], transform_record(source[2], symmetry)
    row, column = turned["position"]
    assert turned["gain"][row, column] == 255
    stacked = [np.stack([one["gain"], one["buildings"]], axis=-1) for one in (plain, turned)]
    views = [np.rot90(image, quarter) for image in (stacked[0], stacked[0][::-1]) for quarter in range(4)]
    assert sum(np.array_equal(view, stacked[1]) for view in views) == 1


class Fixed:
    """The first record of a source alone."""

    def __init__(self, source):
        self.size, self.maps, self.cars, self.record = source.size, source.maps, source.cars, source[0]

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.record


def test_augmentation_draws_all_symmetries_and_off_means_none(source):
    seen = {batch["gain"].tobytes() for batch in draw(training_batches(Fixed(source), 1, seed=0), 80)}
    assert len(seen) == 8
    plain = draw(training_batches(Fixed(source), 1, seed=0, augment=False), 10)
    assert {batch["gain"].tobytes() for batch in plain} == {source[0]["gain"].tobytes()}


def test_rectangles_are_mirrored_but_not_turned(tmp_path):
    source = open_source(write_example_folder(tmp_path, maps=3, size=(32, 64)), "train")
    turned = [batch["gain"][0] for batch in draw(training_batches(Fixed(source), 1, seed=0), 60)]
    assert {gain.shape for gain in turned} == {(32, 64)} and len({gain.tobytes() for gain in turned}) == 4
    assert next(training_batches(source, 8, seed=0))["gain"].shape == (8, 32, 64)


def test_evaluation_sees_every_record_once_in_order(source):
    batches = list(evaluation_batches(source, 5))
    assert {len(batch["map"]) for batch in batches} == {5}
    mask = np.concatenate([batch["mask"] for batch in batches])
    assert mask.dtype == np.float32 and mask.sum() == len(source) and mask[: len(source)].all()
    expected = [(source[i]["map"], source[i]["transmitter"]) for i in range(len(source))]
    assert names(batches)[: len(source)] == expected == sorted(expected)
    assert_equal(batches, list(evaluation_batches(source, 5, threads=1)))


def test_evaluation_of_some_records_spreads_over_maps(source):
    batches = list(evaluation_batches(source, 4, count=6))
    mask = np.concatenate([batch["mask"] for batch in batches])
    real = [name for name, here in zip(names(batches), mask, strict=True) if here]
    assert len(real) == 6 and len({number for number, _ in real}) >= 5
    everything = list(evaluation_batches(source, 4, count=10_000))
    assert sum(batch["mask"].sum() for batch in everything) == len(source)


def test_evaluation_parts_of_processes_tile_the_whole_batch(source):
    whole = list(evaluation_batches(source, 4))
    parts = [list(evaluation_batches(source, 4, process_index=i, process_count=2)) for i in range(2)]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert_equal([batch], [{name: np.concatenate([share[name] for share in shares]) for name in batch}])


def test_a_damaged_file_stops_training_with_its_sentence(tmp_path):
    root = write_example_folder(tmp_path, maps=3)
    source = open_source(root, "train")
    for path in (root / "gain/DPM").glob(f"{source.maps[0]}_*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(UserError, match="cannot be read as an image"):
        draw(training_batches(source, 2, seed=0), 3)
