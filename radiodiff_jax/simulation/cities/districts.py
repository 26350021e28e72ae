"""Kinds of urban fabric, each a stream of buildings in the street grid's own coordinates.

A generator takes a random generator and an extent in metres, and yields buildings that cover at least
[-extent, extent] x [-extent, extent] as (along, across, footprint): the place of its middle along and across the
streets, and its ground plan. Whether a building is then built is decided in `cities.py`.
"""

from collections.abc import Callable, Iterator

import numpy as np

from radiodiff_jax.simulation.cities.ground_plans import Footprint, hall, house, notched_rectangle, perimeter_block

Buildings = Iterator[tuple[float, float, Footprint]]


def detached(rng: np.random.Generator, extent: float) -> Buildings:
    """Single houses in gardens, two rows back to back between streets."""
    return _rows_of_houses(
        rng,
        extent,
        width=rng.uniform(12, 23),
        depth=rng.uniform(12, 23),
        gap=rng.uniform(2.5, 8),
        back=rng.uniform(5, 16),
        street=rng.uniform(10, 19),
        spread=rng.uniform(0.05, 0.5),
        vacancy=rng.uniform(0.02, 0.15),
        doubles=rng.uniform(0, 0.25),
        sheds=max(0.0, rng.uniform(-0.3, 0.7)),
    )


def dense(rng: np.random.Generator, extent: float) -> Buildings:
    """Old quarters: houses almost wall to wall, narrow alleys, sizes varied."""
    return _rows_of_houses(
        rng,
        extent,
        width=rng.uniform(10, 20),
        depth=rng.uniform(12, 22),
        gap=rng.uniform(2.5, 3.5),
        back=rng.uniform(3, 4.5),
        street=rng.uniform(8, 13),
        spread=rng.uniform(0.25, 0.55),
        vacancy=rng.uniform(0.1, 0.25),
        doubles=rng.uniform(0.05, 0.35),
        sheds=0.0,
    )


def slabs(rng: np.random.Generator, extent: float) -> Buildings:
    """Parallel blocks of flats, some with a wing across their end."""
    thickness, length = rng.uniform(9, 13), rng.uniform(32, 80)
    pitch, gap = rng.uniform(22, 42), rng.uniform(6, 18)
    for across in np.arange(-extent, extent + pitch, pitch):
        along = -extent - rng.uniform(0, length)
        while along < extent:
            width = length * rng.uniform(0.6, 1.3)
            if rng.random() < 0.15:
                along += width
                continue
            kind = rng.choice(["slab", "L", "tower"], p=[0.68, 0.17, 0.15])
            if kind == "slab":
                building = notched_rectangle(width, thickness)
            elif kind == "L":
                depth = min(pitch - 6, thickness * rng.uniform(1.6, 2.6))
                notch = (width - thickness, depth - thickness)
                building = notched_rectangle(width, depth, [None, None, notch, None])
            else:
                width = thickness * rng.uniform(1.2, 2.0)
                building = house(rng, width, thickness * 1.4)
            yield along + width / 2, across + rng.uniform(-3, 3), building
            along += width + gap * rng.uniform(0.8, 1.5)


def perimeter(rng: np.random.Generator, extent: float) -> Buildings:
    """Blocks built along their edges around courtyards."""
    width, depth = rng.uniform(55, 100), rng.uniform(45, 75)
    thickness, street = rng.uniform(10, 15), rng.uniform(13, 22)
    for across in np.arange(-extent, extent + depth, depth + street):
        along = -extent - rng.uniform(0, width)
        while along < extent:
            block_width = width * rng.uniform(0.7, 1.15)
            if rng.random() > 0.12:
                yield along + block_width / 2, across, perimeter_block(rng, block_width, depth, thickness)
            along += block_width + street


def halls(rng: np.random.Generator, extent: float) -> Buildings:
    """Large halls and schools with small annexes, far apart."""
    cell = rng.uniform(60, 105)
    for across in np.arange(-extent, extent + cell, cell):
        along = -extent - rng.uniform(0, cell)
        while along < extent:
            width, depth = cell * rng.uniform(0.3, 0.85), cell * rng.uniform(0.3, 0.75)
            shift = rng.uniform(-0.5, 0.5) * (cell - depth - 6)
            if rng.random() > 0.15:
                yield along + width / 2, across + shift, hall(rng, width, depth)
            if rng.random() < 0.6:
                small = rng.uniform(6, 16, 2)
                yield along + width * rng.random(), across + rng.choice([-0.45, 0.45]) * cell, house(rng, *small)
            along += max(width + rng.uniform(8, 20), cell * rng.uniform(0.6, 1.0))


def scattered(rng: np.random.Generator, extent: float) -> Buildings:
    """Isolated buildings of all sizes in the green."""
    cell = rng.uniform(28, 42)
    for across in np.arange(-extent, extent + cell, cell):
        for along in np.arange(-extent, extent + cell, cell):
            if rng.random() > 0.2:
                width, depth = rng.uniform(9, 0.75 * cell, 2)
                shift = rng.uniform(-0.15, 0.15, 2) * cell
                yield along + shift[0], across + shift[1], house(rng, width, depth)


KINDS: dict[str, Callable[[np.random.Generator, float], Buildings]] = {
    "detached": detached,
    "dense": dense,
    "slabs": slabs,
    "perimeter": perimeter,
    "halls": halls,
    "scattered": scattered,
}
FREQUENCIES = {"detached": 0.32, "dense": 0.1, "slabs": 0.18, "perimeter": 0.1, "halls": 0.2, "scattered": 0.1}


def _rows_of_houses(
    rng: np.random.Generator,
    extent: float,
    *,
    width: float,
    depth: float,
    gap: float,
    back: float,
    street: float,
    spread: float,
    vacancy: float,
    doubles: float,
    sheds: float,
) -> Buildings:
    """Rows along streets.

    `spread` is the relative spread of the sizes; shares of the lots: `vacancy` empty, `doubles` with a building of two
    houses, `sheds` with a small one behind the house (where there is room for it).
    """
    houses_a_block = rng.integers(5, 12)
    cross_street = rng.uniform(9, 16)
    for block in np.arange(-extent, extent + depth, 2 * depth + back + street):
        for row in (block, block + depth + back):
            along = -extent - rng.uniform(0, 2 * width)
            number = rng.integers(houses_a_block)
            while along < extent:
                house_width = width * (1 + spread * rng.uniform(-1, 1.6))
                if rng.random() < doubles:
                    house_width *= rng.uniform(1.6, 2.4)
                house_depth = depth * (1 - spread * rng.uniform(0, 1))
                # Houses stand at the street: the first row at its upper side, the second row at its lower side.
                towards_street = (depth - house_depth) / 2 * (-1 if row == block else 1)
                if rng.random() > vacancy:
                    yield along + house_width / 2, row + towards_street, house(rng, house_width, house_depth)
                if rng.random() < sheds:
                    behind = (depth + back) / 2 * (1 if row == block else -1) * rng.uniform(0.75, 1)
                    yield along + house_width * rng.random(), row + behind, house(rng, *rng.uniform(5, 10, 2))
                number += 1
                along += house_width + (cross_street if number % houses_a_block == 0 else gap)
