"""What points see, in JAX: the depth maps and tests of `visibility_numba.py`, for all bins and walls at once."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from radiodiff_jax.simulation.dominant_path.constants import FAR

WALLS_AT_ONCE = 16  # unrolled in one kernel
POINTS_AT_ONCE = 16
END_SLACK = 1e-6  # share of a wall by which rounding may move its ends: no light leaks between two walls


def depth_maps(
    points: Float[Array, "points 2"], walls: Float[Array, "walls 4"], bins: int, nearest_hit: float
) -> Float[Array, "points bins"]:
    """Distance to the nearest wall along the middle of each azimuth bin, `FAR` where there is none."""
    azimuths = (np.arange(bins) + 0.5) * (2 * np.pi / bins)
    sine, cosine = jnp.asarray(np.sin(azimuths), jnp.float32), jnp.asarray(np.cos(azimuths), jnp.float32)

    def nearer(depth, some_walls):
        for wall in some_walls:
            side_row, side_column = wall[2] - wall[0], wall[3] - wall[1]
            start_row, start_column = wall[0] - points[:, :1], wall[1] - points[:, 1:]
            across = cosine * side_row - sine * side_column
            inverse = jnp.where(jnp.abs(across) < 1e-12, 0.0, 1 / across)
            distance = (start_column * side_row - start_row * side_column) * inverse
            along = (start_column * sine - start_row * cosine) * inverse
            hit = (distance > nearest_hit) & (along >= -END_SLACK) & (along <= 1 + END_SLACK)
            depth = jnp.minimum(depth, jnp.where(hit, distance, FAR))
        return depth, None

    start = jnp.full((len(points), bins), FAR)
    return jax.lax.scan(nearer, start, walls.reshape(-1, WALLS_AT_ONCE, 4))[0]


def visible(
    points: Float[Array, "points 2"], depths: Float[Array, "points bins"], targets: Float[Array, "*shape 2"],
    tolerance: float,
) -> Bool[Array, " points *shape"]:  # fmt: skip
    """Which targets are not hidden from each point by more than `tolerance`."""
    bins = depths.shape[1]

    def look(point_and_depth):
        point, depth = point_and_depth
        rows, columns = targets[..., 0] - point[0], targets[..., 1] - point[1]
        azimuth_bin = jnp.floor(jnp.arctan2(rows, columns) * (bins / (2 * np.pi))).astype(jnp.int32) % bins
        return jnp.sqrt(rows**2 + columns**2) <= depth[azimuth_bin] + tolerance

    return jax.lax.map(look, (points, depths), batch_size=min(POINTS_AT_ONCE, len(points)))
