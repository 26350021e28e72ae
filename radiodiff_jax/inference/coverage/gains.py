"""Path gain of every site over an area, by a model or by the simulator.

Near a site stands what the model or the simulator says of a window around it (`Gains.known`). Beyond it stands what the model
says of cells of several metres, or else the path estimate, a formula; see `cells`.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from radiodiff_jax.images import Size
from radiodiff_jax.inference.coverage.cells import Image, Mask, Place, cell_of, far_gain, on_cells, path_estimate
from radiodiff_jax.inference.generator import MULTIPLE, Generator
from radiodiff_jax.inference.scene import check_scene
from radiodiff_jax.inference.windows import Window, blend, weights, windows
from radiodiff_jax.units import db_to_gain

BATCH = 4
"""Windows of the size of its training that a network is asked about at once; fewer of larger ones."""
LARGEST_CELL = 8
"""Metres of the largest cells that a network is asked about; few streets are wider than two of them."""
FORMULA = "the path estimate, a formula"
EXACT_WHOLE = 512
"""Metres: larger areas are simulated in windows, as a city takes 16 s at 512 m, and eight times as long at twice that."""
EXACT_WINDOW = 256


class Gains(NamedTuple):
    """What one site gives."""

    gain: Image
    """In [0, 1] (see `units`); 0 is no signal or inside a building."""
    known: Window
    """Where it is what the model or the simulator says of pixels, though blended with what lies beyond near its edge."""


class GainSource(Protocol):
    """Who says what path gain is."""

    name: str
    """For people."""
    digest: str | None
    """Of the weights."""

    def beyond(self, size: Size) -> str:
        """For people: what stands beyond `Gains.known` on an area of this size."""

    def check(self, buildings: Mask, places: Sequence[Place]) -> None:
        """Raise UserError for places that it cannot be asked about."""

    def __call__(self, buildings: Mask, places: Sequence[Place]) -> Iterator[Gains]:
        """One after the other, in order."""


class Level(NamedTuple):
    """Windows of which a network is asked about each site."""

    cell: int
    """Metres of a pixel of the windows."""
    window: Size
    """(height, width) in cells."""
    count: int
    """n x n windows that contain the site; of one the site is in the middle."""

    def grid(self, buildings: Mask) -> Mask:
        """The area that windows are cut out of, no smaller than a window; what is added is open ground."""
        found = on_cells(buildings, self.cell)
        return np.pad(found, [(0, max(0, side - own)) for side, own in zip(self.window, found.shape, strict=True)])

    def asked(self, grid: Size, place: Place) -> list[tuple[Place, Window]]:
        """(cell of the site, window) of each question about a site."""
        here = cell_of(place, self.cell)
        return [(here, cut) for cut in windows(grid, self.window, here, self.count)]

    def reaches(self, size: Size) -> bool:
        """Whether it answers for all of an area, wherever the site is."""
        return self.count == 1 and all(self.cell * own >= side for own, side in zip(self.window, size, strict=True))


@dataclass(frozen=True)
class ModelGains:
    """By a generator, asked about a window around each site, and about windows on larger and larger cells for what is farther.

    A window of twice the side of the training is as much work as 2 x 2 windows with the site in their corners, and better, as
    are larger cells than a formula; the guide has the figures.
    """

    model: Generator
    sides: int = 2
    """The window's side, in sides of the training: 1 or 2. A network that takes no other size than that of its training is
    asked about `sides` x `sides` windows that contain the site, in place of one that has it in its middle."""
    steps: int | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """The model's name."""
        return f"model {self.model.name}"

    @property
    def digest(self) -> str | None:
        """Of a model file's weights; None of a run's."""
        return (self.model.record or {}).get("digest")

    def beyond(self, size: Size) -> str:
        """For people: what stands beyond the windows of pixels on an area of this size."""
        *coarse, _ = levels = self.levels(size)
        cells = " and ".join(f"{level.cell} m" for level in reversed(coarse))
        formula = [] if levels[0].reaches(size) else [FORMULA]
        return ", then ".join(([f"the model on cells of {cells}"] if coarse else []) + formula)

    def check(self, buildings: Mask, places: Sequence[Place]) -> None:
        """Raise UserError unless the model may be asked about this scene, see `check_scene`."""
        for place in places:
            check_scene(self.model.name, self.model.config.data, buildings, place)

    def levels(self, size: Size) -> list[Level]:
        """Which windows it is asked about on an area of some size, the largest cells first, pixels last."""
        trained = self.model.config.image_size

        def within(sides: int) -> Size:
            return tuple(min(sides * own, side + -side % MULTIPLE) for own, side in zip(trained, size, strict=True))

        wide = self.model.fits(within(self.sides))
        found = [Level(1, within(self.sides), 1) if wide else Level(1, within(1), self.sides)]
        cell = self.sides if wide else 1
        while cell < LARGEST_CELL and any(cell * own < side for own, side in zip(trained, size, strict=True)):
            cell *= 2
            found.insert(0, Level(cell, trained, 1))
        return found

    def __call__(self, buildings: Mask, places: Sequence[Place]) -> Iterator[Gains]:
        """As `GainSource`; one compiled function for all windows of pixels and one for all windows of larger cells."""
        levels = self.levels(buildings.shape)
        grids = [level.grid(buildings) for level in levels]

        def ask(group: Sequence[Place]) -> list[list[Image]]:
            return [self._answer(grid, level.window, [one for place in group for one in level.asked(grid.shape, place)])
                    for level, grid in zip(levels, grids, strict=True)]  # fmt: skip

        groups = [places[start : start + BATCH] for start in range(0, len(places), BATCH)]
        for group, answers in zip(groups, ahead(ask, groups), strict=True):
            of_sites = [iter(found) for found in answers]
            for place in group:
                whole = levels[0].reaches(buildings.shape)
                under = np.zeros(buildings.shape, np.float32) if whole else path_estimate(buildings, place).copy()
                for level, grid, found in zip(levels[:-1], grids, of_sites, strict=False):
                    ((here, cut),) = level.asked(grid.shape, place)
                    gain = far_gain(next(found), cut_out(grid, here, cut), level.cell)
                    lay(under, tuple(slice(level.cell * side.start, level.cell * side.stop) for side in cut), gain)
                near, padded = levels[-1], grids[-1]
                mine = {_corner(cut): next(of_sites[-1]) for _, cut in near.asked(padded.shape, place)}
                yield stitched(buildings, under, padded.shape, place, near.window, near.count, mine)

    def _answer(self, buildings: Mask, window: Size, asked: Sequence[tuple[Place, Window]]) -> list[Image]:
        model, found = self.model.for_size(window), []
        at_once = max(1, min(BATCH, BATCH * math.prod(self.model.config.image_size) // math.prod(window)))
        for start in range(0, len(asked), at_once):
            some = list(asked[start : start + at_once])
            full = some + some[-1:] * (at_once - len(some))  # one size of batch, one compilation
            cuts = np.stack([cut_out(buildings, *one) for one in full])
            batch = {"buildings": cuts, "position": np.array([_inside(place, cut) for place, cut in full], np.int32)}
            if self.model.config.data.observed is not None:  # such models also take no measurements
                batch |= {"observed": np.zeros_like(cuts), "gain": np.zeros(cuts.shape, np.uint8)}
            found += list(model.predict_batch(batch, self.steps, self.seed)[: len(some)])
        return found


@dataclass(frozen=True)
class ExactGains:
    """By the simulator: the whole area up to 512 m a side, else windows of 256 m around the sites."""

    name: str = "simulator (dominant path model)"
    digest: str | None = None

    def beyond(self, size: Size) -> str:
        """For people: what stands beyond its windows."""
        return FORMULA

    def check(self, buildings: Mask, places: Sequence[Place]) -> None:
        """The simulator takes every scene."""

    def __call__(self, buildings: Mask, places: Sequence[Place]) -> Iterator[Gains]:
        """As `GainSource`; a window takes seconds to prepare, each site then a tenth of one."""
        from radiodiff_jax.simulation import path_gain_db, prepare  # numba takes a second to load

        def simulate(prepared, place: Place) -> Image:
            gain = db_to_gain(path_gain_db(prepared, *place)).clip(0, 1).astype(np.float32)
            gain[place] = 1
            return gain

        if max(buildings.shape) <= EXACT_WHOLE:
            prepared = prepare(buildings)
            for place in places:
                yield Gains(simulate(prepared, place), _whole(buildings.shape))
            return
        window = tuple(min(EXACT_WINDOW, side) for side in buildings.shape)
        for place in places:
            (cut,) = windows(buildings.shape, window, place, 1)
            answer = simulate(prepare(buildings[cut]), _inside(place, cut))
            under = path_estimate(buildings, place)
            yield stitched(buildings, under, buildings.shape, place, window, 1, {_corner(cut): answer})


def ahead(work: Callable[[Any], Any], arguments: Sequence[Any]) -> Iterator[Any]:
    """`work(argument)` of each in turn, made by two threads while the caller is busy with those before.

    Two at once: a network alone leaves two cores idle for a quarter of the time, between its larger parts.
    """
    yield from map(work, arguments[:1])  # by itself, so that what it compiles is compiled once
    pool = ThreadPoolExecutor(2)
    try:
        waiting: deque[Future] = deque()
        for argument in arguments[1:]:
            waiting.append(pool.submit(work, argument))
            if len(waiting) > 2:
                yield waiting.popleft().result()
        yield from (one.result() for one in waiting)
    finally:
        pool.shutdown(cancel_futures=True)


def cut_out(grid: Mask, here: Place, cut: Window) -> Mask:
    """A window of a mask, free where the site is: it may stand in a cell that is building by more than half."""
    found = grid[cut].copy()
    found[_inside(here, cut)] = False
    return found


def lay(under: Image, cut: Window, gain: Image) -> None:
    """Lay the gain of a window, which may reach over the area's edge, on what is there, blended near its other edges."""
    inside = tuple(slice(side.start, min(side.stop, own)) for side, own in zip(cut, under.shape, strict=True))
    weight, size = weights(under.shape, inside), under[inside].shape
    under[inside] = weight * gain[: size[0], : size[1]] + (1 - weight) * under[inside]


def stitched(
    buildings: Mask, under: Image, padded: Size, place: Place, window: Size, count: int, answers: dict[Place, Image]
) -> Gains:
    """One map of the answers to count x count windows (by their upper left corners) of an area of size `padded`, over `under`."""
    size = buildings.shape
    chosen = list(windows(padded, window, place, count))
    known = tuple(
        slice(min(cut[axis].start for cut in chosen), min(size[axis], max(cut[axis].stop for cut in chosen)))
        for axis in (0, 1)
    )
    if known == _whole(size) and len(chosen) == 1:
        gain = answers[_corner(chosen[0])][: size[0], : size[1]]
        return Gains(np.where(buildings, 0, gain).astype(np.float32), known)
    under = np.pad(under, [(0, more - own) for more, own in zip(padded, size, strict=True)])
    found = blend(lambda cut: answers[_corner(cut)][..., None], under[..., None], window, place, count)[..., 0]
    return Gains(np.where(buildings, 0, found[: size[0], : size[1]]).clip(0, 1).astype(np.float32), known)


def _corner(cut: Window) -> Place:
    return cut[0].start, cut[1].start


def _inside(place: Place, cut: Window) -> Place:
    return place[0] - cut[0].start, place[1] - cut[1].start


def _whole(size: Size) -> Window:
    return slice(0, size[0]), slice(0, size[1])


