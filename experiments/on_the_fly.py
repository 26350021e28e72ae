"""Training data for `data.source=simulate`: the endless stream, what it is validated on, and its fingerprint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from radiodiff_jax.config import Config
from radiodiff_jax.data.pipeline import evaluation_batches, training_batches
from radiodiff_jax.data.simulated_source import SimulatedData, open_simulated
from radiodiff_jax.units import grey_to_gain


def open_data(config: Config, data: Path | None) -> SimulatedData:
    """The stream of these settings; `data` is a folder to validate on, in place of fixed simulated cities."""
    import jax

    batch_size = config.training.batch_size * config.optimizer.accumulate
    processes = jax.process_index(), jax.process_count()
    return open_simulated(config.data, config.image_size, batch_size, config.training.validation_maps, data, *processes)


def simulated_arguments(config: Config, data: Path | None, reading: dict[str, int]) -> dict[str, Any]:
    """As `training.data_arguments`."""
    settings, found = config.training, open_data(config, data)
    whole = settings.batch_size * config.optimizer.accumulate
    patient = reading | {"threads": max(reading["threads"], found.threads)}
    return {
        "batches": training_batches(found.stream, whole, settings.seed, config.data.augment, shuffle=False, **patient),
        "validation_batches": lambda: evaluation_batches(
            found.validation, settings.batch_size, settings.validation_maps, **reading
        ),
        "data_fingerprint": found.fingerprint,
    }


def first_simulated_gains(config: Config, data: Path | None, count: int) -> Callable[[], np.ndarray]:
    """As `training.first_gains`."""
    stream = open_data(config, data).stream
    return lambda: grey_to_gain(np.stack([stream[position]["gain"] for position in range(count)]))[..., None]
