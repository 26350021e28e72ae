"""What cars take from a radio map: knife edges that the last leg of a path grazes. Our own model, not RadioMapSeer's.

Cars are as high as the antennas (1.5 m), so a car across a leg is a knife edge with its upper rim on the straight line.
Half of the wave front is covered: the field halves, 20 log10(2) = 6 dB. Behind n equal, equally spaced edges that all
touch the line, 1 / (n + 1) of the field is left (S.-W. Lee, J. Math. Phys. 19, 1414, 1978): 20 log10(n + 1) dB. Cars are
not endless screens, and other paths lead around a full car park, so no more than `MOST_CARS` are counted.
"""

import numba
import numpy as np
from jaxtyping import Bool, Float, UInt8

from radiodiff_jax.simulation.dominant_path.field_numba import LastBends, PreparedMap, last_bends, path_gain_db
from radiodiff_jax.units import db_to_gain, gain_to_grey

MOST_CARS = 4  # counted; 20 log10(5) = 14 dB at most
SAMPLES_PER_PIXEL = 2.0
MODEL = {"loss_db": "20 log10(1 + cars)", "most_cars": MOST_CARS}  # for the record of a folder


def path_gain_grey_with_cars(
    prepared: PreparedMap, cars: Bool[np.ndarray, "height width"], row: int, column: int
) -> UInt8[np.ndarray, "height width"]:
    """The dominant path map in grey levels with the loss of cars; see `path_gain_grey`.

    The dominant path itself is chosen as if there were no cars.
    """
    bends = last_bends(prepared, row, column)
    grey = gain_to_grey(db_to_gain(path_gain_db(prepared, row, column) - car_loss_db(bends, cars)))
    grey[row, column] = 255
    return grey


def car_loss_db(bends: LastBends, cars: Bool[np.ndarray, "height width"]) -> Float[np.ndarray, "height width"]:
    """Loss in dB of every receiver: 20 log10(1 + cars on the last leg of its path).

    Legs that come down from a roof pass above cars. A car that the leg begins or ends in is not counted: the antenna
    stands on its roof.
    """
    crossed = cars_crossed(bends.place, bends.over_roof, cars, MOST_CARS)
    return 20 * np.log10(1.0 + crossed)


@numba.njit(cache=True)
def cars_crossed(place, over_roof, cars, most):
    """How many cars lie across the line from `place` [height, width, 2] to each pixel, up to `most`: uint8.

    A car is a run of car pixels that the line enters and leaves again. 0 where `place` is NaN or `over_roof`.
    """
    height, width = cars.shape
    crossed = np.zeros((height, width), np.uint8)
    for i in range(height):
        for j in range(width):
            start_row = place[i, j, 0]
            start_column = place[i, j, 1]
            if over_roof[i, j] or np.isnan(start_row):
                continue
            rows = i - start_row
            columns = j - start_column
            samples = int(np.sqrt(rows * rows + columns * columns) * SAMPLES_PER_PIXEL) + 1
            count = 0
            free_before = False
            inside = False
            for k in range(samples + 1):
                row = min(max(int(start_row + rows * k / samples + 0.5), 0), height - 1)
                column = min(max(int(start_column + columns * k / samples + 0.5), 0), width - 1)
                if cars[row, column]:
                    inside = free_before
                else:
                    if inside:
                        count += 1
                        if count == most:
                            break
                    inside = False
                    free_before = True
            crossed[i, j] = count
    return crossed
