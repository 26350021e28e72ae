"""What becomes of a single record on its way into a batch: a symmetry, and the images that a model is shown."""

from typing import Any

import numpy as np

from radiodiff_jax.data.grey_images import Grey
from radiodiff_jax.data.source import Record
from radiodiff_jax.data.symmetries import symmetries_of, transform_image, transform_position
from radiodiff_jax.units import grey_to_gain

IMAGES = ("buildings", "true_buildings", "cars", "gain", "sampled")


def example(record: Record) -> dict[str, Any]:
    """A record (uint8 images) -> one element of a batch."""
    return {"gain": grey_to_gain(record["gain"])[..., None], **scene_example(record)}


def scene_example(record: Record) -> dict[str, Any]:
    """What an element of a batch tells of a record's scene."""
    buildings = record["buildings"]
    transmitter = np.zeros(buildings.shape, bool)
    transmitter[record["row"], record["column"]] = True
    measured = None
    if "sampled" in record:
        measured = np.where(record["sampled"], grey_to_gain(record["gain"]), np.float32(np.nan))
    return {
        "condition": condition_image(buildings, transmitter, record.get("cars", buildings), measured),
        "map": np.int32(record["map"]),
        "transmitter": np.int32(record["transmitter"]),
        "position": np.array([record["row"], record["column"]], np.int32),
    }


def condition_image(
    buildings: np.ndarray, transmitter: np.ndarray, cars: np.ndarray, measured: np.ndarray | None = None
) -> np.ndarray:
    """What a model is told about a scene: float32 [height, width, 3 or 5].

    The first three channels, each -1 or +1 as in RadioDiff, come from masks [height, width], boolean or grey with 0 as
    empty: buildings, the transmitter as a single pixel, cars (the buildings again where there are no cars). `measured`,
    float32 [height, width], is the gain in [0, 1] where it is known and NaN elsewhere; it adds two channels: 2 * gain - 1
    where known and -1 elsewhere, and +1 where known and -1 elsewhere, which tells a measured 0 from no measurement.
    """
    condition = np.empty((*buildings.shape, 3 if measured is None else 5), np.float32)
    for channel, mask in enumerate((buildings, transmitter, cars)):
        condition[..., channel] = np.where(mask, np.float32(1), np.float32(-1))
    if measured is not None:
        known = ~np.isnan(measured)
        condition[..., 3] = np.where(known, 2 * measured - 1, np.float32(-1))
        condition[..., 4] = np.where(known, np.float32(1), np.float32(-1))
    return condition


def random_symmetry(record: Record, generator: np.random.Generator) -> Record:
    """The record, turned or mirrored at random: images and transmitter position together."""
    size = record["gain"].shape
    return transform_record(record, int(generator.integers(symmetries_of(size))))


def transform_record(record: Record, symmetry: int) -> Record:
    """The record under one symmetry (see `symmetries`)."""
    row, column = transform_position(record["row"], record["column"], record["gain"].shape, symmetry)
    images: dict[str, Grey] = {
        name: np.ascontiguousarray(transform_image(record[name], symmetry)) for name in IMAGES if name in record
    }
    return record | images | {"row": row, "column": column, "symmetry": symmetry}
