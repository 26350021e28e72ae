"""One scene from images on disk to arrays."""

from pathlib import Path
from typing import Any

import numpy as np

from radiodiff_jax.errors import UserError
from radiodiff_jax.images import read_grey
from radiodiff_jax.inference.measurements import read_measurements


def read_scene(buildings: Path, cars: Path | None, size: tuple[int, int], measurements: Path | None = None) -> dict[str, Any]:
    """{"buildings", "cars", "observed"} as `Generator.predict` takes them, for a model of image size (height, width).

    Raises UserError for an unreadable image, another size, and measurements that `read_measurements` refuses.
    """
    walls = _read_mask(buildings, size)
    return {
        "buildings": walls,
        "cars": None if cars is None else _read_mask(cars, size),
        "observed": None if measurements is None else read_measurements(measurements, walls),
    }


def _read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    grey = read_grey(path)
    if grey.shape != size:
        raise UserError(
            f"{path} is {grey.shape[0]} x {grey.shape[1]} pixels, but the model was trained for {size[0]} x {size[1]}; "
            "cut the map to that size or train a model for this one"
        )
    return grey != 0
