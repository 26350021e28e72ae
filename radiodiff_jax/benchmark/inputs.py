"""What radio maps to train on cost: simulating them, reading them."""

import tempfile
import time
from pathlib import Path

import jax
import numpy as np

from radiodiff_jax.benchmark.job import Job, Row
from radiodiff_jax.benchmark.timing import summary, timed, with_rate


def measure_simulator(job: Job) -> dict[str, Row]:
    """A radio map by the dominant path model on one core, once the city is prepared; preparation in a row of its own."""
    from radiodiff_jax.simulation import city, path_gain_grey, place_transmitters, prepare

    layout = city(1, *job.ldm.image_size)
    prepared = prepare(layout.buildings, layout.polygons)
    preparation = timed(lambda: prepare(layout.buildings, layout.polygons) and None, min(job.repeats, 3))
    places = place_transmitters(layout.buildings, 8, 0)

    def run() -> None:
        for row, column in places:
            path_gain_grey(prepared, int(row), int(column))

    maps = each(timed(run, job.repeats), len(places))
    return {"simulator, a map": with_rate(maps, 1), "simulator, a city before": preparation}


def measure_simulator_on_device(job: Job) -> dict[str, Row]:
    """One of 80 radio maps of a city by the dominant path model in JAX; preparation in a row of its own."""
    from radiodiff_jax.simulation import city, place_transmitters
    from radiodiff_jax.simulation.dominant_path.field_jax import prepare_on_device, radio_maps
    from radiodiff_jax.simulation.dominant_path.padded_scene import describe, transmitter_places

    layout = city(2, *job.ldm.image_size)
    pixels = place_transmitters(layout.buildings, 80, 0).astype(np.int32)
    places = transmitter_places(pixels, layout.polygons)
    scene = jax.device_put(describe(layout.buildings, layout.polygons))
    preparation = timed(lambda: prepare_on_device(scene), min(job.repeats, 3))
    prepared = prepare_on_device(scene)
    maps = each(timed(lambda: radio_maps(prepared, pixels, places), min(job.repeats, 3)), len(pixels))
    return {"simulator on device, a map": with_rate(maps, 1), "simulator on device, a city before": preparation}


def each(row: Row, count: int) -> Row:
    """The row of one of `count` things done in a call."""
    return row | {name: row[name] / count for name in ("median_s", "best_s", "spread_s")}


def measure_reading(job: Job) -> dict[str, Row]:
    """Training batches of 16 from a built TFDS folder of random grey maps, two threads."""
    from radiodiff_jax.data.packed.builder import build
    from radiodiff_jax.data.pipeline import training_batches
    from radiodiff_jax.data.sources import open_source
    from radiodiff_jax.simulation import write_simulated_folder

    size, at_once, batch = job.ldm.image_size, 30, 16
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_simulated_folder(folder / "maps", maps=10, transmitters=25, size=size, seed=0, workers=2, progress=False)
        build(folder / "maps", folder / "tfds")
        batches = training_batches(open_source(folder / "tfds", "train"), batch, 0)
        for _ in range(8):  # fill the read-ahead
            next(batches)
        seconds = []
        for _ in range(job.repeats):
            start = time.perf_counter()
            for _ in range(at_once):
                next(batches)
            seconds.append((time.perf_counter() - start) / at_once)
    return {"reading, a batch": with_rate(summary(seconds), batch)}
