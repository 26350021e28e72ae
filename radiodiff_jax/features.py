"""What a network is told about a scene: feature channels by name, and first estimates of the radio map.

Everything is made on the device, inside the compiled step, from masks and the transmitter's position. A new feature is a
small function and one line in `FEATURES`. Unless said otherwise a feature turns and mirrors with the scene.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from radiodiff_jax.errors import UserError, nearest
from radiodiff_jax.paths import Rays, Ways, cast_rays, offsets, shortest_ways
from radiodiff_jax.propagation import MOST_BENDS_DB, OUT_OF_SIGHT_DB, bent_path_db, line_of_sight_db, over_roofs_db
from radiodiff_jax.radiomapseer import COMPUTED
from radiodiff_jax.units import db_to_gain, gain_to_db

OFFSET_UNIT = 256.0
"""Metres per unit of the feature `offset`, whatever the size of the image."""


class Scene:
    """A batch of scenes inside a trace; what several features need is computed once.

    `gain`, in [0, 1], is read only where `observed` is set. `computed` are gains in [0, 1] of `simulation.scene_maps`, 0 where
    nothing arrives and in buildings.
    """

    def __init__(
        self,
        buildings: Bool[Array, "batch height width"],
        position: Int[Array, "batch 2"],
        cars: Bool[Array, "batch height width"] | None = None,
        observed: Bool[Array, "batch height width"] | None = None,
        gain: Float[Array, "batch height width"] | None = None,
        computed: dict[str, Float[Array, "batch height width"]] | None = None,
    ):
        self.buildings, self.position, self.cars, self.observed, self.gain = buildings, position, cars, observed, gain
        self.computed = computed or {}

    @cached_property
    def rays(self) -> Rays:
        """What lies on the straight line to each pixel."""
        return cast_rays(self.buildings, self.position)

    @cached_property
    def ways(self) -> Ways:
        """The shortest way around the buildings to each pixel."""
        return shortest_ways(self.buildings, self.position, self.rays.in_sight)

    @cached_property
    def squared_distance(self) -> Float[Array, "batch height width"]:
        """Squared distance to the transmitter in m^2, 1 at the transmitter itself."""
        down, across = offsets(self.position, self.buildings.shape[1:])
        return jnp.maximum(jnp.square(down) + jnp.square(across), 1.0)

    @cached_property
    def in_the_open_db(self) -> Float[Array, "batch height width"]:
        """Path gain in dB if nothing stood anywhere."""
        return line_of_sight_db(self.squared_distance)


# ---- estimates ----


def line_of_sight_gain(scene: Scene) -> Float[Array, "batch height width"]:
    """Gain in [0, 1] by distance, 16 dB less where the straight line meets a building; not blanked inside buildings."""
    return _gain(scene.in_the_open_db - OUT_OF_SIGHT_DB * ~scene.rays.in_sight)


def path_gain(scene: Scene) -> Float[Array, "batch height width"]:
    """Gain in [0, 1] by the best formula without training; inside a building, that of the pixel where it is entered.

    In sight the distance law; elsewhere the better of the straight path over the roofs and the shortest way around the
    buildings with the loss of its bends (the closed forms of `propagation`).
    """
    rays, ways = scene.rays, scene.ways
    distance = jnp.sqrt(scene.squared_distance)
    along = jnp.maximum(distance - rays.before - rays.after, 0.0)
    over = over_roofs_db(rays.before, along, rays.after, rays.walls)
    around = jnp.where(ways.open, bent_path_db(ways.length, jnp.minimum(ways.bends_db, MOST_BENDS_DB)), -jnp.inf)
    gain = _gain(jnp.where(rays.in_sight, scene.in_the_open_db, jnp.maximum(over, around)))
    batch = gain.shape[0]
    return jnp.take_along_axis(gain.reshape(batch, -1), ways.entrance, axis=1).reshape(gain.shape)


def computed_gain(scene: Scene, name: str) -> Float[Array, "batch height width"]:
    """A map of the scene that was computed beforehand, gain in [0, 1]. Raises UserError where it was not."""
    if name not in scene.computed:
        raise UserError(f"the map '{name}' of this scene was not computed; add it to data.computed")
    return scene.computed[name]


def rays_gain(scene: Scene) -> Float[Array, "batch height width"]:
    """Gain in [0, 1] of all paths by reflections and by one bend together: powers are added; 0 where nothing arrives."""
    gains = [computed_gain(scene, name) for name in ("reflections", "diffraction")]
    linear = sum(jnp.where(gain > 0, 10 ** (gain_to_db(gain) / 10), 0.0) for gain in gains)
    return jnp.where(linear > 0, _gain(10 * jnp.log10(jnp.maximum(linear, 1e-20))), 0.0)


ESTIMATES = ("none", "line_of_sight", "path")
"""What a network's output can be added to, made of the scene alone."""
COMPUTED_ESTIMATES = {"dominant_path": ("dominant_path",), "rays": ("reflections", "diffraction")}
"""Further estimates, and the maps of `data.computed` that they are made of."""


def estimate_gain(kind: str, scene: Scene) -> Float[Array, "batch height width 1"]:
    """A first estimate of the gain in [0, 1], float32, not blanked inside buildings; `none` is 0 everywhere.

    Raises UserError for another kind, and for one of maps that were not computed.
    """
    kinds = [*ESTIMATES, *COMPUTED_ESTIMATES]
    if kind not in kinds:
        raise UserError(f"there is no estimate '{kind}'{nearest(kind, kinds)}; choose one of {', '.join(kinds)}")
    if kind == "none":
        return jnp.zeros((*scene.buildings.shape, 1), jnp.float32)
    functions = {"line_of_sight": line_of_sight_gain, "path": path_gain, "rays": rays_gain}
    return (computed_gain(scene, kind) if kind == "dominant_path" else functions[kind](scene))[..., None]


# ---- features: Scene -> channels, each [batch, height, width] ----


def _buildings(scene: Scene) -> list[Array]:
    """+1 in buildings, -1 elsewhere."""
    return [_sign(scene.buildings)]


def _transmitter(scene: Scene) -> list[Array]:
    """+1 at the transmitter's pixel, -1 elsewhere."""
    down, across = offsets(scene.position, scene.buildings.shape[1:])
    return [_sign((down == 0) & (across == 0))]


def _cars(scene: Scene) -> list[Array]:
    """+1 in cars, -1 elsewhere; the buildings again where the scene knows of no cars, as in RadioDiff."""
    return [_sign(scene.buildings if scene.cars is None else scene.cars)]


def _free_space(scene: Scene) -> list[Array]:
    """-1..1: 2 g - 1 of the gain g by distance alone."""
    return [2 * _gain(scene.in_the_open_db) - 1]


def _in_sight(scene: Scene) -> list[Array]:
    """+1 where the straight line to the transmitter meets no building, -1 elsewhere."""
    return [_sign(scene.rays.in_sight)]


def _line_of_sight(scene: Scene) -> list[Array]:
    """-1..1: 2 g - 1 of the line-of-sight estimate g."""
    return [2 * line_of_sight_gain(scene) - 1]


def _path_estimate(scene: Scene) -> list[Array]:
    """-1..1: 2 g - 1 of the path estimate g."""
    return [2 * path_gain(scene) - 1]


def _geodesic(scene: Scene) -> list[Array]:
    """Shortest way less straight line in m, log1p(excess) / 3 - 1 (-1 in sight, 0 at 19 m, 1 at 402 m); and the cosine,
    -1..1, of the angle between the way's last piece and the straight line (1 in sight).
    """
    down, across = offsets(scene.position, scene.buildings.shape[1:])
    excess = jnp.maximum(scene.ways.length - jnp.sqrt(jnp.square(down) + jnp.square(across)), 0.0)
    return [jnp.log1p(excess) / 3 - 1, scene.ways.cosine]


def _walls(scene: Scene) -> list[Array]:
    """-1..1: how often the straight line enters a building, at most 8, over 4, less 1."""
    return [jnp.minimum(scene.rays.walls, 8) / 4.0 - 1]


def _blocked(scene: Scene) -> list[Array]:
    """-1..0.85: metres of the straight line inside buildings, whole and at most 255, log1p(metres) / 3 - 1."""
    return [jnp.log1p(jnp.floor(jnp.minimum(scene.rays.metres, 255.0))) / 3 - 1]


def _offset(scene: Scene) -> list[Array]:
    """Rows, then columns, from the transmitter in units of 256 m; a transpose of the scene exchanges the two."""
    down, across = offsets(scene.position, scene.buildings.shape[1:])
    return [jnp.broadcast_to(part / OFFSET_UNIT, scene.buildings.shape) for part in (down, across)]


def _distance(scene: Scene) -> list[Array]:
    """-1..1.1: log of the distance, log(d) / log(16) - 1, -1 at one metre, 0 at 16 m and 1 at 256 m."""
    return [jnp.log(scene.squared_distance) / (2 * jnp.log(16.0)) - 1]


def _transmitter_gaussian(scene: Scene) -> list[Array]:
    """0..0.95: exp(-d^2 / 20 m^2), where d counts as at least one metre."""
    return [jnp.exp(-scene.squared_distance / 20)]


def _observed(scene: Scene) -> list[Array]:
    """2 g - 1 where the gain g is known beforehand and -1 elsewhere; +1 where it is known and -1 elsewhere."""
    if scene.observed is None or scene.gain is None:
        raise UserError("the feature 'observed' needs pixels of known gain, which this scene has none of; set "
                        "data.observed_pixels or leave the feature out")  # fmt: skip
    return [jnp.where(scene.observed, 2 * scene.gain - 1, -1.0), _sign(scene.observed)]


class Feature(NamedTuple):
    """A function of a scene that answers `channels` images [batch, height, width]."""

    function: Callable[[Scene], list[Array]]
    channels: int = 1


FEATURES: dict[str, Feature] = {
    "buildings": Feature(_buildings),
    "transmitter": Feature(_transmitter),
    "cars": Feature(_cars),
    "free_space": Feature(_free_space),
    "in_sight": Feature(_in_sight),
    "line_of_sight": Feature(_line_of_sight),
    "path_estimate": Feature(_path_estimate),
    "geodesic": Feature(_geodesic, 2),
    "walls": Feature(_walls),
    "blocked": Feature(_blocked),
    "offset": Feature(_offset, 2),
    "distance": Feature(_distance),
    "transmitter_gaussian": Feature(_transmitter_gaussian),
    "observed": Feature(_observed, 2),
}
"""Made of the scene on the device. A configuration may also name the maps of `COMPUTED`, of one channel each."""


def feature_names() -> tuple[str, ...]:
    """Every name of a feature that is made on the device."""
    return tuple(FEATURES)


def check_features(names: Sequence[str]) -> None:
    """Raises UserError for a name that is neither in `FEATURES` nor in `COMPUTED`, and for one that is given twice."""
    known = [*FEATURES, *COMPUTED]
    for name in names:
        if name not in known:
            raise UserError(f"there is no feature '{name}'{nearest(name, known)}; choose among {', '.join(known)}")
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise UserError(f"the feature '{twice[0]}' is given twice; name it once")


def feature_channels(names: Sequence[str]) -> int:
    """How many channels these features have together; raises UserError as `check_features` does."""
    check_features(names)
    return sum(channels_of(name) for name in names)


def channels_of(name: str) -> int:
    """How many channels a feature has."""
    return FEATURES[name].channels if name in FEATURES else 1


def feature_image(names: Sequence[str], scene: Scene) -> Float[Array, "batch height width channels"]:
    """The features' channels in the order of `names`, float32.

    Raises UserError as `check_features` does, and for a feature of something that the scene lacks.
    """
    check_features(names)
    channels = [channel for name in names for channel in _channels(name, scene)]
    return jnp.stack([channel.astype(jnp.float32) for channel in channels], axis=-1)


def _channels(name: str, scene: Scene) -> list[Array]:
    """2 g - 1 of the gain g of a computed map, -1 where nothing arrives and in buildings; any other feature's channels."""
    return FEATURES[name].function(scene) if name in FEATURES else [2 * computed_gain(scene, name) - 1]


def _gain(path_gain_db: Array) -> Array:
    return jnp.clip(db_to_gain(path_gain_db), 0.0, 1.0).astype(jnp.float32)


def _sign(mask: Array) -> Array:
    return jnp.where(mask, 1.0, -1.0)
