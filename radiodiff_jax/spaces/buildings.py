"""Buildings before and after a space: filled before a map is encoded, 0 after it is decoded.

Inside buildings a map is 0 by definition, and everybody knows where buildings are. So that a space need not store walls,
building pixels first take the value of the nearest outdoor pixel.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

FAR = 1 << 20  # more than any squared distance in a map of 1,000 pixels


def fill_buildings(
    gain: Float[Array, "batch height width"], buildings: Bool[Array, "batch height width"]
) -> Float[Array, "batch height width"]:
    """The gain with every building pixel replaced by the nearest outdoor pixel's; unchanged where all is building.

    The exact Euclidean nearest pixel, first along columns, then along rows (as Felzenszwalb and Huttenlocher separate
    the distance transform, Theory of Computing 8, 2012). Of several nearest pixels one is taken.
    """
    return jax.vmap(_fill)(gain, buildings)


def _fill(gain: Float[Array, "height width"], buildings: Bool[Array, "height width"]) -> Float[Array, "height width"]:
    height, width = gain.shape
    rows = jnp.arange(height)[:, None]
    source = nearest_row(buildings)  # of the same column; negative where the column has none
    down = jnp.where(source >= 0, jnp.square(rows - source), FAR)
    value = jnp.take_along_axis(gain, jnp.maximum(source, 0), 0)

    def look(number: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
        """Columns `number` to the left and to the right."""
        distance, found = best
        for shift in (number, -number):
            column = jnp.arange(width) + shift
            inside = (column >= 0) & (column < width)
            away = jnp.where(inside, jnp.roll(down, -shift, 1) + number * number, FAR)
            closer = away < distance
            distance, found = jnp.where(closer, away, distance), jnp.where(closer, jnp.roll(value, -shift, 1), found)
        return distance, found

    _, found = lax.fori_loop(1, width, look, (down, value))
    return jnp.where(buildings & ~buildings.all(), found, gain)


def nearest_row(buildings: Bool[Array, "height width"]) -> Int[Array, "height width"]:
    """Row of the nearest outdoor pixel in the same column, -1 where there is none."""
    height = buildings.shape[0]
    rows = jnp.broadcast_to(jnp.arange(height)[:, None], buildings.shape)
    above = lax.cummax(jnp.where(buildings, -FAR, rows), 0)
    below = lax.cummin(jnp.where(buildings, FAR, rows), 0, reverse=True)
    nearest = jnp.where(rows - above <= below - rows, above, below)
    return jnp.where((above < 0) & (below >= FAR), -1, nearest)


def blank_buildings(
    gain: Float[Array, "batch height width"], buildings: Bool[Array, "batch height width"]
) -> Float[Array, "batch height width"]:
    """Gain with 0 inside buildings."""
    return jnp.where(buildings, 0.0, gain)
