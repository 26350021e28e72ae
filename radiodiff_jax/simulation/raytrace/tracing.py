"""What is asked of the ray tracer: heights by vertical rays, and path gains on the lattice of one window.

Geometry is in metres, x to the east and y to the north; arrays have row 0 in the north.
"""

from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from radiodiff_jax.simulation.raytrace.cells import cell_gains, lattice_triangles, spread_sparse
from radiodiff_jax.simulation.raytrace.library import CITIES

FREQUENCY = 5.9e9
"""Hertz (RadioMapSeer)."""
ANTENNA_HEIGHT = 1.5
"""Metres above the local ground, of transmitters and receivers (RadioMapSeer)."""
COARSE = 4
"""Metres between the probes that windows are chosen by."""
GROUND_NAMES = ("ground", "plane", "terrain")  # of the shapes that are no buildings, in lower case
DIFFRACTION_SHARE = 10  # diffraction takes a tenth of the samples: it costs ten times as much and adds weak paths
SWAY = 0.25  # metres that a transmitter may stand off the centre of its pixel, so that repeats use other rays


class TracedScene:
    """Surfaces that rays meet, and a solver. `library` is the module sionna.rt, `scene` one of its scenes."""

    def __init__(self, library: ModuleType, scene: Any):
        import mitsuba

        self.library, self.mitsuba, self.scene = library, mitsuba, scene
        self.scene.frequency = FREQUENCY
        self.scene.tx_array = library.PlanarArray(num_rows=1, num_cols=1, pattern="iso", polarization="V")
        whole = self.scene.mi_scene
        self.ground = mitsuba.load_dict(
            {"type": "scene"} | {shape.id(): shape for shape in whole.shapes() if _is_ground(shape.id())}
        )
        self.solver = library.RadioMapSolver()

    def heights(
        self, west: float, north: float, shape: tuple[int, int], step: float, ground_only: bool = False
    ) -> Float[np.ndarray, "rows columns"]:
        """Height of the first surface that vertical rays from above meet; 0 where there is none.

        Ray (row, column) is at (`west` + column * `step`, `north` - row * `step`).
        """
        mitsuba = self.mitsuba
        x, y = np.meshgrid(west + step * np.arange(shape[1]), north - step * np.arange(shape[0]))
        floats = [mitsuba.Float(axis.astype(np.float32).ravel()) for axis in (x, y)]
        rays = mitsuba.Ray3f(mitsuba.Point3f(*floats, 10_000.0), mitsuba.Vector3f(0, 0, -1))
        hit = (self.ground if ground_only else self.scene.mi_scene).ray_intersect(rays)
        z = np.array(mitsuba.Float(hit.p.z), np.float64)
        return np.where(np.array(hit.is_valid()), z, 0.0).reshape(shape)


class TracedCity(TracedScene):
    """A built-in city of the ray tracer."""

    def __init__(self, library: ModuleType, name: str):
        super().__init__(library, library.load_scene(getattr(library.scene, CITIES[name])))
        box = self.ground.bbox()
        self.west, self.south = float(box.min.x), float(box.min.y)
        self.east, self.north = float(box.max.x), float(box.max.y)

    def coarse_heights(self) -> tuple[Float[np.ndarray, "rows columns"], Float[np.ndarray, "rows columns"]]:
        """Highest surface and ground of the whole city, every 4 m, at the centres of 4 m cells."""
        shape = int((self.north - self.south) // COARSE), int((self.east - self.west) // COARSE)
        place = self.west + COARSE / 2, self.north - COARSE / 2, shape, COARSE
        return self.heights(*place), self.heights(*place, ground_only=True)


class TracedWindow:
    """One window of a scene: its masks' heights, and the path gains of transmitters in it."""

    def __init__(self, city: TracedScene, west: float, north: float, size: tuple[int, int]):
        self.city, self.west, self.north = city, west, north
        height, width = size
        self.roof = city.heights(west + 0.5, north - 0.5, size, 1.0)
        self.terrain = city.heights(west + 0.5, north - 0.5, size, 1.0, ground_only=True)
        corners = city.heights(west, north, (height + 1, width + 1), 1.0, ground_only=True)
        self.mesh = make_mesh(city.mitsuba, *lattice_triangles(corners, west, north, ANTENNA_HEIGHT))

    def path_gain(
        self, buildings: Bool[np.ndarray, "height width"], row: int, column: int, depth: int, samples: int,
        diffraction: bool, seed: int,
    ) -> Float[np.ndarray, "height width"]:  # fmt: skip
        """Linear path gain of every cell; 0 in buildings and where no ray arrives.

        Line of sight and up to `depth` specular reflections; with `diffraction` also paths of one diffraction.
        Powers of rays are added without phases; nothing goes through walls.
        """
        city = self.city
        sway = np.random.default_rng(seed).uniform(-SWAY, SWAY, 2)
        position = [
            self.west + column + 0.5 + sway[0],
            self.north - row - 0.5 + sway[1],
            self.terrain[row, column] + ANTENNA_HEIGHT,
        ]
        city.scene.add(city.library.Transmitter("transmitter", position=[float(value) for value in position]))
        fixed: dict[str, Any] = {"measurement_surface": self.mesh, "refraction": False, "seed": seed % 2**31}
        try:
            gains = self._solve(samples_per_tx=samples, max_depth=depth, **fixed)
            if diffraction:
                gains = gains + self._solve(
                    samples_per_tx=max(samples // DIFFRACTION_SHARE, 1), max_depth=1, los=False, specular_reflection=False,
                    diffraction=True, **fixed,
                )  # fmt: skip
        finally:
            city.scene.remove("transmitter")
        return spread_sparse(cell_gains(gains, buildings, row, column), buildings)

    def _solve(self, **arguments: Any) -> Float[np.ndarray, " triangles"]:
        return np.array(self.city.solver(self.city.scene, **arguments).path_gain)[0]


def _is_ground(name: str) -> bool:
    return any(word in name.lower() for word in GROUND_NAMES)


def make_mesh(
    mitsuba: ModuleType, vertices: Float[np.ndarray, "vertices 3"], triangles: Int[np.ndarray, "triangles 3"],
    name: str = "measurement lattice",
) -> Any:  # fmt: skip
    """A Mitsuba mesh of these triangles."""
    mesh = mitsuba.Mesh(name, len(vertices), len(triangles))
    parameters = mitsuba.traverse(mesh)
    parameters["vertex_positions"] = np.ascontiguousarray(vertices, np.float32).ravel()
    parameters["faces"] = np.ascontiguousarray(triangles, np.uint32).ravel()
    parameters.update()
    return mesh
