"""Where transmitters and cars stand, drawn by a seed.

Transmitters stand outdoors in the middle of a map. Cars park in rows along building fronts and drive in the lanes of
streets. Everything is read off the mask of buildings: the distance to the nearest wall says how wide a street is and
where its middle lies, the direction to that wall, smoothed, how it runs.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from scipy.ndimage import distance_transform_edt, gaussian_filter, label, maximum_filter

from radiodiff_jax.errors import UserError

CENTRAL_SHARE = 150 / 256  # of height and width; RadioMapSeer's transmitters stand in the central part of a map
TRANSMITTER_CLEARANCE = 3.0  # pixels from a transmitter to the nearest building pixel

LENGTH, WIDTH = 4.6, 1.8  # metres, a middle-sized car
FROM_WALL = (2.4, 4.6)  # metres from a front to the middle of the cars parked along it: a pavement and half a car
PARKED_SHARE = (0.4, 0.9)  # share of the fronts where cars are parked; it differs from city to city
PATCH = 14.0  # metres, over which fronts are full or empty together
ROOM_TO_PASS = 2.5  # metres between the middle of a parked car's place and that of the street, at least
LANE = 1.75  # metres from the middle of a street to the middle of a lane
STREET = (3.5, 14.0)  # metres from the middle of a street to its fronts; narrower is an alley, wider a square
LANE_METRES_A_CAR = 35.0  # metres of lane for each driving car, on average
STRAIGHTNESS = 0.45  # length of the mean direction, 1 where all walls around are parallel; below, it is no street
ALONG_STREET = np.radians(25)  # a front that differs more from the street's direction is a gable: no car parks there
FRONT, STREET_AROUND = 2.0, 8.0  # metres over which the directions of fronts and of streets are averaged
SMALLEST_PLACE = 2500  # pixels; courtyards smaller than this hold no cars
CAR_CLEARANCE = 1.6  # pixels from a transmitter to the nearest car pixel, at least
REACH = 4  # pixels around its middle that a car may cover


class _Streets(NamedTuple):
    """What is known of every pixel's surroundings; arrays [height, width]."""

    wall_distance: np.ndarray  # metres to the nearest building pixel
    half_width: np.ndarray  # metres from the middle of the street to its fronts
    direction: np.ndarray  # radians, along the nearest front, from columns towards rows
    turned: np.ndarray  # radians, between that and the direction of the street
    straightness: np.ndarray  # 0 to 1
    open: np.ndarray  # bool: outdoors and no small courtyard


def place_transmitters(
    buildings: Bool[np.ndarray, "height width"], count: int, seed: int
) -> Int[np.ndarray, "count 2"]:
    """Distinct outdoor pixels (row, column), drawn evenly from the central part of the map.

    They keep 3 pixels from buildings. Where this leaves fewer than `count` places, the whole map is used, and if need
    be every outdoor pixel. Raises UserError where there are not even `count` of these.
    """
    buildings = np.asarray(buildings) != 0
    height, width = buildings.shape
    central = np.ix_(*(np.abs((np.arange(side) + 0.5) / side - 0.5) <= CENTRAL_SHARE / 2 for side in (height, width)))
    clear = distance_transform_edt(~buildings) >= TRANSMITTER_CLEARANCE if buildings.any() else ~buildings
    clear_central = np.zeros_like(clear)
    clear_central[central] = clear[central]
    for places in (clear_central, clear, ~buildings):
        if np.count_nonzero(places) >= count:
            chosen = np.random.default_rng(seed).choice(np.flatnonzero(places), count, replace=False)
            return np.stack(np.divmod(chosen, width), axis=1)
    raise UserError(
        f"a map of {height} x {width} pixels has only {np.count_nonzero(~buildings)} pixels outside buildings, too few "
        f"for {count} transmitters; ask for fewer transmitters or larger maps"
    )


def place_cars(
    buildings: Bool[np.ndarray, "height width"], transmitters: ArrayLike, seed: int
) -> Bool[np.ndarray, "height width"]:
    """Mask of cars, which touch no building, no other car (not even at a corner) and no transmitter.

    `transmitters` are (row, column) pixels [count, 2]. The same arguments give the same mask. A map without streets
    (or without buildings) has no cars.
    """
    buildings = np.asarray(buildings) != 0
    cars = np.zeros_like(buildings)
    if not buildings.any() or buildings.all():
        return cars
    rng = np.random.default_rng(seed)
    streets = _streets(buildings)
    blocked = buildings.copy()
    if len(places := np.asarray(transmitters).reshape(-1, 2)):
        lit = np.zeros_like(buildings)
        lit[tuple(places.T)] = True
        blocked |= distance_transform_edt(~lit) < CAR_CLEARANCE
    for place in np.concatenate([_driving(rng, streets), _parked(rng, streets)]):
        _try_to_place(cars, blocked, *place)
    return cars


def _streets(buildings: np.ndarray) -> _Streets:
    distance, nearest = distance_transform_edt(~buildings, return_indices=True)
    to_wall = nearest - np.indices(buildings.shape)
    # Directions are lines, not arrows: angles are doubled before they are averaged. A street runs across `to_wall`.
    doubled = -np.exp(2j * np.arctan2(*to_wall)) * ~buildings
    front, street = (_smoothed(doubled.real, scale) + 1j * _smoothed(doubled.imag, scale) for scale in (FRONT, STREET_AROUND))
    weight = np.maximum(_smoothed((~buildings).astype(float), STREET_AROUND), 1e-9)
    pieces, _ = label(~buildings)
    has_room = np.bincount(pieces.ravel()) >= SMALLEST_PLACE
    has_room[np.concatenate([pieces[[0, -1]].ravel(), pieces[:, [0, -1]].ravel()])] = True  # may go on outside
    has_room[0] = False
    return _Streets(
        wall_distance=distance,
        half_width=maximum_filter(distance, size=11),
        direction=np.angle(front) / 2,
        turned=np.abs(np.angle(front * street.conj())) / 2,
        straightness=np.abs(street) / weight,
        open=has_room[pieces],
    )


def _smoothed(values: np.ndarray, metres: float) -> np.ndarray:
    return gaussian_filter(values, metres, mode="constant", truncate=3)


def _parked(rng: np.random.Generator, streets: _Streets) -> Float[np.ndarray, "cars 3"]:
    """Places to try, in random order: (row, column, direction), at one distance from fronts."""
    from_wall = rng.uniform(*FROM_WALL)
    noise = _smoothed(rng.standard_normal(streets.open.shape), PATCH)
    fits = (
        streets.open
        & (np.abs(streets.wall_distance - from_wall) <= 0.5)
        & (streets.half_width >= from_wall + ROOM_TO_PASS)
        & (streets.straightness >= STRAIGHTNESS)
        & (streets.turned <= ALONG_STREET)
        & (noise <= np.quantile(noise, rng.uniform(*PARKED_SHARE)))
    )
    return rng.permutation(_moved(streets, fits, streets.wall_distance - from_wall))


def _driving(rng: np.random.Generator, streets: _Streets) -> Float[np.ndarray, "cars 3"]:
    """Places of driving cars, in random order: (row, column, direction), in lanes on either side of the middle."""
    from_middle = streets.half_width - streets.wall_distance
    fits = (
        streets.open
        & (np.abs(from_middle - LANE) <= 0.5)
        & (streets.half_width >= STREET[0])
        & (streets.half_width <= STREET[1])
        & (streets.straightness >= STRAIGHTNESS)
    )
    places = rng.permutation(_moved(streets, fits, LANE - from_middle))
    return places[: rng.poisson(len(places) / LANE_METRES_A_CAR)]


def _moved(streets: _Streets, fits: np.ndarray, towards_wall: np.ndarray) -> Float[np.ndarray, "places 3"]:
    """Middles and directions at the pixels that fit, moved by up to half a pixel so that rows are straight."""
    row, column = np.nonzero(fits)
    direction, shift = streets.direction[fits], towards_wall[fits]
    slope_row, slope_column = (slope[fits] for slope in np.gradient(streets.wall_distance))
    length = np.maximum(np.hypot(slope_row, slope_column), 1e-9)
    return np.stack([row - shift * slope_row / length, column - shift * slope_column / length, direction], axis=1)


def _try_to_place(cars: np.ndarray, blocked: np.ndarray, row: float, column: float, direction: float) -> None:
    """Draw a car, and block what it and the ring of pixels around it cover, unless something is in its way."""
    low = np.maximum(np.round([row, column]).astype(int) - REACH, 0)
    window = tuple(slice(start, start + 2 * REACH + 1) for start in low)
    rows, columns = np.indices(blocked[window].shape)
    rows, columns = rows + low[0] - row, columns + low[1] - column
    along = np.abs(rows * np.sin(direction) + columns * np.cos(direction))
    across = np.abs(columns * np.sin(direction) - rows * np.cos(direction))
    car = (along <= LENGTH / 2) & (across <= WIDTH / 2)
    around = maximum_filter(car, size=3)  # also by a corner
    if car.any() and not np.any(blocked[window] & around):
        cars[window] |= car
        blocked[window] |= around
