"""Straight lines and shortest ways from the transmitter to every pixel, on the device.

All functions are pure, batched and compiled with what uses them; lengths are in metres (one pixel is one metre).
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from radiodiff_jax.propagation import bend_loss_db

MOST_BENDS_LOG2 = 4
"""Further bends of a way than 2^4 are not counted."""
STEPS = tuple(
    (down, across)
    for down in range(-2, 3)
    for across in range(-2, 3)
    if (abs(down), abs(across)) in {(0, 1), (1, 0), (1, 1), (1, 2), (2, 1)}
)
"""The steps (rows, columns) to 16 neighbours: straight, diagonal and a chess knight's; 2.7 % too long at most."""
WALL_FACTOR = 10.0
"""A step that is not open counts as so many times its length."""
FAR = 1e6
"""Longer than any way, in metres."""
TOLERANCE = 0.5
"""Metres by which a straight way may seem longer than on free ground; fits simulated training cities best (seed 0)."""
TIE = 1e-3
"""Weight of the distance to the transmitter between steps that are equally short."""


class Rays(NamedTuple):
    """What lies on the straight line from the transmitter to each pixel."""

    walls: Int[Array, "batch height width"]
    """How often the line enters a building."""
    metres: Float[Array, "batch height width"]
    """Length inside buildings."""
    before: Float[Array, "batch height width"]
    """Length up to the first building; the whole line where there is none."""
    after: Float[Array, "batch height width"]
    """Length behind the last building; the whole line where there is none."""

    @property
    def in_sight(self) -> Bool[Array, "batch height width"]:
        """Whether the line misses every building pixel; false inside buildings."""
        return self.walls == 0


class Ways(NamedTuple):
    """The shortest way around the buildings from the transmitter to each pixel; in a building, to where it is entered.

    A pixel that no way reaches (a courtyard) gets a way through the buildings, with ten times the length inside them.
    """

    length: Float[Array, "batch height width"]
    bends_db: Float[Array, "batch height width"]
    """Loss of the bends of the way; 0 in sight."""
    cosine: Float[Array, "batch height width"]
    """Of the angle between the way's last straight piece and the straight line from the transmitter; 1 in sight."""
    open: Bool[Array, "batch height width"]
    """Whether the way stays outside of buildings."""
    entrance: Int[Array, "batch height*width"]
    """Index (row * width + column) of the outdoor pixel where a building is entered; outdoors, of the pixel itself."""


def offsets(
    position: Int[Array, "batch 2"], size: tuple[int, int]
) -> tuple[Float[Array, "batch height 1"], Float[Array, "batch 1 width"]]:
    """Rows and columns from the transmitter to each pixel, float32."""
    row, column = position[:, 0, None, None], position[:, 1, None, None]
    down = jnp.arange(size[0], dtype=jnp.float32)[None, :, None] - row.astype(jnp.float32)
    across = jnp.arange(size[1], dtype=jnp.float32)[None, None, :] - column.astype(jnp.float32)
    return down, across


def cast_rays(buildings: Bool[Array, "batch height width"], position: Int[Array, "batch 2"]) -> Rays:
    """Look along the straight line from the transmitter to every pixel, once a pixel of the image's longer side."""
    batch, height, width = buildings.shape
    count = max(height, width)
    down, across = offsets(position, (height, width))
    row, column = (position[:, axis, None, None].astype(jnp.float32) for axis in (0, 1))
    flat = buildings.reshape(batch, -1)

    def look(carry: tuple, number: Array) -> tuple[tuple, None]:
        inside, walls, hits, first, last = carry
        share = (number + 0.5) / count
        y = jnp.round(row + share * down).astype(jnp.int32)
        x = jnp.round(column + share * across).astype(jnp.int32)
        here = jnp.take_along_axis(flat, (y * width + x).reshape(batch, -1), axis=1).reshape(buildings.shape)
        here = lax.optimization_barrier(here)  # looked up once, not once for each of the five results
        first = jnp.where(here, jnp.minimum(first, number), first)
        return (here, walls + (here & ~inside), hits + here, first, jnp.where(here, number, last)), None

    zero = jnp.zeros(buildings.shape, jnp.int32)
    none = zero.astype(jnp.float32)
    start = (jnp.zeros(buildings.shape, bool), zero, zero, none + count, none - 1)
    (_, walls, hits, first, last), _ = lax.scan(look, start, jnp.arange(count, dtype=jnp.float32))
    distance = jnp.sqrt(jnp.square(down) + jnp.square(across))
    return Rays(walls, hits / count * distance, first / count * distance, (count - 1 - last) / count * distance)


def way_lengths(
    buildings: Bool[Array, "batch height width"], start: Float[Array, "batch height width"]
) -> Float[Array, "batch height width"]:
    """The least of `start` at some pixel plus the way from there, over a graph of 16 neighbours, at every pixel.

    A step is open if both ends are outdoors and, of the two pixels beside a diagonal's or a knight's step, one is; any
    other step counts ten-fold.
    """
    # All pixels at once until nothing changes (57 passes at 64 x 64, 155 at 256 x 256). Measured against passes that
    # also try two, four or eight equal steps in a row: half as many, but no less work. Sweeps row by row are a thousand
    # small operations each, every one a launch on a GPU.
    closed = lax.optimization_barrier(_closed_steps(buildings))

    def relax(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        lengths, _, count = state
        shorter = lengths
        for bit, (down, across) in enumerate(STEPS):
            shorter = jnp.minimum(shorter, _shifted(lengths, down, across, FAR) + _step_lengths(closed, bit))
        return shorter, jnp.any(shorter < lengths), count + 1

    bound = buildings.shape[1] * buildings.shape[2]
    state = (start, jnp.bool_(True), jnp.int32(0))
    return lax.while_loop(lambda state: state[1] & (state[2] < bound), relax, state)[0]


def shortest_ways(
    buildings: Bool[Array, "batch height width"],
    position: Int[Array, "batch 2"],
    in_sight: Bool[Array, "batch height width"],
) -> Ways:
    """The shortest ways: straight to every pixel in sight, and on from there over a graph of 16 neighbours.

    The graph's way is then drawn tight: from each pixel back to the farthest pixel on its way that the graph's metric
    cannot tell from straight ahead, and from there again. The bends' angles and the length are those of this polyline.
    """
    batch, height, width = buildings.shape
    down, across = offsets(position, (height, width))
    distance = jnp.sqrt(jnp.square(down) + jnp.square(across))
    ends = in_sight | (distance == 0)
    graph = way_lengths(buildings, jnp.where(ends, distance, FAR))
    here = jnp.broadcast_to(jnp.arange(height * width, dtype=jnp.int32), (batch, height * width))
    flat_ends, flat_buildings, flat_graph = (image.reshape(batch, -1) for image in (ends, buildings, graph))
    parent = jnp.where(flat_ends, here, here + _way_back(graph, buildings, distance).reshape(batch, -1))

    # Pointer jumping, one pass after the other: unrolled, the compiler nests the look-ups and does each many times.
    rounds = math.ceil(math.log2(2 * (height + width)))
    _, ancestors = lax.scan(lambda index, _: (_at(index, index), index), parent, length=rounds)
    source = position[:, :1] * width + position[:, 1:]
    bend = jnp.where(flat_ends, source, _last_bend(ancestors, flat_graph, width))
    piece, previous = _vector(bend, here, width), _vector(_at(bend, bend), bend, width)
    bends_db = jnp.where(flat_ends, 0, bend_loss_db(jnp.rad2deg(_angle(piece, previous))))
    cosine = jnp.where(flat_ends, 1, jnp.cos(_angle(piece, _vector(source, here, width))))

    def add_up(_: int, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        length, loss, jump = state
        return length + _at(length, jump), loss + _at(loss, jump), _at(jump, jump)

    length, bends_db, _ = lax.fori_loop(0, MOST_BENDS_LOG2, add_up, (jnp.hypot(*piece), bends_db, bend))
    closed, _ = lax.scan(lambda closed, back: (closed | _at(closed, back), None), flat_buildings, ancestors)
    entrance = jnp.where(flat_buildings, parent, here)
    entrance = lax.fori_loop(0, rounds, lambda _, index: _at(index, index), entrance)
    length = jnp.where(closed, flat_graph, length)
    inside = jnp.hypot(*_vector(entrance, here, width))
    images = (_at(length, entrance) + inside, *(_at(values, entrance) for values in (bends_db, cosine, ~closed)))
    return Ways(*(image.reshape(buildings.shape) for image in images), entrance)


def _shifted(image: Array, down: int, across: int, outside: float | int | bool) -> Array:
    """What stands `down` rows and `across` columns before each pixel of a batch of images."""
    margin = max(abs(down), abs(across))
    _, height, width = image.shape
    padded = jnp.pad(image, ((0, 0), (margin, margin), (margin, margin)), constant_values=outside)
    return padded[:, margin - down : margin - down + height, margin - across : margin - across + width]


def _closed_steps(buildings: Array) -> Array:
    """One bit a step, int32: set where the step that ends in this pixel is not open."""
    closed = jnp.zeros(buildings.shape, jnp.int32)
    for bit, (down, across) in enumerate(STEPS):
        blocked = buildings | _shifted(buildings, down, across, True)
        for beside, other in _pixels_beside(down, across):
            blocked |= _shifted(buildings, *beside, True) & _shifted(buildings, *other, True)
        closed |= blocked.astype(jnp.int32) << bit
    return closed


def _pixels_beside(down: int, across: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The two pixels that a step passes between, as steps back from its end; none for a straight step."""
    one, other = int(np.sign(down)), int(np.sign(across))
    if not one or not other:
        return []
    if abs(down) == abs(across):
        return [((one, 0), (0, other))]
    return [((one, other), (0, other) if abs(across) == 2 else (one, 0))]


def _step_lengths(closed: Array, bit: int) -> Array:
    """Length of a step into each pixel, ten-fold where it is not open."""
    length = np.float32(math.hypot(*STEPS[bit]))
    return jnp.where(closed & (1 << bit) != 0, WALL_FACTOR * length, length)


def _way_back(lengths: Array, buildings: Array, distance: Array) -> Array:
    """The step to each pixel on its shortest way, as a difference of indices, int32.

    Of steps that are equally short, the one from nearest to the transmitter: so the choice turns with the scene.
    """
    closed, width = lax.optimization_barrier(_closed_steps(buildings)), lengths.shape[2]
    least = jnp.full(lengths.shape, jnp.inf)
    back = jnp.zeros(lengths.shape, jnp.int32)
    key = lax.optimization_barrier(lengths + TIE * distance)
    for bit, (down, across) in enumerate(STEPS):
        there = _shifted(key, down, across, 2 * FAR) + _step_lengths(closed, bit)
        back = jnp.where(there < least, -(down * width + across), back)
        least = jnp.minimum(least, there)
    return back


def _last_bend(ancestors: Array, lengths: Array, width: int) -> Array:
    """The farthest pixel back on each pixel's way (flat indices) from which the graph's way is as on free ground.

    `ancestors[k]` is the pixel 2^k steps back; found bit by bit, as every piece of a straight way is straight.
    """
    here = jnp.broadcast_to(jnp.arange(lengths.shape[1], dtype=jnp.int32), lengths.shape)

    def go_back(bend: Array, ancestor: Array) -> tuple[Array, None]:
        candidate = _at(ancestor, bend)
        straight = lengths - _at(lengths, candidate) <= _free_length(*_vector(candidate, here, width)) + TOLERANCE
        return jnp.where(straight, candidate, bend), None

    bend, _ = lax.scan(go_back, here, ancestors, reverse=True)
    return jnp.where(bend == here, ancestors[0], bend)


def _free_length(rows: Array, columns: Array) -> Array:
    """Length of a way over the graph where nothing stands."""
    rows, columns = jnp.abs(rows), jnp.abs(columns)
    longer, shorter = jnp.maximum(rows, columns), jnp.minimum(rows, columns)
    one, diagonal, knight = 1.0, math.sqrt(2), math.sqrt(5)
    flat, steep = one * longer + (knight - 2 * one) * shorter, (knight - diagonal) * longer
    return jnp.maximum(flat, steep + (2 * diagonal - knight) * shorter)


def _at(values: Array, index: Array) -> Array:
    return jnp.take_along_axis(values, index, axis=1)


def _vector(start: Array, end: Array, width: int) -> tuple[Array, Array]:
    """Rows and columns between pixels given by flat indices, float32."""
    return (end // width - start // width).astype(jnp.float32), (end % width - start % width).astype(jnp.float32)


def _angle(one: tuple[Array, Array], other: tuple[Array, Array]) -> Array:
    """Angle between two vectors in radians, 0 to pi; 0 if one of them is zero."""
    return jnp.atan2(jnp.abs(one[0] * other[1] - one[1] * other[0]), one[0] * other[0] + one[1] * other[1])
