"""Procedural cities: districts of different fabric, turned and bent, cut by streets; polygons known exactly."""

from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import binary_dilation, distance_transform_edt

from radiodiff_jax.simulation.cities.districts import FREQUENCIES, KINDS
from radiodiff_jax.simulation.cities.ground_plans import Footprint, hall, placed
from radiodiff_jax.simulation.cities.polygons import Ring, rasterise

MARGIN = 128  # metres around the picture, so that buildings across its border are known whole
CLEARANCE = 2  # pixels between buildings, at least
DENSITY = (0.13, 0.4)  # share of building pixels, as in real maps
ROOM = 0.1  # share of pixels that lie 3 pixels or more from buildings, at least
ATTEMPTS = 100
OPEN_DISTRICT = 0.18  # probability that a district beside others is left open
REFERENCE_AREA = 256.0**2  # square metres that the next two numbers, means of Poisson laws, belong to
PARKS = 0.7
LANDMARKS = 2.5


@dataclass(frozen=True)
class City:
    """A city: the mask, the rings that it was rasterised from (they may leave the picture), the kind of fabric."""

    buildings: Bool[np.ndarray, "height width"]
    polygons: list[Ring]
    kind: str


@dataclass(frozen=True)
class _Park:
    """A round place without buildings."""

    middle: Float[np.ndarray, " 2"]
    radius: float


@dataclass(frozen=True)
class _Street:
    """A straight main street: districts on either side keep `half_width` metres from its middle line."""

    point: Float[np.ndarray, " 2"]
    normal: Float[np.ndarray, " 2"]
    half_width: float

    def side(self, points: Float[np.ndarray, "points 2"]) -> int:
        """1 or -1 where all points lie on one side, clear of the street; otherwise 0."""
        distances = (points - self.point) @ self.normal
        if np.all(distances > self.half_width):
            return 1
        return -1 if np.all(distances < -self.half_width) else 0


def city(seed: int, height: int, width: int) -> City:
    """A procedural city of height x width metres (1 pixel = 1 m); the same arguments give the same city.

    Small sizes are windows of such a city. Cities without buildings, overbuilt ones and ones that leave no room for
    transmitters are drawn again.
    """
    rng = np.random.default_rng(seed)
    for _ in range(ATTEMPTS):
        drawn = _draw(rng, height, width)
        if is_usual(drawn.buildings):
            break
    return drawn


def is_usual(buildings: Bool[np.ndarray, "height width"]) -> bool:
    """Whether a mask is built over neither too little nor too much, and leaves room for transmitters."""
    buildings = np.asarray(buildings) != 0
    room = np.mean(distance_transform_edt(~buildings) >= 3)
    return bool(DENSITY[0] <= buildings.mean() <= DENSITY[1] and room >= ROOM)


def _draw(rng: np.random.Generator, height: int, width: int) -> City:
    size = np.array([height, width])
    area = height * width / REFERENCE_AREA
    streets = [_street(rng, size) for _ in range(rng.binomial(3, min(0.45, 0.45 * np.sqrt(area))))]
    parks = [_Park(rng.random(2) * size, rng.uniform(15, 45)) for _ in range(rng.poisson(PARKS * area))]
    site = _Site(height, width, parks)
    base_angle = rng.uniform(0, np.pi / 2)
    for _ in range(rng.poisson(LANDMARKS * area)):
        landmark = hall(rng, rng.uniform(28, 110), rng.uniform(16, 65))
        angle = base_angle + rng.choice([0, np.pi / 2]) + rng.normal(0, 0.1)
        site.try_to_build(placed(landmark, *(rng.random(2) * size), angle))
    kinds = set()
    for sides in product((-1, 1), repeat=len(streets)):
        if streets and rng.random() < OPEN_DISTRICT:
            continue
        kind = str(rng.choice(list(FREQUENCIES), p=list(FREQUENCIES.values())))
        angle = base_angle + (0 if rng.random() < 0.5 else rng.uniform(-0.6, 0.6))
        if _build(rng, site, kind, angle, list(zip(streets, sides, strict=True))):
            kinds.add(kind)
    kind = kinds.pop() if len(kinds) == 1 else "mixed"
    return City(rasterise(site.rings, height, width), site.rings, kind)


def _street(rng: np.random.Generator, size: np.ndarray) -> _Street:
    angle = rng.uniform(0, np.pi)
    normal = np.array([np.sin(angle), np.cos(angle)])
    return _Street(rng.uniform(0.2, 0.8, 2) * size, normal, rng.uniform(4, 12))


def _build(rng: np.random.Generator, site: "_Site", kind: str, angle: float, bounds: list[tuple[_Street, int]]) -> bool:
    """Build what fits of one district; whether anything does."""
    extent = np.hypot(*site.size) / 2 + 40
    curved = kind in ("detached", "dense", "slabs") and rng.random() < 0.35
    radius = rng.uniform(170, 500) * rng.choice([-1, 1]) if curved else np.inf
    middle = site.size * rng.uniform(0.3, 0.7, 2)
    before = len(site.rings)
    for along, across, footprint in KINDS[kind](rng, extent):
        if curved and abs(across) > 0.8 * abs(radius):
            continue
        bend = along / radius
        if curved:  # streets become arcs around (radius) across; buildings stay rigid
            along, across = (radius - across) * np.sin(bend), radius - (radius - across) * np.cos(bend)
        row = middle[0] + along * np.sin(angle) + across * np.cos(angle)
        column = middle[1] + along * np.cos(angle) - across * np.sin(angle)
        building = placed(footprint, row, column, angle + bend + rng.normal(0, 0.01))
        if all(street.side(building[0]) == side for street, side in bounds):
            site.try_to_build(building)
    return len(site.rings) > before


class _Site:
    """The ground that is not to be built on, and the rings built so far."""

    def __init__(self, height: int, width: int, parks: list[_Park]):
        self.size = np.array([height, width])
        self.parks = parks
        self.rings: list[Ring] = []
        self._taken = np.zeros((height + 2 * MARGIN, width + 2 * MARGIN), bool)

    def try_to_build(self, building: Footprint) -> None:
        """Add a building that meets the picture, unless it comes too near to another."""
        low = np.floor(building[0].min(axis=0)).astype(int) - CLEARANCE - 1
        high = np.ceil(building[0].max(axis=0)).astype(int) + CLEARANCE + 2
        if np.any(high <= 0) or np.any(low >= self.size):
            return
        if np.any(low < -MARGIN) or np.any(high > self.size + MARGIN):
            return
        if any(np.any(np.hypot(*(building[0] - park.middle).T) < park.radius) for park in self.parks):
            return
        plan = rasterise([ring - low for ring in building], *(high - low))
        ground = self._taken[tuple(slice(*span) for span in zip(low + MARGIN, high + MARGIN, strict=True))]
        if not np.any(ground & binary_dilation(plan, iterations=CLEARANCE)):
            ground |= plan
            self.rings += building
