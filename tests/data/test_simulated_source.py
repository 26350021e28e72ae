"""Cities made on the fly: the order of the stream, the workers, that records depend on their place alone, and resuming."""

import dataclasses
import itertools
import os
import signal
import subprocess
import sys
from concurrent.futures import Future

import numpy as np
import pytest

from experiments.training import data_arguments, first_batch
from radiodiff_jax.config import VAEConfig
from radiodiff_jax.data.pipeline import training_batches
from radiodiff_jax.data.simulated_city import TRAINING, VALIDATION, CityRequest, SimulatedCity, simulate_city
from radiodiff_jax.data.simulated_source import (
    SimulatedMaps,
    SimulatedStream,
    StreamOrder,
    city_workers,
    open_simulated,
    slots_of_process,
    stream_fingerprint,
)
from radiodiff_jax.errors import UserError
from radiodiff_jax.settings import DataConfig
from radiodiff_jax.training.session import Session
from radiodiff_jax.worker_processes import PACKAGE_ROOT, WorkerProcesses
from tests.training.toy import make_config, make_task, run_toy

SIZE = (32, 32)
SETTINGS = DataConfig(source="simulate", transmitters_per_city=3, cities_at_once=4, simulation_workers=0)


def stream(settings=SETTINGS, **changes):
    settings = dataclasses.replace(settings, **changes)
    return SimulatedStream(SIZE, settings, city_workers(settings))


def assert_equal(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def draw(batches, count):
    return list(itertools.islice(batches, count))


@pytest.mark.parametrize("cities,transmitters", [(4, 3), (4, 20), (16, 5), (1, 7), (5, 1)])
def test_every_transmitter_comes_once_and_cities_are_mixed(cities, transmitters):
    order = StreamOrder(cities, transmitters)
    places = [order.place(position) for position in range(6 * cities * transmitters)]
    assert len(set(places)) == len(places)
    whole = [city for city in range(cities, 4 * cities)]
    assert all(sum(place[0] == city for place in places) == transmitters for city in whole)
    for start in range(0, len(places), cities):
        assert len({city for city, _ in places[start : start + cities]}) == cities
    begun = [next(i for i, place in enumerate(places) if place[0] == city) for city in whole]
    assert max(np.diff(sorted(begun))) <= transmitters + 2 * cities, "new cities are needed evenly"
    assert begun == sorted(begun) or cities > transmitters


def test_a_record_depends_on_its_place_alone():
    forwards = [stream()[position] for position in range(20)]
    backwards = stream()
    assert_equal(forwards, [backwards[position] for position in reversed(range(20))][::-1])
    one = forwards[0]
    assert one["gain"].dtype == np.uint8 and one["buildings"].dtype == bool and one["gain"].shape == SIZE
    assert one["gain"][tuple(one["position"])] == 255 and not one["gain"][one["buildings"]].any()
    assert len({record["buildings"].tobytes() for record in forwards[:4]}) == 4
    assert not np.array_equal(stream(simulation_seed=1)[0]["gain"], one["gain"])


def test_batches_do_not_depend_on_workers_or_threads_and_go_on_exactly():
    settings = dataclasses.replace(SETTINGS, simulation_workers=1)
    workers = city_workers(settings)
    expected = draw(training_batches(stream(), 3, seed=5, shuffle=False), 12)
    source = SimulatedStream(SIZE, settings, workers)
    assert_equal(expected, draw(training_batches(source, 3, seed=5, threads=3, shuffle=False), 12))
    again = training_batches(stream(), 3, seed=5, threads=1, shuffle=False)
    again.set_state({"next_index": 7})
    assert_equal(expected[7:], draw(again, 5))


def test_processes_read_parts_of_the_same_batches():
    whole = draw(training_batches(stream(), 6, seed=5, shuffle=False), 4)
    parts = []
    for index in range(2):
        slots = slots_of_process(SETTINGS, 3, index, 2)
        source = SimulatedStream(SIZE, SETTINGS, city_workers(SETTINGS), slots)
        share = {"process_index": index, "process_count": 2, "shuffle": False}
        parts.append(draw(training_batches(source, 6, seed=5, **share), 4))
    tiled = [{name: np.concatenate([one[name], two[name]]) for name in one} for one, two in zip(*parts, strict=True)]
    assert_equal(whole, tiled)
    even = dataclasses.replace(SETTINGS, cities_at_once=6)
    assert slots_of_process(even, 3, 0, 2) == [0, 1, 2] and slots_of_process(even, 3, 1, 2) == [3, 4, 5]


class Recorder:
    """Workers that note what they are asked for and make nothing."""

    def __init__(self):
        self.numbers = []

    def submit(self, rank, request):
        self.numbers.append(request.number)
        future = Future()
        future.set_result(SimulatedCity(np.zeros(SIZE, bool), np.zeros((9, 2), int), np.zeros((9, *SIZE), np.uint8)))
        return future


@pytest.mark.parametrize("slots", [None, [1, 2]])
def test_cities_are_begun_once_and_before_they_are_needed(slots):
    settings = dataclasses.replace(SETTINGS, transmitters_per_city=9, simulation_workers=3)
    workers, order, begun = Recorder(), StreamOrder(4, 9), 0
    source = SimulatedStream(SIZE, settings, workers, slots)
    for position in range(400):
        if slots is None or position % 4 in slots:
            new = source[position]["map"] not in workers.numbers[:begun]
            assert not new or position < 4, "begun when an earlier record was read"
            begun = len(workers.numbers)
    assert len(set(workers.numbers)) == begun, "each once"
    assert slots is None or {order.slot(number) for number in workers.numbers} == set(slots)
    waiting = max(workers.numbers) - order.place(399)[0]
    assert 6 <= waiting <= 20


def test_workers_need_no_jax():
    check = "import sys, radiodiff_jax.data.simulated_city; sys.exit('jax' in sys.modules or 'grain' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False, cwd=PACKAGE_ROOT).returncode == 0


def test_the_device_gives_the_same_maps():
    ours, expected = stream(simulator="device"), stream()
    for position in range(4):
        one, other = ours[position], expected[position]
        assert np.mean(np.abs(one["gain"].astype(int) - other["gain"]) <= 1) >= 0.999
        assert_equal([{**one, "gain": 0}], [{**other, "gain": 0}])


def test_validation_cities_are_fixed_and_others():
    maps = SimulatedMaps(SIZE, 6, 0, city_workers(SETTINGS))
    assert len(maps) == 8 and maps.maps == [0, 1]
    assert [(record["map"], record["transmitter"]) for record in maps] == list(itertools.product([0, 1], range(4)))
    cities = [simulate_city(CityRequest(SIZE, 4, 0, kind, 0)).buildings for kind in (TRAINING, VALIDATION)]
    assert not np.array_equal(*cities)
    np.testing.assert_array_equal(maps[0]["buildings"], cities[1])


def test_fingerprint():
    known = stream_fingerprint(SIZE, SETTINGS)
    assert known == stream_fingerprint(SIZE, dataclasses.replace(SETTINGS, simulation_workers=7, threads=9))
    for change in ({"simulation_seed": 1}, {"transmitters_per_city": 4}, {"cities_at_once": 8}, {"simulator": "device"}):
        assert known != stream_fingerprint(SIZE, dataclasses.replace(SETTINGS, **change))


@pytest.mark.parametrize(
    "change,says", [({"transmitters_per_city": 0}, "at least 1"), ({"cars": True}, "without cars"), ({"simulation": "IRT2"}, "DPM")]
)
def test_bad_settings_are_refused(change, says):
    with pytest.raises(UserError, match=says):
        city_workers(dataclasses.replace(SETTINGS, **change))


def test_workers_pass_results_and_errors_on_and_tell_when_they_die():
    workers = WorkerProcesses(simulate_city, 1)
    request = CityRequest(SIZE, 2, 0, TRAINING, 0)
    np.testing.assert_array_equal(workers.submit(0, request).result().gains, simulate_city(request).gains)
    with pytest.raises(UserError, match="too few"):
        workers.submit(0, dataclasses.replace(request, transmitters=2000)).result()
    died = WorkerProcesses(os._exit, 1)
    with pytest.raises(UserError, match="died, most likely for want of memory"):
        died.submit(0, 3).result()


def toy_config(steps=12):
    config = dataclasses.replace(make_config(steps), image_size=SIZE, data=SETTINGS)
    return dataclasses.replace(config, training=dataclasses.replace(config.training, validation_maps=4))


def run(folder, config=None):
    open_simulated.cache_clear()  # as a new process has it
    config = config or toy_config()
    return run_toy(folder, config, task=make_task(make_config(12)), **data_arguments(config, None))


def test_a_training_that_was_stopped_ends_with_the_same_bits(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole")
    assert whole.finished
    update = Session._update

    def stopped(self):
        update(self)
        if self.step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "_update", stopped)
        assert run(tmp_path / "stopped").step == 7
    assert run(tmp_path / "stopped").digest == whole.digest
    other = dataclasses.replace(SETTINGS, simulation_seed=1)
    with pytest.raises(UserError, match="simulation_seed"):
        run(tmp_path / "stopped", dataclasses.replace(toy_config(), data=other))


def test_without_a_folder_the_data_must_be_simulated():
    with pytest.raises(UserError, match="--data is missing"):
        data_arguments(VAEConfig(image_size=SIZE), None)


def test_the_first_batch_is_of_the_first_records():
    batch = first_batch(toy_config(), None, 5)()
    assert {name: (array.shape, array.dtype) for name, array in batch.items()} == {
        "gain": ((5, *SIZE), np.uint8), "buildings": ((5, *SIZE), bool)
    }  # fmt: skip
    np.testing.assert_array_equal(batch["gain"][3], stream()[3]["gain"])
