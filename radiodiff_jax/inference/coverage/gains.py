"""Path gain of every site over an area, by a model or by the simulator.

Near a site stands what the model or the simulator says of a window around it. Beyond the window stands the path estimate, a
formula, computed on cells of 3 or 4 m where the area is larger than 512 m; `Gains.known` tells the two apart.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import zoom

from radiodiff_jax.features import Scene, path_gain
from radiodiff_jax.images import Size
from radiodiff_jax.inference.generator import MULTIPLE, Generator
from radiodiff_jax.inference.scene import check_scene
from radiodiff_jax.inference.windows import Window, blend, windows
from radiodiff_jax.paths import Rays
from radiodiff_jax.units import db_to_gain

Mask = Bool[np.ndarray, "height width"]
Image = Float[np.ndarray, "height width"]
Place = tuple[int, int]
"""(row, column)."""

BATCH = 4
"""Windows of the size of its training that a network is asked about at once; fewer of larger ones."""
EXACT_WHOLE = 512
"""Metres: larger areas are simulated in windows, as a city takes 16 s at 512 m, and eight times as long at twice that."""
EXACT_WINDOW = 256
FINE_UP_TO = 512
"""Metres: the path estimate of larger areas is computed on cells, at most `ESTIMATE_GRID` a side while these have no more
than `LARGEST_CELL` metres. On cells of 4 m it takes 0.4 s of a core for 1 x 1 km, pixel by pixel 14 s."""
ESTIMATE_GRID, LARGEST_CELL = 256, 4


class Gains(NamedTuple):
    """What one site gives."""

    gain: Image
    """In [0, 1] (see `units`); 0 is no signal or inside a building."""
    known: Window
    """Where it is what the model or the simulator says, though blended with the path estimate near this window's edge."""


class GainSource(Protocol):
    """Who says what path gain is."""

    name: str
    """For people."""
    digest: str | None
    """Of the weights."""

    def check(self, buildings: Mask, places: Sequence[Place]) -> None:
        """Raise UserError for places that it cannot be asked about."""

    def __call__(self, buildings: Mask, places: Sequence[Place]) -> Iterator[Gains]:
        """One after the other, in order."""


@dataclass(frozen=True)
class ModelGains:
    """By a generator, asked about a window around each site.

    Of twice the side of its training one pass is as much work as 2 x 2 windows of that side with the site in their corners,
    and better: on nine simulated cities of 512 x 512 m with eight sites each RMSE ??? instead of ??? dB.
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

    def check(self, buildings: Mask, places: Sequence[Place]) -> None:
        """Raise UserError unless the model may be asked about this scene, see `check_scene`."""
        for place in places:
            check_scene(self.model.name, self.model.config.data, buildings, place)

    def windows(self, size: Size) -> tuple[Size, int]:
        """(height, width) of the windows on an area of some size, in whole cells and no larger than it, and how many a side."""

        def within(sides: int) -> Size:
            trained = self.model.config.image_size
            return tuple(min(sides * own, side + -side % MULTIPLE) for own, side in zip(trained, size, strict=True))

        whole = within(self.sides)
        return (whole, 1) if self.model.fits(whole) else (within(1), self.sides)

    def __call__(self, buildings: Mask, places: Sequence[Place]) -> Iterator[Gains]:
        """As `GainSource`; one compiled function for all windows."""
        window, count = self.windows(buildings.shape)
        more = [(0, max(0, side - own)) for side, own in zip(window, buildings.shape, strict=True)]
        padded = np.pad(buildings, more)  # open ground
        groups = [places[start : start + BATCH] for start in range(0, len(places), BATCH)]
        asked = [[(place, cut) for place in group for cut in windows(padded.shape, window, place, count)] for group in groups]
        answers_of = one_ahead(partial(self._answer, padded, window), asked)
        for group, cuts, answers in zip(groups, asked, answers_of, strict=True):
            for place in group:
                mine = {_corner(cut): answer for (one, cut), answer in zip(cuts, answers, strict=True) if one == place}
                yield stitched(buildings, padded, place, window, count, mine)

    def _answer(self, buildings: Mask, window: Size, asked: Sequence[tuple[Place, Window]]) -> list[Image]:
        model, found = self.model.for_size(window), []
        at_once = max(1, min(BATCH, BATCH * math.prod(self.model.config.image_size) // math.prod(window)))
        for start in range(0, len(asked), at_once):
            some = list(asked[start : start + at_once])
            full = some + some[-1:] * (at_once - len(some))  # one size of batch, one compilation
            cuts = np.stack([buildings[cut] for _, cut in full])
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
            yield stitched(buildings, buildings, place, window, 1, {_corner(cut): answer})


def one_ahead(work: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
    """`work(argument)` of each in turn; a thread makes the next while the caller is busy with one."""
    pool = ThreadPoolExecutor(1)
    try:
        waiting: deque[Future] = deque()
        for argument in arguments:
            waiting.append(pool.submit(work, argument))
            if len(waiting) > 1:
                yield waiting.popleft().result()
        yield from (one.result() for one in waiting)
    finally:
        pool.shutdown(cancel_futures=True)


def stitched(
    buildings: Mask, padded: Mask, place: Place, window: Size, count: int, answers: dict[Place, Image]
) -> Gains:
    """One map of the answers to count x count windows (by their upper left corners) of `padded`, over the path estimate."""
    size = buildings.shape
    chosen = list(windows(padded.shape, window, place, count))
    known = tuple(
        slice(min(cut[axis].start for cut in chosen), min(size[axis], max(cut[axis].stop for cut in chosen)))
        for axis in (0, 1)
    )
    if known == _whole(size) and len(chosen) == 1:
        gain = answers[_corner(chosen[0])][: size[0], : size[1]]
        return Gains(np.where(buildings, 0, gain).astype(np.float32), known)
    under = np.pad(path_estimate(buildings, place), [(0, more - own) for more, own in zip(padded.shape, size, strict=True)])
    found = blend(lambda cut: answers[_corner(cut)][..., None], under[..., None], window, place, count)[..., 0]
    return Gains(np.where(buildings, 0, found[: size[0], : size[1]]).clip(0, 1).astype(np.float32), known)


def path_estimate(buildings: Mask, place: Place) -> Image:
    """Gain in [0, 1] by the best formula without training (see `features.path_gain`), float32; not blanked in buildings.

    Pixel by pixel up to 512 m a side, else on cells of 3 or 4 m; a cell is building where half of it is.
    """
    longest = max(buildings.shape)
    cell = 1 if longest <= FINE_UP_TO else min(LARGEST_CELL, -(-longest // ESTIMATE_GRID))
    height, width = buildings.shape
    whole = np.pad(buildings, [(0, -side % cell) for side in buildings.shape])
    coarse = whole.reshape(whole.shape[0] // cell, cell, whole.shape[1] // cell, cell).mean(axis=(1, 3)) >= 0.5
    here = (place[0] // cell, place[1] // cell)
    coarse[here] = False
    found = np.asarray(_estimate(cell, coarse[None], np.array([here], np.int32)))[0]
    if cell > 1:
        found = zoom(found, cell, order=1, mode="nearest", grid_mode=True)
    return found[:height, :width]


@partial(jax.jit, static_argnums=0)
def _estimate(cell: int, buildings: jax.Array, position: jax.Array) -> jax.Array:
    scene = Scene(buildings, position)
    rays, ways = scene.rays, scene.ways
    # The scene's lengths are in cells; what follows from them is wanted of metres.
    scene.rays = Rays(rays.walls, rays.metres * cell, rays.before * cell, rays.after * cell)
    scene.ways = ways._replace(length=ways.length * cell)
    scene.squared_distance = scene.squared_distance * cell**2
    return path_gain(scene)


def _corner(cut: Window) -> Place:
    return cut[0].start, cut[1].start


def _inside(place: Place, cut: Window) -> Place:
    return place[0] - cut[0].start, place[1] - cut[1].start


def _whole(size: Size) -> Window:
    return slice(0, size[0]), slice(0, size[1])


