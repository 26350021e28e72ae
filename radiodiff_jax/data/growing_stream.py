"""Training records from a growing collection of simulated cities: a card takes maps faster than processors make them.

The record at position p of the stream is drawn at random from the cities that the collection has by then, by

    cities(p) = first + p / (reuse * transmitters),

so that every map is used `reuse` times on average. Which record it is depends on the seed and p alone, never on how fast
the simulator is: a training waits for a city that is not there yet, and one that was killed goes on with the very
records that it would have had. Cities are kept as files, so that it need not simulate them again:

    FOLDER/KEY/NUMBER.npz     buildings (bits), places, gains; KEY is the start of the stream's fingerprint
"""

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from radiodiff_jax.data.records import Record
from radiodiff_jax.data.simulated_city import ENDLESS, TRAINING, CityRequest, SimulatedCity, record, simulate_city
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_whole
from radiodiff_jax.images import Size
from radiodiff_jax.reading import read_arrays
from radiodiff_jax.settings import DataConfig
from radiodiff_jax.worker_processes import DEATH, WorkerProcesses

IN_MEMORY = 4e9  # bytes of radio maps; beyond, the cities that were used longest ago are read from their files again
AHEAD = 4  # cities simulated before they are needed, for each worker


@dataclass(frozen=True)
class KeptRequest:
    """A city, and the file that keeps it."""

    city: CityRequest
    path: Path


def make_city(request: KeptRequest) -> SimulatedCity:
    """Simulate a city and keep it; for a process of its own."""
    found = simulate_city(request.city)
    request.path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"buildings": np.packbits(found.buildings, axis=1), "places": found.places, "gains": found.gains}
    write_whole(request.path, lambda temporary: np.savez_compressed(temporary, **arrays))
    return found


def read_city(request: KeptRequest) -> SimulatedCity | None:
    """The kept city; None if there is none, or a damaged one."""
    try:
        file = read_arrays(request.path, ("buildings", "places", "gains"), "remove it")  # zip files have checksums
        buildings = np.unpackbits(file["buildings"], axis=1, count=request.city.size[1]).astype(bool)
    except (UserError, ValueError, TypeError):  # simulated again
        return None
    size, count = request.city.size, request.city.transmitters
    fits = buildings.shape == size and file["places"].shape == (count, 2) and file["gains"].shape == (count, *size)
    return SimulatedCity(buildings, file["places"], file["gains"]) if fits and file["gains"].dtype == np.uint8 else None


class GrowingStream:
    """Endless training records in random order: not to be shuffled. Safe to read from several threads."""

    cars = False

    def __init__(self, size: Size, settings: DataConfig, folder: Path, key: str, death: str = DEATH):
        self.size = size
        self.maps: list[int] = []  # endless
        self._settings, self._folder = settings, folder / key[:16]
        self._workers = WorkerProcesses(make_city, settings.simulation_workers, death=death)
        self._known: OrderedDict[int, Future] = OrderedDict()
        self._remembered = max(8, int(IN_MEMORY / (size[0] * size[1] * settings.transmitters_per_city)))
        self._begun = 0  # cities below this number have been asked for
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, position: int) -> Record:
        cities = self.cities(position)
        self._begin(cities + AHEAD * self._settings.simulation_workers)
        draw = np.random.default_rng([self._settings.simulation_seed, TRAINING, position])
        number, transmitter = int(draw.integers(cities)), int(draw.integers(self._settings.transmitters_per_city))
        return record(self._city(number).result(), number, transmitter)

    def cities(self, position: int) -> int:
        """How many cities the record at a position of the stream is drawn from."""
        return self._settings.cities_at_once + position // (self._settings.reuse * self._settings.transmitters_per_city)

    def _begin(self, end: int) -> None:
        with self._lock:
            begun, self._begun = self._begun, max(self._begun, end)
        for number in range(begun, end):
            if not self._request(number).path.is_file():
                self._city(number)

    def _request(self, number: int) -> KeptRequest:
        settings = self._settings
        city = CityRequest(self.size, settings.transmitters_per_city, settings.simulation_seed, TRAINING, number)
        return KeptRequest(city, self._folder / f"{number:06d}.npz")

    def _city(self, number: int) -> Future:
        with self._lock:
            future = self._known.get(number)
            if future is not None:
                self._known.move_to_end(number)
                return future
            future = self._known[number] = Future()
            while len(self._known) > self._remembered and next(iter(self._known.values())).done():
                self._known.popitem(last=False)
        request = self._request(number)
        found = read_city(request)
        if found is not None:
            future.set_result(found)
        else:
            self._workers.submit(number, request).add_done_callback(lambda made: _hand_on(made, future))
        return future


def _hand_on(made: Future, future: Future) -> None:
    error = made.exception()
    if error is None:
        future.set_result(made.result())
    else:
        future.set_exception(error)
