"""Layouts as scenes of the ray tracer: every building a prism of one height on level ground, cars as flat metal boxes.

Metres, x to the east and y to the north; the north-west corner of the layout is the origin, a pixel is a square metre.
"""

from collections.abc import Sequence
from types import ModuleType

import numpy as np
from jaxtyping import Bool, Float, Int

from radiodiff_jax.errors import UserError
from radiodiff_jax.simulation.cities.polygons import Ring, trace
from radiodiff_jax.simulation.raytrace.tracing import TracedScene, make_mesh

BUILDING_HEIGHT = 25.0
"""Metres (RadioMapSeer)."""
CAR_HEIGHT = 1.5
"""Metres, as high as the antennas (RadioMapSeer): a car covers the lower half of what passes over it."""
MATERIALS = {"walls": "marble", "roofs": "metal", "cars": "metal", "ground": "concrete"}
"""ITU-R P.2040 materials, as in the ray tracer's built-in cities."""
THICKNESS = 0.1  # metres, of the built-in cities' materials; nothing goes through walls
INSET = 0.02
"""Metres that walls stand inside their outline. Power is measured on the lines between pixels (see `cells.py`), and rays pass
through a wall that lies exactly in one of these."""
GROUND_MARGIN = 100.0  # metres of ground around the layout

Mesh = tuple[Float[np.ndarray, "vertices 3"], Int[np.ndarray, "triangles 3"]]


def layout_scene(
    library: ModuleType, rings: Sequence[Ring], size: tuple[int, int], cars: Bool[np.ndarray, "height width"] | None = None
) -> TracedScene:
    """The scene of a layout of `size` (height, width); `library` is the module sionna.rt.

    `rings` are (row, column) in pixel-centre coordinates; what lies inside an odd number of them is building.
    """
    import mitsuba

    walls, roofs = prisms(rings, BUILDING_HEIGHT)
    meshes = {"walls": walls, "roofs": roofs, "ground": _ground(size)}
    if cars is not None:
        meshes["cars"] = joined(prisms(trace(cars), CAR_HEIGHT))
    scene = library.load_scene()
    materials = {kind: library.ITURadioMaterial(f"itu_{kind}", kind, thickness=THICKNESS) for kind in set(MATERIALS.values())}
    solids = [
        library.SceneObject(mi_mesh=make_mesh(mitsuba, *mesh, name), name=name, radio_material=materials[MATERIALS[name]])
        for name, mesh in meshes.items()
        if len(mesh[1])
    ]
    scene.edit(add=solids)
    return TracedScene(library, scene)


def prisms(rings: Sequence[Ring], height: float) -> tuple[Mesh, Mesh]:
    """(walls, roofs) of what lies inside an odd number of rings, standing on z = 0.

    Walls stand `INSET` metres inside the outline. Neighbouring walls share the vertices between them, so that the ray tracer
    finds the edge that bends rays. Raises UserError where the package shapely is missing.
    """
    shapely = _load_shapely()
    area = shapely.Polygon()
    for ring in rings:
        corners = np.column_stack([ring[:, 1] + 0.5, -ring[:, 0] - 0.5])
        area = area.symmetric_difference(shapely.make_valid(shapely.Polygon(corners)))
    area = area.buffer(-INSET, join_style="mitre")
    walls, roofs = [_NOTHING], [_NOTHING]
    for polygon in (part for part in shapely.get_parts(area) if not part.is_empty):
        for outline in (polygon.exterior, *polygon.interiors):
            walls.append(_walls(np.array(outline.coords)[:-1], height))
        for triangle in shapely.get_parts(shapely.constrained_delaunay_triangles(polygon)):
            corners = np.array(triangle.exterior.coords)[:3]
            roofs.append((np.column_stack([corners, np.full(3, height)]), np.arange(3)[None]))
    return joined(walls), joined(roofs)


def joined(meshes: Sequence[Mesh]) -> Mesh:
    """Several meshes as one."""
    first = np.cumsum([0] + [len(vertices) for vertices, _ in meshes])
    triangles = [triangles + start for (_, triangles), start in zip(meshes, first, strict=False)]
    return np.concatenate([vertices for vertices, _ in meshes]), np.concatenate(triangles)


def _walls(corners: Float[np.ndarray, "corners 2"], height: float) -> Mesh:
    """Two triangles a side of a closed outline."""
    count = len(corners)
    start, end = np.arange(count), np.roll(np.arange(count), -1)
    feet = np.column_stack([corners, np.zeros(count)])
    lower = np.stack([start, end, end + count], axis=-1)
    upper = np.stack([start, end + count, start + count], axis=-1)
    return np.concatenate([feet, feet + [0, 0, height]]), np.concatenate([lower, upper])


def _ground(size: tuple[int, int]) -> Mesh:
    height, width = size
    west, east = -GROUND_MARGIN, width + GROUND_MARGIN
    north, south = GROUND_MARGIN, -height - GROUND_MARGIN
    corners = np.array([[west, north, 0.0], [west, south, 0.0], [east, south, 0.0], [east, north, 0.0]])
    return corners, np.array([[0, 1, 2], [0, 2, 3]])


def _load_shapely() -> ModuleType:
    try:
        import shapely
    except ImportError:
        raise UserError(
            "ray tracing of layouts needs the package shapely; install the extra with pip install -e '.[raytrace]'"
        ) from None
    return shapely


_NOTHING: Mesh = (np.zeros((0, 3)), np.zeros((0, 3), np.int64))
