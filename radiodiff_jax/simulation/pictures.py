"""Grey pictures of a scene on disk: read with plain errors, written whole."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_whole


def write_grey(path: Path, picture: UInt8[np.ndarray, "height width"]) -> None:
    """Write an 8-bit grey PNG, whole or not at all."""
    write_whole(path, lambda temporary: Image.fromarray(picture).save(temporary))


def write_mask(path: Path, mask: Bool[np.ndarray, "height width"]) -> None:
    """Write a mask as 0 and 255."""
    write_grey(path, mask.astype(np.uint8) * 255)


def transmitter_mask(shape: tuple[int, int], row: int, column: int) -> Bool[np.ndarray, "height width"]:
    """A mask of one pixel."""
    mask = np.zeros(shape, bool)
    mask[row, column] = True
    return mask


def read_mask(path: Path, shape: tuple[int, int] | None = None) -> Bool[np.ndarray, "height width"]:
    """Read a grey picture of two levels, 0 and one other (usually 255).

    Raises UserError where the file is missing, is no picture, has colours, has more levels or, if a `shape` (that of
    the map's buildings) is given, has another one.
    """
    try:
        with Image.open(path) as picture:
            levels = np.asarray(picture)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; every map needs its picture there.") from None
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for broken files
        raise UserError(f"{path} cannot be read as a picture ({error}); replace the file.") from None
    if levels.ndim != 2:
        raise UserError(f"{path} has colours; save it as an 8-bit grey picture of 0 and 255.")
    if len(np.unique(levels[levels != 0])) > 1:
        raise UserError(f"{path} has more than two grey levels; a mask consists of 0 and 255 only.")
    if shape is not None and levels.shape != shape:
        raise UserError(
            f"{path} is {levels.shape[0]} x {levels.shape[1]} pixels but its buildings are {shape[0]} x {shape[1]}; "
            "pictures of one map must be of one size."
        )
    return levels != 0


def read_transmitter(path: Path, shape: tuple[int, int]) -> tuple[int, int]:
    """Read the (row, column) of the one lit pixel of an antenna picture.

    Raises UserError where the picture is not of the shape of its map or has not exactly one lit pixel.
    """
    mask = read_mask(path, shape)
    places = np.argwhere(mask)
    if len(places) != 1:
        raise UserError(f"{path} has {len(places)} lit pixels; a transmitter is exactly one.")
    return int(places[0, 0]), int(places[0, 1])
