"""The dihedral group of the square, acting on images, on pixel positions and on records.

Radio propagation does not care which way is north, so turning or mirroring a scene turns or mirrors its radio map
exactly. Symmetry 0..7 is: transpose if bit 2 is set, then flip rows if bit 0, then flip columns if bit 1. Those without
transpose (0..3) keep the shape of a rectangle.
"""

import numpy as np

from radiodiff_jax.data.records import Record
from radiodiff_jax.images import Size
from radiodiff_jax.radiomapseer import COMPUTED

SQUARE = 8
RECTANGLE = 4
IMAGES = ("buildings", "true_buildings", "cars", "gain", "observed", *COMPUTED)
"""What is an image in a record."""


def symmetries_of(size: Size) -> int:
    """How many symmetries keep (height, width): 8 for a square, 4 for a rectangle (numbers 0..3)."""
    return SQUARE if size[0] == size[1] else RECTANGLE


def transform_image(image: np.ndarray, symmetry: int) -> np.ndarray:
    """An image [height, width, ...] under a symmetry, as a view."""
    if symmetry & 4:
        image = image.swapaxes(0, 1)
    if symmetry & 1:
        image = image[::-1]
    if symmetry & 2:
        image = image[:, ::-1]
    return image


def undo_transform(image: np.ndarray, symmetry: int) -> np.ndarray:
    """The image [height, width, ...] that `transform_image` made this one of, as a view."""
    if symmetry & 2:
        image = image[:, ::-1]
    if symmetry & 1:
        image = image[::-1]
    return image.swapaxes(0, 1) if symmetry & 4 else image


def transform_position(row: int, column: int, size: Size, symmetry: int) -> tuple[int, int]:
    """Where the pixel (row, column) of an image of `size` (height, width) goes under a symmetry."""
    height, width = size
    if symmetry & 4:
        row, column, height, width = column, row, width, height
    if symmetry & 1:
        row = height - 1 - row
    if symmetry & 2:
        column = width - 1 - column
    return row, column


def transform_record(record: Record, symmetry: int) -> Record:
    """The record under one symmetry, whose number it holds as `symmetry`; images are views."""
    size = record["buildings"].shape
    position = np.array(transform_position(*record["position"].tolist(), size, symmetry), np.int32)
    images = {name: transform_image(record[name], symmetry) for name in IMAGES if name in record}
    return record | images | {"position": position, "symmetry": np.int32(symmetry)}
