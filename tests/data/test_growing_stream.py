"""A growing collection of simulated cities: which records come, that they do not depend on speed, and kept cities."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from radiodiff_jax.data.growing_stream import GrowingStream
from radiodiff_jax.data.simulated_city import TRAINING, CityRequest, simulate_city
from radiodiff_jax.data.simulated_source import check_settings, cities_fingerprint, open_simulated, stream_fingerprint
from radiodiff_jax.errors import UserError
from radiodiff_jax.settings import DataConfig

SIZE = (32, 32)
SETTINGS = DataConfig(source="simulate", transmitters_per_city=3, cities_at_once=2, simulation_workers=0, reuse=4)


def stream(folder, **changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    return GrowingStream(SIZE, settings, folder, cities_fingerprint(SIZE, settings))


def places(records):
    return [(int(record["map"]), int(record["transmitter"])) for record in records]


def test_the_collection_grows_by_a_city_whenever_its_maps_have_been_used_often_enough(tmp_path):
    found = stream(tmp_path)
    assert [found.cities(position) for position in (0, 11, 12, 23, 24, 1200)] == [2, 2, 3, 3, 4, 102]
    drawn = places(found[position] for position in range(60))
    assert all(number < found.cities(position) for position, (number, _) in enumerate(drawn))
    assert {number for number, _ in drawn} == set(range(max(drawn)[0] + 1)) and max(drawn)[0] >= 4
    assert max(Counter(drawn).values()) > 1 and {transmitter for _, transmitter in drawn} == {0, 1, 2}


def test_a_record_is_that_of_its_city_and_depends_on_its_place_alone(tmp_path):
    found = stream(tmp_path / "a")
    record = found[17]
    city = simulate_city(CityRequest(SIZE, 3, 0, TRAINING, int(record["map"])))
    number = int(record["transmitter"])
    np.testing.assert_array_equal(record["gain"], city.gains[number])
    np.testing.assert_array_equal(record["buildings"], city.buildings)
    np.testing.assert_array_equal(record["position"], city.places[number])
    workers = stream(tmp_path / "b", simulation_workers=1)
    assert places([workers[40], workers[3]]) == places([found[40], found[3]])
    np.testing.assert_array_equal(workers[40]["gain"], found[40]["gain"])
    assert places(stream(tmp_path / "c", simulation_seed=1)[p] for p in range(30)) != places(found[p] for p in range(30))


def test_kept_cities_are_read_again_and_damaged_ones_made_again(tmp_path, monkeypatch):
    first = [stream(tmp_path)[position]["gain"] for position in range(8)]
    files = sorted(tmp_path.glob("*/*.npz"))
    assert [file.name for file in files] == ["000000.npz", "000001.npz"]
    damaged = bytearray(files[1].read_bytes())
    damaged[len(damaged) // 2] ^= 1
    files[1].write_bytes(damaged)
    made = []

    def counted(request):
        made.append(request.number)
        return simulate_city(request)

    monkeypatch.setattr("radiodiff_jax.data.growing_stream.simulate_city", counted)
    again = stream(tmp_path)
    np.testing.assert_array_equal(first, [again[position]["gain"] for position in range(8)])
    assert made == [1]
    np.testing.assert_array_equal(first, [stream(tmp_path)[position]["gain"] for position in range(8)])
    assert made == [1]


def test_forgotten_cities_are_read_from_their_files(tmp_path, monkeypatch):
    monkeypatch.setattr("radiodiff_jax.data.growing_stream.IN_MEMORY", 0)  # eight cities at least
    found = stream(tmp_path)
    first = [found[position]["gain"] for position in range(240)]
    assert len(found._known) <= 9 < found.cities(239)
    np.testing.assert_array_equal(first[::20], [found[position]["gain"] for position in range(0, 240, 20)])


def test_what_the_training_reads_is_chosen_by_the_settings(tmp_path):
    open_simulated.cache_clear()
    found = open_simulated(SETTINGS, SIZE, 4, 4, folder=tmp_path)
    assert isinstance(found.stream, GrowingStream)
    assert found.fingerprint != stream_fingerprint(SIZE, dataclasses.replace(SETTINGS, reuse=1))
    for changes, says in (({"reuse": 0}, "data.reuse is 0"), ({"simulator": "device"}, "data.reuse above 1 keeps cities")):
        with pytest.raises(UserError, match=says):
            check_settings(dataclasses.replace(SETTINGS, **changes))
