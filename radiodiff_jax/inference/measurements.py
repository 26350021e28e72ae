"""Path gains that were measured at some pixels of a scene, from a CSV file."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from radiodiff_jax.errors import UserError, shown
from radiodiff_jax.reading import MissingFileError, finite_number, read_table
from radiodiff_jax.units import STRONGEST_DB, db_to_gain

COLUMNS = ("row", "column", "path gain in dB")


def read_measurements(path: Path, buildings: Bool[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """Lines `row,column,path gain in dB` -> gain in [0, 1] where it was measured, NaN elsewhere; float32.

    One line of names may come first. Path gains below the scale (-147 dB) are no signal, gain 0. Raises UserError,
    which names the line, for anything but three numbers, pixels outside the map, inside buildings or given twice, and
    path gains above the scale (-47.84 dB); and for a file without measurements.
    """
    cure = f"give a CSV file of lines {','.join(COLUMNS)}"
    measured = np.full(buildings.shape, np.nan, np.float32)
    try:
        lines = read_table(path, cure)
    except MissingFileError as error:
        raise UserError(f"{path} cannot be read (there is no such file); {cure}") from error
    for position, (number, line) in enumerate(lines):
        values = _numbers(line)
        if position == 0 and len(line) == len(COLUMNS) and all(finite_number(field) is None for field in line):
            continue  # names of the columns
        where = f"line {number} of {path}"
        if values is None:
            raise UserError(f"{where} ({shown(','.join(line))}) must be {', '.join(COLUMNS)}, such as 128,90,-85.5")
        row, column, path_gain_db = values
        _check_place(where, row, column, buildings)
        if not np.isnan(measured[row, column]):
            raise UserError(f"{where} measures row {row}, column {column} a second time; keep one value a pixel")
        if path_gain_db > STRONGEST_DB:
            raise UserError(
                f"{where} has a path gain of {path_gain_db} dB, but the scale ends at {STRONGEST_DB} dB; "
                "path gains are negative, received minus sent power"
            )
        measured[row, column] = np.clip(db_to_gain(path_gain_db), 0, 1)
    if np.isnan(measured).all():
        raise UserError(f"{path} holds no measurements; give lines {','.join(COLUMNS)}")
    return measured


def _numbers(line: list[str]) -> tuple[int, int, float] | None:
    found = [finite_number(field) for field in line]
    if len(found) != len(COLUMNS) or None in found or any(number % 1 for number in found[:2]):
        return None
    return int(found[0]), int(found[1]), found[2]


def _check_place(where: str, row: int, column: int, buildings: np.ndarray) -> None:
    height, width = buildings.shape
    if not (0 <= row < height and 0 <= column < width):
        raise UserError(
            f"{where} is at row {row}, column {column}, outside the map; rows run from 0 to {height - 1} and columns "
            f"from 0 to {width - 1}"
        )
    if buildings[row, column]:
        raise UserError(f"{where} is at row {row}, column {column}, inside a building; measure outdoors")
