"""Training data for `data.source=simulate`: the endless stream, what it is validated on, and its fingerprint."""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from experiments.training import open_split
from radiodiff_jax.config import Config
from radiodiff_jax.data.city_workers import CityWorkers
from radiodiff_jax.data.pipeline import evaluation_batches, training_batches
from radiodiff_jax.data.simulated_source import (
    SimulatedMaps,
    SimulatedStream,
    city_workers,
    slots_of_process,
    stream_fingerprint,
)
from radiodiff_jax.data.varied_source import varied_fingerprint, vary


@functools.lru_cache(1)
def open_stream(config: Config) -> tuple[SimulatedStream, CityWorkers]:
    """The stream of these settings and its workers; once, so that what is read before the training is not made again."""
    import jax

    local_size = config.training.batch_size * config.optimizer.accumulate // jax.process_count()
    workers = city_workers(config.data)
    slots = slots_of_process(config.data, local_size, jax.process_index(), jax.process_count())
    return SimulatedStream(config.image_size, config.data, workers, slots), workers


def simulated_arguments(config: Config, data: Path | None, reading: dict[str, int]) -> dict[str, Any]:
    """As `training.data_arguments`; `data` is a folder to validate on, in place of fixed simulated cities."""
    settings = config.training
    stream, workers = open_stream(config)
    whole = settings.batch_size * config.optimizer.accumulate
    if data is None:
        validation = SimulatedMaps(config.image_size, settings.validation_maps, config.data.simulation_seed, workers)
        validation = vary(validation, observed_pixels=config.data.observed_pixels)
    else:
        validation = open_split(config, data, "validation")
    varied = vary(stream, observed_pixels=config.data.observed_pixels)
    found = stream_fingerprint(config.image_size, config.data)
    if data is not None:
        found = hashlib.sha256((found + varied_fingerprint(data, config.data)).encode()).hexdigest()
    # Reading threads only wait, so there are as many as there are processes that they may wait for.
    patient = reading | {"threads": max(reading["threads"], config.data.simulation_workers)}
    return {
        "batches": training_batches(varied, whole, settings.seed, config.data.augment, shuffle=False, **patient),
        "validation_batches": lambda: evaluation_batches(
            validation, settings.batch_size, settings.validation_maps, **reading
        ),
        "data_fingerprint": found,
    }


def first_simulated_batch(config: Config, count: int) -> Callable[[], dict[str, np.ndarray]]:
    """As `training.first_batch`."""
    stream, _ = open_stream(config)

    def read() -> dict[str, np.ndarray]:
        records = [stream[position] for position in range(count)]
        return {name: np.stack([record[name] for record in records]) for name in ("gain", "buildings")}

    return read
