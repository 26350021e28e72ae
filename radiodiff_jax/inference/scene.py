"""One scene from images on disk to the condition image that the model reads."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from radiodiff_jax.data.grey_images import read_grey
from radiodiff_jax.data.pipeline import condition_image
from radiodiff_jax.errors import UserError


@dataclass(frozen=True)
class Scene:
    """Where things stand: masks [height, width] and the transmitter's (row, column), 1 pixel = 1 m."""

    buildings: Bool[np.ndarray, "height width"]
    transmitter: tuple[int, int]
    cars: Bool[np.ndarray, "height width"] | None = None

    def condition(self) -> Float[np.ndarray, "height width 3"]:
        """The condition image in {-1, 1}: buildings, transmitter, cars (or buildings again)."""
        transmitter = np.zeros_like(self.buildings)
        transmitter[self.transmitter] = True
        return condition_image(self.buildings, transmitter, self.buildings if self.cars is None else self.cars)


def read_scene(buildings: Path, transmitter: tuple[int, int], cars: Path | None, size: tuple[int, int]) -> Scene:
    """Read and check a scene for a model of image size (height, width).

    Raises UserError for an unreadable image, another size, a transmitter outside the map or inside a building.
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
    return Scene(walls, (row, column), None if cars is None else _read_mask(cars, size))


def _read_mask(path: Path, size: tuple[int, int]) -> np.ndarray:
    grey = read_grey(path)
    if grey.shape != size:
        raise UserError(
            f"{path} is {grey.shape[0]} x {grey.shape[1]} pixels, but the model was trained for {size[0]} x {size[1]}; "
            "cut the map to that size or train a model for this one"
        )
    return grey >= 128
