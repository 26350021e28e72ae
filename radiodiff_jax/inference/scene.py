"""One scene from images on disk to the condition image that the model reads."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from radiodiff_jax.data.symmetries import condition_image
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import read_grey
from radiodiff_jax.inference.measurements import read_measurements


@dataclass(frozen=True)
class Scene:
    """Where things stand: masks [height, width] and the transmitter's (row, column), 1 pixel = 1 m."""

    buildings: Bool[np.ndarray, "height width"]
    transmitter: tuple[int, int]
    cars: Bool[np.ndarray, "height width"] | None = None
    measured: Float[np.ndarray, "height width"] | None = None
    """Gain in [0, 1] where it was measured, NaN elsewhere; for models trained with `data.samples`."""

    def condition(self) -> Float[np.ndarray, "height width channels"]:
        """The condition image: buildings, transmitter, cars (or buildings again), and measurements if there are any."""
        transmitter = np.zeros_like(self.buildings)
        transmitter[self.transmitter] = True
        cars = self.buildings if self.cars is None else self.cars
        return condition_image(self.buildings, transmitter, cars, self.measured)


def read_scene(
    buildings: Path, transmitter: tuple[int, int], cars: Path | None, size: tuple[int, int],
    measurements: Path | None = None,
) -> Scene:  # fmt: skip
    """Read and check a scene for a model of image size (height, width).

    Raises UserError for an unreadable image, another size, a transmitter outside the map or inside a building, and for
    measurements that `read_measurements` refuses.
    """
    walls = _read_mask(buildings, size)
    row, column = transmitter
    if not (0 <= row < size[0] and 0 <= column < size[1]):
        raise UserError(
            f"the transmitter at row {row}, column {column} is outside the map of {size[0]} x {size[1]} pixels; "
            f"rows run from 0 to {size[0] - 1} and columns from 0 to {size[1] - 1}"
        )
    if walls[row, column]:
        raise UserError(
            f"the transmitter at row {row}, column {column} is inside a building of {buildings}; "
            "antennas stand outdoors, so choose a pixel that is 0 there"
        )
    return Scene(
        walls,
        (row, column),
        None if cars is None else _read_mask(cars, size),
        None if measurements is None else read_measurements(measurements, walls),
    )


def _read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    grey = read_grey(path)
    if grey.shape != size:
        raise UserError(
            f"{path} is {grey.shape[0]} x {grey.shape[1]} pixels, but the model was trained for {size[0]} x {size[1]}; "
            "cut the map to that size or train a model for this one"
        )
    return grey >= 128
