"""Paths around corners in JAX: the rules of `ground_numba.py`, by Bellman and Ford's rounds in place of Dijkstra's order."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from radiodiff_jax.simulation.dominant_path.constants import FAR, NO_TURN, WEDGE_TOLERANCE, DominantPathConstants

# arccos(x) = sqrt(1 - x) times this polynomial for 0 <= x <= 1, error 2e-8 (Abramowitz and Stegun, 4.4.46)
ARCCOS = (-0.0012624911, 0.0066700901, -0.0170881256, 0.0308918810, -0.0501743046, 0.0889789874, -0.2145988016, 1.5707963050)


class GroundPaths(NamedTuple):
    """The best path to each corner, before it bends there; `loss` is `FAR` where there is none."""

    loss: Float[Array, " corners"]  # dB beyond the loss at one metre
    length: Float[Array, " corners"]  # metres
    bend_loss: Float[Array, " corners"]  # dB so far
    direction: Float[Array, "corners 2"]  # unit vector of arrival


def law_of_distance(length: Float[Array, "..."], constants: DominantPathConstants) -> Float[Array, "..."]:
    """Loss in dB by length in metres of a path that bends, beyond the loss at one metre."""
    return constants.path_slope / np.log(10) * jnp.log(length)


def bend_loss(cosine: Float[Array, "..."], constants: DominantPathConstants) -> Float[Array, "..."]:
    """Loss in dB of one change of direction, by the cosine of its angle."""
    saturated = jnp.clip(cosine, np.cos(np.radians(constants.bend_saturation)), 1.0)  # not below 0, see ARCCOS
    angle = jnp.sqrt(1 - saturated) * jnp.polyval(jnp.asarray(ARCCOS, jnp.float32), saturated)
    return constants.bend_offset + constants.bend_slope * (180 / np.pi) * angle


def unit_vectors(vectors: Float[Array, "*shape 2"]) -> tuple[Float[Array, "*shape"], Float[Array, "*shape 2"]]:
    """Lengths, and directions as unit vectors."""
    length = jnp.sqrt(jnp.sum(vectors**2, axis=-1))
    return length, vectors / jnp.maximum(length, 1e-9)[..., None]


def turning_side(
    direction: Float[Array, "*shape 2"], into_building: Float[Array, "*shape"], half_opening: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """To which side a path may bend: 1 towards larger azimuths, -1 towards smaller, 0 where it may not bend."""
    wedge = jnp.mod(into_building - jnp.arctan2(direction[..., 0], direction[..., 1]) + np.pi, 2 * np.pi) - np.pi
    size = jnp.abs(wedge)
    free = (size >= half_opening - WEDGE_TOLERANCE) & (size + half_opening <= np.pi + WEDGE_TOLERANCE)
    return jnp.where(free, jnp.where(wedge > 0, 1.0, -1.0), 0.0)


def bend(incoming: Float[Array, "*shape 2"], outgoing: Float[Array, "*shape 2"], side: Float[Array, "*shape"]):
    """(whether a path may turn so, cosine of the turn) for unit vectors."""
    cosine = incoming[..., 0] * outgoing[..., 0] + incoming[..., 1] * outgoing[..., 1]
    sine = outgoing[..., 0] * incoming[..., 1] - outgoing[..., 1] * incoming[..., 0]
    straight = (jnp.abs(sine) < np.sin(NO_TURN)) & (cosine > 0)
    return (side != 0) & (straight | (side * sine >= 0)), cosine


def ground_paths(
    place: Float[Array, " 2"],
    visible: Bool[Array, " corners"],
    corners: Float[Array, "corners 2"],
    into_building: Float[Array, " corners"],
    half_opening: Float[Array, " corners"],
    mutually_visible: Bool[Array, "corners corners"],
    constants: DominantPathConstants,
) -> GroundPaths:
    """The best path from the transmitter to each corner.

    Bellman and Ford's algorithm: losses only grow along a path, so each round settles the paths of one more bend, and
    the last one ends at what Dijkstra's algorithm finds.
    """
    length, direction = unit_vectors(corners - place)
    loss = jnp.where(visible, law_of_distance(jnp.maximum(length, 1.0), constants), FAR)
    straight = GroundPaths(loss, length, jnp.zeros_like(loss), direction)
    steps, outgoing = unit_vectors(corners[None] - corners[:, None])  # [from, to]

    def relax(state):
        _, paths, rounds = state
        side = turning_side(paths.direction, into_building, half_opening)
        allowed, cosine = bend(paths.direction[:, None], outgoing, side[:, None])
        lengths = paths.length[:, None] + steps
        bends = paths.bend_loss[:, None] + bend_loss(cosine, constants)
        losses = law_of_distance(jnp.maximum(lengths, 1.0), constants) + bends
        losses = jnp.where(allowed & mutually_visible & (paths.loss < FAR)[:, None], losses, FAR)
        over = jnp.argmin(losses, axis=0)
        to = jnp.arange(len(corners))
        bent = GroundPaths(losses[over, to], lengths[over, to], bends[over, to], outgoing[over, to])
        better = bent.loss < straight.loss
        found = jax.tree.map(lambda a, b: jnp.where(better.reshape(-1, *[1] * (a.ndim - 1)), a, b), bent, straight)
        return paths.loss, found, rounds + 1

    def unsettled(state):
        before, paths, rounds = state
        return jnp.any(before != paths.loss) & (rounds < len(corners))

    return jax.lax.while_loop(unsettled, relax, (jnp.full_like(loss, -1.0), straight, 0))[1]


def ground_table(
    paths: GroundPaths, into_building: Float[Array, " corners"], half_opening: Float[Array, " corners"]
) -> Float[Array, "transmitters corners 6"]:
    """The fields that `ground_loss` needs, stacked to be gathered together; those of `paths` begin with a transmitter axis."""
    side = turning_side(paths.direction, into_building, half_opening)
    return jnp.stack([paths.length, paths.bend_loss, side, paths.loss, *jnp.moveaxis(paths.direction, -1, 0)], -1)


def ground_loss(
    known: Float[Array, "transmitters members 6"], delta: Float[Array, "members receivers 2"], constants: DominantPathConstants
) -> Float[Array, "transmitters members receivers"]:
    """Loss of the paths that bend at corners and go `delta` from there, `FAR` if they may not; `known` is from `ground_table`."""
    distance, outgoing = unit_vectors(delta)
    known = known[:, :, None]
    allowed, cosine = bend(known[..., 4:], outgoing, known[..., 2])
    length = jnp.maximum(known[..., 0] + distance, 1.0)
    loss = law_of_distance(length, constants) + known[..., 1] + bend_loss(cosine, constants)
    return jnp.where(allowed & (known[..., 3] < FAR), loss, FAR)
