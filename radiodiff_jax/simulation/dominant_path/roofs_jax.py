"""Paths over the roofs in JAX: the rules of `roofs_numba.py`."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from radiodiff_jax.simulation.dominant_path.constants import (
    ARRIVAL_BINS,
    FAR,
    SAMPLES_PER_PIXEL,
    SHORTEST_CROSSING,
    DominantPathConstants,
)
from radiodiff_jax.simulation.dominant_path.ground_jax import bend_loss, law_of_distance, unit_vectors


class RoofCrossings(NamedTuple):
    """The straight lines between roof points [from, to]."""

    along: Float[Array, "points points"]  # metres
    direction: Float[Array, "points points 2"]
    loss: Float[Array, "points points"]  # dB of the crossing itself, `FAR` where there is none
    arrival: Int[Array, "points points"]  # azimuth bin


def roof_crossings(
    points: Float[Array, "points 2"], is_point: Bool[Array, " points"], buildings: Bool[Array, "height width"],
    constants: DominantPathConstants,
) -> RoofCrossings:  # fmt: skip
    """What the paths over the roofs have in common for all transmitters."""
    along, direction = unit_vectors(points[None] - points[:, None])
    gaps = jnp.maximum(_buildings_crossed(points, buildings) - 1, 0)
    usable = (along >= SHORTEST_CROSSING) & is_point[:, None] & is_point
    loss = constants.roof_loss_per_metre * along + constants.roof_gap_loss * gaps
    azimuth = jnp.arctan2(direction[..., 0], direction[..., 1])
    arrival = jnp.floor((azimuth + np.pi) / (2 * np.pi) * ARRIVAL_BINS).astype(jnp.int32) % ARRIVAL_BINS
    return RoofCrossings(along, direction, jnp.where(usable, loss, FAR), arrival)


def _buildings_crossed(points: Float[Array, "points 2"], buildings: Bool[Array, "height width"]) -> Int[Array, "points points"]:
    """Separate buildings that the lines between all pairs of points cross; sampled from the later to the earlier."""
    height, width = buildings.shape
    index = jnp.arange(len(points))
    later = (index[:, None] >= index)[..., None]
    start = jnp.where(later, points[:, None], points[None])
    delta = jnp.where(later, points[None], points[:, None]) - start
    samples = jnp.floor(jnp.sqrt(jnp.sum(delta**2, axis=-1)) * SAMPLES_PER_PIXEL) + 1

    def sample(k, state):
        count, was_inside = state
        place = start + delta * k / samples[..., None] + 0.5
        row = jnp.clip(place[..., 0].astype(jnp.int32), 0, height - 1)
        column = jnp.clip(place[..., 1].astype(jnp.int32), 0, width - 1)
        inside = buildings[row, column] & (k < samples)
        return count + (inside & ~was_inside), inside

    state = jnp.zeros(samples.shape, jnp.int32), jnp.zeros(samples.shape, bool)
    return jax.lax.fori_loop(1, jnp.max(samples).astype(jnp.int32), sample, state)[0]


def roof_paths(
    place: Float[Array, " 2"],
    visible: Bool[Array, " points"],
    points: Float[Array, "points 2"],
    crossings: RoofCrossings,
    constants: DominantPathConstants,
) -> Float[Array, "points bins 4"]:
    """The best paths to each roof point over one other that the transmitter sees, by azimuth bin of arrival.

    The last axis holds the length in metres, all losses in dB but the law of distance (`FAR` where there is no path),
    and the unit vector of arrival.
    """
    horizontal, incoming = unit_vectors(points - place)
    horizontal = jnp.maximum(horizontal, 0.5)
    slant = jnp.sqrt(horizontal**2 + constants.roof_height**2)
    flat = jnp.sum(incoming[:, None] * crossings.direction, axis=-1)
    extra = bend_loss(flat * (horizontal / slant)[:, None], constants) + crossings.loss
    length = slant[:, None] + crossings.along
    loss = jnp.where(visible[:, None] & (crossings.loss < FAR), law_of_distance(length, constants) + extra, FAR)

    def of_bin(arrival):
        here = jnp.where(crossings.arrival == arrival, loss, FAR)
        over, to = jnp.argmin(here, axis=0), jnp.arange(len(points))
        found = jnp.where(here[over, to] < FAR, extra[over, to], FAR)
        return jnp.stack([length[over, to], found, *crossings.direction[over, to].T], axis=-1)

    return jax.lax.map(of_bin, jnp.arange(ARRIVAL_BINS)).swapaxes(0, 1)


def roof_loss(
    known: Float[Array, "transmitters members bins 4"],
    delta: Float[Array, "members receivers 2"],
    constants: DominantPathConstants,
) -> Float[Array, "transmitters members receivers"]:
    """Loss of the paths that come down at roof points and go `delta` from there; `known` is from `roof_paths`."""
    distance, outgoing = unit_vectors(delta)
    horizontal = jnp.maximum(distance, 0.3)
    slant = jnp.sqrt(horizontal**2 + constants.roof_height**2)
    flat = outgoing * (horizontal / slant)[..., None]
    best = FAR
    for arrival in range(ARRIVAL_BINS):  # unrolled: one kernel, and no array of all bins
        length, extra, row, column = (known[:, :, None, arrival, field] for field in range(4))
        loss = law_of_distance(length + slant, constants) + extra
        best = jnp.minimum(best, loss + bend_loss(row * flat[..., 0] + column * flat[..., 1], constants))
    return best
