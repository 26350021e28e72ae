"""A small RadioMapSeer folder made here: two buildings a map, gains by the distance law."""

from pathlib import Path

import numpy as np

from radiodiff_jax.images import read_grey, write_grey
from radiodiff_jax.propagation import distance_law
from radiodiff_jax.radiomapseer import (
    MISSING_VARIANTS,
    antenna_path,
    buildings_path,
    cars_path,
    gain_path,
    missing_buildings_path,
)
from radiodiff_jax.units import gain_to_grey


def write_example_folder(
    root: Path, maps: int = 5, transmitters: int = 2, size: tuple[int, int] = (32, 32), cars: bool = False,
    simulation: str = "DPM",
) -> Path:  # fmt: skip
    """Write `maps` maps 0, 1, ... with `transmitters` transmitters each; returns `root`."""
    for number in range(maps):
        generator = np.random.default_rng(number)
        buildings = np.zeros(size, bool)
        for row, column in generator.integers(0, np.array(size) - 8, (2, 2)):
            buildings[row : row + 7, column : column + 5] = True
        write_grey(buildings_path(root, number), buildings * np.uint8(255))
        if cars:
            write_grey(cars_path(root, number), (~buildings & (generator.random(size) < 0.05)) * np.uint8(255))
        outdoor = np.argwhere(~buildings)
        places = outdoor[generator.choice(len(outdoor), transmitters, replace=False)]
        for transmitter, (row, column) in enumerate(places):
            antenna = np.zeros(size, np.uint8)
            antenna[row, column] = 255
            write_grey(antenna_path(root, number, transmitter), antenna)
            gain = gain_to_grey(distance_law(buildings, row, column))
            write_grey(gain_path(root, simulation, number, transmitter), gain)
    return root


def write_missing_buildings(root: Path, kind: str = "missing1", maps: int = 5) -> None:
    """Write the six masks of each map: variant v lacks the complete mask's rows below 4 v."""
    for number in range(maps):
        complete = read_grey(buildings_path(root, number))
        for variant in range(1, MISSING_VARIANTS + 1):
            mask = complete.copy()
            mask[: 4 * variant] = 0
            write_grey(missing_buildings_path(root, kind, variant, number), mask)
