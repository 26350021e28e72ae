"""The minimum over all points that a receiver sees, without looking at the many that it does not.

Receivers are taken in tiles of 8 x 8 pixels. Each tile has the list of the points that any of its pixels sees. Tiles
with long lists are put together, so that groups of tiles go through their lists in step.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from radiodiff_jax.simulation.dominant_path.constants import FAR

GROUP = 128  # tiles that go in step
ROUNDS_AT_ONCE = 4  # list entries for each turn of the loop; the number of points must be a multiple


LossOf = Callable[
    [Float[Array, "transmitters members ..."], Float[Array, "members receivers 2"]],
    Float[Array, "transmitters members receivers"],
]
"""Loss in dB of paths whose last leg is (receiver - point), from one point for each tile of a group; the first
argument is what a table says of these points."""


class TileViews(NamedTuple):
    """Which of `points` each receiver sees, and the lists; groups x members are the tiles in `order`."""

    seen: Bool[Array, "points tiles receivers"]
    order: Int[Array, "groups members"]
    lists: Int[Array, "groups points members"]
    rounds: Int[Array, " groups"]  # length of the longest list of the group


def tile_views(seen: Bool[Array, "points tiles receivers"]) -> TileViews:
    """Make the lists."""
    points, tiles, _ = seen.shape
    members = math.gcd(tiles, GROUP)
    active = seen.any(axis=2)
    counts = active.sum(axis=0)
    order = jnp.argsort(-counts)
    lists = jnp.argsort(~active[:, order], axis=0, stable=True).astype(jnp.int32)
    return TileViews(
        seen=seen,
        order=order.reshape(-1, members),
        lists=lists.reshape(points, -1, members).swapaxes(0, 1),
        rounds=counts[order].reshape(-1, members).max(axis=1),
    )


def minimum_loss(
    views: TileViews,
    points: Float[Array, "points 2"],
    receivers: Float[Array, "tiles receivers 2"],
    table: Float[Array, "transmitters points ..."],
    loss_of: LossOf,
) -> Float[Array, "transmitters tiles receivers"]:
    """The least `loss_of(table[:, point], receiver - point)` over the points that each receiver sees, or `FAR`."""

    def of_group(group):
        tiles, entries, rounds = group
        here = receivers[tiles]

        def take(turn, best):
            some = jax.lax.dynamic_slice_in_dim(entries, turn * ROUNDS_AT_ONCE, ROUNDS_AT_ONCE)
            known, delta, seen = table[:, some], here - points[some][:, :, None], views.seen[some, tiles]
            for one in range(ROUNDS_AT_ONCE):
                best = jnp.minimum(best, jnp.where(seen[one], loss_of(known[:, one], delta[one]), FAR))
            return best

        start = jnp.full((len(table), *here.shape[:2]), FAR)
        return jax.lax.fori_loop(0, -(-rounds // ROUNDS_AT_ONCE), take, start)

    found = jax.lax.map(of_group, (views.order, views.lists, views.rounds))
    in_order = found.swapaxes(0, 1).reshape(len(table), -1, receivers.shape[1])
    return in_order[:, jnp.argsort(views.order.reshape(-1))]
