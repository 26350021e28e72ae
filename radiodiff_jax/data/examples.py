"""What becomes of a record on its way into a batch: one of the symmetries of the square."""

import numpy as np

from radiodiff_jax.data.source import Record
from radiodiff_jax.data.symmetries import symmetries_of, transform_image, transform_position

IMAGES = ("buildings", "true_buildings", "cars", "gain", "observed")


def random_symmetry(record: Record, generator: np.random.Generator) -> Record:
    """The record, turned or mirrored at random: images and transmitter position together."""
    return transform_record(record, int(generator.integers(symmetries_of(record["buildings"].shape))))


def transform_record(record: Record, symmetry: int) -> Record:
    """The record under one symmetry (see `symmetries`); images are views, and `symmetry` is its number."""
    size = record["buildings"].shape
    position = np.array(transform_position(*record["position"].tolist(), size, symmetry), np.int32)
    images = {name: transform_image(record[name], symmetry) for name in IMAGES if name in record}
    return record | images | {"position": position, "symmetry": np.int32(symmetry)}
