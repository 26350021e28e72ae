"""Radio maps in JAX: many transmitters of one city in one call, on whatever device JAX has."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

from radiodiff_jax.propagation import line_of_sight_db
from radiodiff_jax.simulation.dominant_path.constants import CONSTANTS, FAR, VISIBILITY
from radiodiff_jax.simulation.dominant_path.ground_jax import ground_loss, ground_paths, ground_table
from radiodiff_jax.simulation.dominant_path.padded_scene import Scene, tiled, untiled
from radiodiff_jax.simulation.dominant_path.roofs_jax import RoofCrossings, roof_crossings, roof_loss, roof_paths
from radiodiff_jax.simulation.dominant_path.tiles_jax import TileViews, minimum_loss, tile_views
from radiodiff_jax.simulation.dominant_path.visibility_jax import depth_maps, visible
from radiodiff_jax.units import db_to_gain, gain_to_grey

TRANSMITTERS_AT_ONCE = 8  # whose paths over the roofs are held in memory together


class PreparedScene(NamedTuple):
    """All that is known of a city before a transmitter is placed."""

    scene: Scene
    mutually_visible: Bool[Array, "corners corners"]
    corner_views: TileViews
    crossings: RoofCrossings
    roof_views: TileViews


@jax.jit
def prepare_on_device(scene: Scene) -> PreparedScene:
    """What all transmitters of a city share, from its walls; fields are those of `field_numba.PreparedMap`."""
    outdoors = tiled(~scene.buildings)
    nearest = VISIBILITY.nearest_hit
    depths = depth_maps(scene.corners, scene.walls, VISIBILITY.bins, nearest)
    seen = visible(scene.corners, depths, scene.corners, VISIBILITY.corner_to_corner)
    seen &= seen.T & ~jnp.eye(len(depths), dtype=bool) & scene.is_corner & scene.is_corner[:, None]
    from_corners = visible(scene.corners, depths, scene.receivers, VISIBILITY.point_to_pixel)
    roof_depths = depth_maps(scene.roof_points, scene.walls, VISIBILITY.roof_bins, nearest)
    from_roofs = visible(scene.roof_points, roof_depths, scene.receivers, VISIBILITY.point_to_pixel)
    return PreparedScene(
        scene=scene,
        mutually_visible=seen,
        corner_views=tile_views(from_corners & outdoors & scene.is_corner[:, None, None]),
        crossings=roof_crossings(scene.roof_points, scene.is_roof_point, scene.buildings, CONSTANTS),
        roof_views=tile_views(from_roofs & outdoors & scene.is_roof_point[:, None, None]),
    )


@jax.jit
def radio_maps(
    prepared: PreparedScene, pixels: Int[Array, "transmitters 2"], places: Float[Array, "transmitters 2"]
) -> UInt8[Array, "transmitters height width"]:
    """Dominant path maps in grey levels, as `field_numba.path_gain_grey`.

    `pixels` are the transmitters' (row, column), `places` what `transmitter_places` makes of them.
    """
    scene = prepared.scene
    height, width = scene.buildings.shape
    depths = depth_maps(places, scene.walls, VISIBILITY.bins, VISIBILITY.nearest_hit)
    loss = jnp.minimum(_ground(prepared, places, depths), _roofs(prepared, places, depths))
    gain = jnp.where(loss < FAR, -CONSTANTS.loss_at_one_metre - loss, -jnp.inf)
    in_sight = visible(places, depths, scene.receivers, VISIBILITY.transmitter_to_pixel)
    gain = jnp.where(untiled(in_sight, height, width), _line_of_sight(pixels, height, width), untiled(gain, height, width))
    grey = gain_to_grey(db_to_gain(jnp.where(scene.buildings, -jnp.inf, gain)))
    return grey.at[jnp.arange(len(pixels)), pixels[:, 0], pixels[:, 1]].set(255)


def _line_of_sight(pixels, height: int, width: int) -> Float[Array, "transmitters height width"]:
    rows = jnp.abs(jnp.arange(height) - pixels[:, :1])[:, :, None]
    columns = jnp.abs(jnp.arange(width) - pixels[:, 1:])[:, None]
    squared = rows**2 + columns**2 + ((rows == 0) | (columns == 0)) + 2 * (rows == columns)
    return line_of_sight_db(squared.astype(jnp.float32))


def _ground(prepared: PreparedScene, places, depths) -> Float[Array, "transmitters tiles receivers"]:
    scene = prepared.scene
    seen = visible(places, depths, scene.corners, VISIBILITY.transmitter_to_point) & scene.is_corner
    wedges = scene.into_building, scene.half_opening
    paths = jax.vmap(
        lambda place, seen: ground_paths(place, seen, scene.corners, *wedges, prepared.mutually_visible, CONSTANTS)
    )(places, seen)
    table = ground_table(paths, *wedges)

    loss_of = partial(ground_loss, constants=CONSTANTS)
    return minimum_loss(prepared.corner_views, scene.corners, scene.receivers, table, loss_of)


def _roofs(prepared: PreparedScene, places, depths) -> Float[Array, "transmitters tiles receivers"]:
    scene = prepared.scene
    seen = visible(places, depths, scene.roof_points, VISIBILITY.transmitter_to_point) & scene.is_roof_point

    def paths_of(place_and_seen):
        return roof_paths(*place_and_seen, scene.roof_points, prepared.crossings, CONSTANTS)

    paths = jax.lax.map(paths_of, (places, seen), batch_size=min(TRANSMITTERS_AT_ONCE, len(places)))

    loss_of = partial(roof_loss, constants=CONSTANTS)
    return minimum_loss(prepared.roof_views, scene.roof_points, scene.receivers, paths, loss_of)
