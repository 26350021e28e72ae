"""Records that are simulated when they are asked for: an endless stream for training, a few fixed cities to validate on.

What a record holds is a function of the seed and of its place in the stream alone, so that a training which was killed
goes on with the very records that it would have had.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from radiodiff_jax.data.growing_stream import GrowingStream
from radiodiff_jax.data.records import Record, RecordSource
from radiodiff_jax.data.simulated_city import (
    ENDLESS,
    TRAINING,
    VALIDATION,
    CityRequest,
    SimulatedCity,
    compute_fields,
    draw_city,
    record,
    simulate_city,
    simulation_fingerprint,
)
from radiodiff_jax.data.sources import open_varied_source, varied_fingerprint, vary
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import Size
from radiodiff_jax.settings import DataConfig
from radiodiff_jax.worker_processes import WorkerProcesses

VALIDATION_TRANSMITTERS = 4  # of each validation city: few, so that there are many cities
AHEAD = 2  # cities simulated before they are needed, for each worker
DEATH = (
    "a process that simulates cities died, most likely for want of memory; go on with the run with a smaller "
    "data.simulation_workers"
)


@dataclass(frozen=True)
class SimulatedData:
    """What a training with data.source=simulate reads."""

    stream: RecordSource
    """Endless, in the order in which it is to be read."""
    validation: RecordSource
    fingerprint: str
    """SHA-256 of what the records of both depend on."""
    threads: int
    """Reading threads that this needs at least: they only wait, so as many as there are processes to wait for."""


@lru_cache(1)  # so that what is read before the training, as the first gains are, is not simulated again
def open_simulated(
    settings: DataConfig, size: Size, batch_size: int, validation_maps: int, data_path: Path | None = None,
    process_index: int = 0, process_count: int = 1, folder: Path | None = None,
) -> SimulatedData:  # fmt: skip
    """The endless stream of simulated cities for training, and what it is validated on. With `reuse` above 1 its cities are
    kept in `folder`.

    That is the validation split of the folder `data_path` or, if there is none, at least `validation_maps` radio maps of
    fixed simulated cities. `batch_size` is that of all processes together; this one makes only the cities that it reads.
    Raises UserError for settings that make no sense and as `open_varied_source` does.
    """
    workers = city_workers(settings)
    found = stream_fingerprint(size, settings)
    if settings.reuse > 1:
        stream = GrowingStream(size, settings, folder, cities_fingerprint(size, settings), DEATH)
    else:
        slots = slots_of_process(settings, batch_size // process_count, process_index, process_count)
        stream = SimulatedStream(size, settings, workers, slots)
    if data_path is None:
        maps = SimulatedMaps(size, validation_maps, settings.simulation_seed, workers)
        validation = vary(maps, observed=settings.observed)
    else:
        validation = open_varied_source(data_path, "validation", settings, size)
        found = sha256((found + varied_fingerprint(data_path, settings)).encode()).hexdigest()
    varied = vary(stream, observed=settings.observed)
    return SimulatedData(varied, validation, found, max(1, settings.simulation_workers))


def endless_stream(settings: DataConfig, size: Size) -> RecordSource:
    """The stream alone, to be mixed with maps of a folder: each process has every city. Raises UserError as above."""
    settings = replace(settings, reuse=1)
    return vary(SimulatedStream(size, settings, city_workers(settings)), observed=settings.observed)


@dataclass(frozen=True)
class StreamOrder:
    """In which order the records of endlessly many cities come.

    There are `cities_at_once` slots, which take turns; each goes through its city's transmitters and then begins the
    next city. Slots are out of step, so that new cities are needed evenly. Cities are numbered as they begin.
    """

    cities_at_once: int
    transmitters: int

    def place(self, position: int) -> tuple[int, int]:
        """(city, transmitter) of the record at a position of the stream."""
        turn, slot = divmod(position, self.cities_at_once)
        generation, transmitter = divmod(turn + slot * self.transmitters // self.cities_at_once, self.transmitters)
        return generation * self.cities_at_once + self.cities_at_once - 1 - slot, transmitter

    def slot(self, city: int) -> int:
        """The slot that a city belongs to."""
        return self.cities_at_once - 1 - city % self.cities_at_once


class Cities:
    """Simulated cities of one stream by number: made by workers, each once as long as it is remembered."""

    def __init__(self, request: CityRequest, remembered: int, workers: WorkerProcesses):
        self._request, self._remembered, self._workers = request, remembered, workers
        self._known: OrderedDict[int, Future] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, number: int) -> SimulatedCity:
        """The city, once it is there. Raises UserError if it has no room for its transmitters or its process dies."""
        return self._future(number).result()

    def begin(self, numbers: Iterable[int]) -> None:
        """Have these cities simulated, without waiting for them."""
        for number in numbers:
            self._future(number)

    def _future(self, number: int) -> Future:
        with self._lock:
            if number not in self._known:
                self._known[number] = self._workers.submit(number, replace(self._request, number=number))
            self._known.move_to_end(number)
            while len(self._known) > self._remembered:
                self._known.popitem(last=False)
            return self._known[number]


class SimulatedStream:
    """Endless training records, cities mixed: not to be shuffled. Safe to read from several threads.

    `slots` says which slots this process reads, of several that train together; by default all of them.
    """

    cars = False

    def __init__(
        self, size: Size, settings: DataConfig, workers: WorkerProcesses, slots: Sequence[int] | None = None
    ):
        self.size = size
        self.maps: list[int] = []  # endless
        self._order = StreamOrder(settings.cities_at_once, settings.transmitters_per_city)
        self._slots = frozenset(range(settings.cities_at_once) if slots is None else slots)
        self._ahead = AHEAD * settings.simulation_workers
        self._latest = -1  # the newest city that was asked for
        request = CityRequest(size, settings.transmitters_per_city, settings.simulation_seed, TRAINING, 0)
        self._cities = Cities(request, len(self._slots) + 2 * self._ahead + 4, workers)

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, position: int) -> Record:
        number, transmitter = self._order.place(position)
        if self._ahead and number > self._latest:
            self._latest = number
            self._cities.begin(self._wanted(position))
        return record(self._cities[number], number, transmitter)

    def _wanted(self, position: int) -> list[int]:
        """The cities of all slots at this time, and some that begin after them."""
        turn = range(position, position + self._order.cities_at_once)
        now = {self._order.place(one)[0] for one in turn}
        wanted = [number for number in sorted(now) if self._order.slot(number) in self._slots]
        number = wanted[-1]
        for _ in range(self._ahead):
            number += 1
            while self._order.slot(number) not in self._slots:
                number += 1
            wanted.append(number)
        return wanted


class SimulatedMaps:
    """At least `count` records of fixed cities that no training stream has, in the order (map, transmitter)."""

    cars = False

    def __init__(self, size: Size, count: int, seed: int, workers: WorkerProcesses):
        self.size = size
        self.maps = list(range(-(-count // VALIDATION_TRANSMITTERS)))
        self._cities = Cities(CityRequest(size, VALIDATION_TRANSMITTERS, seed, VALIDATION, 0), len(self.maps), workers)

    def __len__(self) -> int:
        return VALIDATION_TRANSMITTERS * len(self.maps)

    def __getitem__(self, index: int) -> Record:
        number, transmitter = divmod(range(len(self))[index], VALIDATION_TRANSMITTERS)
        self._cities.begin(self.maps)
        return record(self._cities[number], number, transmitter)


def city_workers(settings: DataConfig) -> WorkerProcesses:
    """The processes that simulate what these settings ask for. Raises UserError for settings that make no sense."""
    check_settings(settings)
    if settings.simulator == "device":
        return WorkerProcesses(draw_city, settings.simulation_workers, compute_fields, DEATH)
    return WorkerProcesses(simulate_city, settings.simulation_workers, death=DEATH)


def check_settings(settings: DataConfig) -> None:
    """Raise UserError for what on-the-fly cities cannot have."""
    at_least = {"transmitters_per_city": 1, "cities_at_once": 1, "simulation_workers": 0, "simulation_seed": 0, "reuse": 1}
    for name, least in at_least.items():
        if getattr(settings, name) < least:
            raise UserError(f"data.{name} is {getattr(settings, name)}: it must be at least {least}")
    if settings.reuse > 1 and settings.simulator == "device":
        raise UserError("data.reuse above 1 keeps cities that processes make; set data.simulator=cpu, or data.reuse=1")
    plain = DataConfig()
    if any(getattr(settings, name) != getattr(plain, name) for name in ("simulation", "cars", "mixture", "buildings")):
        raise UserError(
            "data.source=simulate makes DPM maps of complete buildings without cars; set data.simulation=DPM, "
            "data.mixture=null, data.buildings=complete and data.cars=false, or simulate "
            "a folder with `python -m experiments.dataset simulate` and use data.source=folder"
        )


def slots_of_process(settings: DataConfig, local_size: int, process_index: int, process_count: int) -> list[int]:
    """The slots of the stream that one of several processes reads, where its batches hold `local_size` records."""
    number = settings.cities_at_once
    turns = range(number)  # afterwards everything repeats
    return sorted(
        {
            ((process_index + process_count * turn) * local_size + offset) % number
            for turn in turns
            for offset in range(local_size)
        }
    )


def stream_fingerprint(size: Size, settings: DataConfig) -> str:
    """SHA-256 of what the training records depend on."""
    names = ("transmitters_per_city", "cities_at_once", "simulation_seed", "simulator") + ("reuse",) * (settings.reuse > 1)
    return simulation_fingerprint({"size": list(size)} | {name: getattr(settings, name) for name in names})


def cities_fingerprint(size: Size, settings: DataConfig) -> str:
    """SHA-256 of what a city depends on, whatever the order in which cities come."""
    names = ("transmitters_per_city", "simulation_seed")
    return simulation_fingerprint({"size": list(size)} | {name: getattr(settings, name) for name in names})
