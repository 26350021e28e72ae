"""A first guess of the radio map from the scene alone: distance, and whether anything stands in between.

Not in the original. The autoencoder's latent of this guess is given to the U-Net, which then needs to learn what bends
around corners and over roofs, not how far a pixel is from the transmitter or what a wall looks like in latent space.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from radiodiff_jax.distance_law import AT_ONE_METRE_DB, DECAY
from radiodiff_jax.units import db_to_gain

SHADOW_DB = 16.0  # loss behind buildings against line of sight that fits simulated cities best


def guess_gain(condition: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width 1"]:
    """Condition image in {-1, 1} (buildings, transmitter, ...) -> gain in [0, 1], float32.

    In sight -47.86 - 25 log10(d) dB (the law of the dominant path maps), out of sight 16 dB less, in buildings 0.
    """
    buildings, transmitter = condition[..., 0] > 0, condition[..., 1]
    batch, height, width = buildings.shape
    index = jnp.argmax(transmitter.reshape(batch, -1), axis=1)
    row, column = (index // width).astype(jnp.float32), (index % width).astype(jnp.float32)
    down = jnp.arange(height, dtype=jnp.float32)[None, :, None] - row[:, None, None]
    across = jnp.arange(width, dtype=jnp.float32)[None, None, :] - column[:, None, None]
    squared = jnp.maximum(jnp.square(down) + jnp.square(across), 1.0)
    in_the_open_db = AT_ONE_METRE_DB - 5 * DECAY * jnp.log10(squared)
    path_gain_db = in_the_open_db - SHADOW_DB * ~in_sight(buildings, row, column, down, across)
    gain = jnp.clip(db_to_gain(path_gain_db), 0.0, 1.0)
    return jnp.where(buildings, 0.0, gain)[..., None].astype(jnp.float32)


def in_sight(
    buildings: Bool[Array, "batch height width"], row: Float[Array, " batch"], column: Float[Array, " batch"],
    down: Float[Array, "batch height 1"], across: Float[Array, "batch 1 width"],
) -> Bool[Array, "batch height width"]:  # fmt: skip
    """Whether the straight line from the transmitter to a pixel misses every building pixel.

    The line is looked up once a pixel of the longer side, all pixels at a time.
    """
    batch, height, width = buildings.shape
    count = max(height, width)
    flat = buildings.reshape(batch, -1)

    def look(clear: Array, number: Array) -> tuple[Array, None]:
        share = (number + 0.5) / count
        y = jnp.round(row[:, None, None] + share * down).astype(jnp.int32)
        x = jnp.round(column[:, None, None] + share * across).astype(jnp.int32)
        hit = jnp.take_along_axis(flat, (y * width + x).reshape(batch, -1), axis=1)
        return clear & ~hit.reshape(clear.shape), None

    clear, _ = lax.scan(look, jnp.ones(buildings.shape, bool), jnp.arange(count, dtype=jnp.float32))
    return clear
