"""One scene: from images on disk to arrays, and whether a model can be asked about it."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from radiodiff_jax.errors import UserError
from radiodiff_jax.images import read_grey
from radiodiff_jax.inference.measurements import read_measurements
from radiodiff_jax.settings import DataConfig

EXAMPLE_SEED = 2043  # a dense, ordinary city; no training has seen it
Mask = Bool[np.ndarray, "height width"]


def read_scene(buildings: Path, cars: Path | None = None, measurements: Path | None = None) -> dict[str, Any]:
    """{"buildings", "cars", "observed"} as `Generator.predict` takes them.

    Raises UserError for an unreadable image and measurements that `read_measurements` refuses.
    """
    walls = read_grey(buildings) != 0
    return {
        "buildings": walls,
        "cars": None if cars is None else read_grey(cars) != 0,
        "observed": None if measurements is None else read_measurements(measurements, walls),
    }


def example_scene(seed: int = EXAMPLE_SEED, size: tuple[int, int] = (256, 256)) -> tuple[Mask, tuple[int, int]]:
    """(mask of buildings, row and column of a transmitter) of a made-up city, the same for the same seed; 1 pixel = 1 m."""
    from radiodiff_jax.simulation import city, place_transmitters  # here, since they load SciPy and scikit-image

    buildings = city(seed, *size).buildings
    row, column = place_transmitters(buildings, 1, seed)[0]
    return buildings, (int(row), int(column))


def simulated_scene(
    seed: int = EXAMPLE_SEED, size: tuple[int, int] = (256, 256)
) -> tuple[Mask, tuple[int, int], UInt8[np.ndarray, "height width"]]:
    """As `example_scene`, and the grey levels of its simulated radio map."""
    from radiodiff_jax.simulation import city, path_gain_grey, place_transmitters, prepare

    layout = city(seed, *size)
    row, column = (int(x) for x in place_transmitters(layout.buildings, 1, seed)[0])
    return layout.buildings, (row, column), path_gain_grey(prepare(layout.buildings, layout.polygons), row, column)


def check_scene(
    model: str, data: DataConfig, buildings: Mask, transmitter: tuple[int, int], cars: Mask | None = None,
    observed: Float[np.ndarray, "height width"] | None = None,
) -> None:  # fmt: skip
    """Raise UserError unless the transmitter stands outdoors on the map, the images are of one size, and there are cars
    and measurements just where `model`, by the settings of its data, was trained with them.
    """
    if buildings.ndim != 2:
        raise UserError(f"the mask of buildings has {buildings.ndim} axes; give one image [height, width], not 0 at buildings")
    row, column = transmitter
    height, width = buildings.shape
    if not (0 <= row < height and 0 <= column < width):
        raise UserError(
            f"the transmitter at row {row}, column {column} is outside the map of {height} x {width} pixels; "
            f"rows run from 0 to {height - 1} and columns from 0 to {width - 1}"
        )
    if buildings[row, column]:
        raise UserError(
            f"the transmitter at row {row}, column {column} is inside a building; antennas stand outdoors, so choose "
            "a pixel that is 0 there"
        )
    for what, image in (("cars", cars), ("measurements", observed)):
        if image is not None and image.shape != buildings.shape:
            raise UserError(
                f"the image of {what} is {image.shape[0]} x {image.shape[1]} pixels, but the buildings are {height} x "
                f"{width}; give both for the same map"
            )
    if data.cars and cars is None:
        raise UserError(f"{model} was trained with cars; give the scene's mask of cars (--cars C.png)")
    if cars is not None and not data.cars:
        raise UserError(f"{model} was trained without cars, so it cannot use a mask of cars; leave it out")
    least = data.observed and data.observed[0]
    if least and observed is None:
        raise UserError(
            f"{model} was trained with {least} measured pixels a map{' or more' if least < data.observed[1] else ''}; give the "
            "scene's measurements (--measurements FILE.csv)"
        )
    if data.observed is None and observed is not None:
        raise UserError(f"{model} was trained without measured pixels, so it cannot use measurements; leave them out")
