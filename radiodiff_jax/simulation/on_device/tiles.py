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

from radiodiff_jax.simulation.on_device.sight import FAR

GROUP = 128  # tiles that go in step
ROUNDS_AT_ONCE = 4  # list entries for each turn of the loop, in one kernel


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


def least_loss(
    views: TileViews,
    points: Float[Array, "points 2"],
    receivers: Float[Array, "tiles receivers 2"],
    loss_of: Callable[[Int[Array, " members"], Float[Array, "members receivers 2"]], Float[Array, "transmitters members receivers"]],
    transmitters: int,
) -> Float[Array, "transmitters tiles receivers"]:  # fmt: skip
    """The least `loss_of(point, receiver - point)` over the points that each receiver sees; `FAR` if it sees none."""
    last = len(points) - 1

    def of_group(group):
        tiles, entries, rounds = group
        here = receivers[tiles]

        def take(turn, best):
            for offset in range(ROUNDS_AT_ONCE):
                point = entries[jnp.minimum(turn * ROUNDS_AT_ONCE + offset, last)]
                loss = loss_of(point, here - points[point][:, None])
                best = jnp.minimum(best, jnp.where(views.seen[point, tiles], loss, FAR))
            return best

        start = jnp.full((transmitters, *here.shape[:2]), FAR)
        return jax.lax.fori_loop(0, -(-rounds // ROUNDS_AT_ONCE), take, start)

    found = jax.lax.map(of_group, (views.order, views.lists, views.rounds))
    in_order = found.swapaxes(0, 1).reshape(transmitters, -1, receivers.shape[1])
    return in_order[:, jnp.argsort(views.order.reshape(-1))]
