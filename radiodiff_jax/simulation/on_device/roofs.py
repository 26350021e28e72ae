"""Paths over the roofs in JAX: the rules of `simulation/roof_paths.py`."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

import jax
from radiodiff_jax.simulation.constants import DominantPathConstants
from radiodiff_jax.simulation.on_device.ground import bend_loss, law_of_distance, unit_vectors
from radiodiff_jax.simulation.on_device.sight import FAR
from radiodiff_jax.simulation.roof_paths import ARRIVAL_BINS, SAMPLES_PER_PIXEL, SHORTEST_CROSSING


class Crossings(NamedTuple):
    """The straight lines between roof points [from, to]."""

    along: Float[Array, "points points"]  # metres
    direction: Float[Array, "points points 2"]
    loss: Float[Array, "points points"]  # dB of the crossing itself, `FAR` where there is none
    arrival: Int[Array, "points points"]  # azimuth bin


class RoofLabels(NamedTuple):
    """The best paths that arrive at each roof point, by azimuth bin; `extra` is `FAR` where there is none."""

    length: Float[Array, "bins points"]  # metres
    extra: Float[Array, "bins points"]  # dB, all but the law of distance
    direction: Float[Array, "bins points 2"]


def crossings(
    points: Float[Array, "points 2"], is_point: Bool[Array, " points"], buildings: Bool[Array, "height width"],
    constants: DominantPathConstants,
) -> Crossings:  # fmt: skip
    """What the ways over the roofs have in common for all transmitters."""
    along, direction = unit_vectors(points[None] - points[:, None])
    gaps = jnp.maximum(_buildings_crossed(points, buildings) - 1, 0)
    usable = (along >= SHORTEST_CROSSING) & is_point[:, None] & is_point
    loss = constants.roof_loss_per_metre * along + constants.roof_gap_loss * gaps
    azimuth = jnp.arctan2(direction[..., 0], direction[..., 1])
    arrival = jnp.floor((azimuth + np.pi) / (2 * np.pi) * ARRIVAL_BINS).astype(jnp.int32) % ARRIVAL_BINS
    return Crossings(along, direction, jnp.where(usable, loss, FAR), arrival)


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


def roof_labels(
    place: Float[Array, " 2"],
    visible: Bool[Array, " points"],
    points: Float[Array, "points 2"],
    ways: Crossings,
    constants: DominantPathConstants,
) -> RoofLabels:
    """The best paths to each roof point over one other that the transmitter sees, by azimuth of arrival."""
    horizontal, incoming = unit_vectors(points - place)
    horizontal = jnp.maximum(horizontal, 0.5)
    slant = jnp.sqrt(horizontal**2 + constants.roof_height**2)
    flat = jnp.sum(incoming[:, None] * ways.direction, axis=-1)
    extra = bend_loss(flat * (horizontal / slant)[:, None], constants) + ways.loss
    length = slant[:, None] + ways.along
    loss = jnp.where(visible[:, None] & (ways.loss < FAR), law_of_distance(length, constants) + extra, FAR)

    def of_bin(arrival):
        here = jnp.where(ways.arrival == arrival, loss, FAR)
        over, to = jnp.argmin(here, axis=0), jnp.arange(len(points))
        known = here[over, to] < FAR
        return RoofLabels(length[over, to], jnp.where(known, extra[over, to], FAR), ways.direction[over, to])

    return jax.lax.map(of_bin, jnp.arange(ARRIVAL_BINS))


def roof_loss(labels: RoofLabels, point, delta, constants: DominantPathConstants):
    """Loss of the paths that come down at `point` [members] to `delta` [members, receivers, 2] from there.

    Fields of `labels` begin with the axes of bins and transmitters. Returns [transmitters, members, receivers].
    """
    horizontal = jnp.maximum(jnp.sqrt(jnp.sum(delta**2, axis=-1)), 0.3)
    slant = jnp.sqrt(horizontal**2 + constants.roof_height**2)
    flat = delta / jnp.maximum(jnp.sqrt(jnp.sum(delta**2, axis=-1)), 1e-9)[..., None] * (horizontal / slant)[..., None]
    best = FAR
    for length, extra, direction in zip(*labels, strict=True):  # one kernel for all bins
        incoming = direction[:, point][:, :, None]
        cosine = incoming[..., 0] * flat[..., 0] + incoming[..., 1] * flat[..., 1]
        known = law_of_distance(length[:, point][:, :, None] + slant, constants) + extra[:, point][:, :, None]
        best = jnp.minimum(best, known + bend_loss(cosine, constants))
    return best
