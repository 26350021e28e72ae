"""City masks from real ground plans: projected to metres, cut into windows, rasterised. Needs the extra `footprints`.

Overlapping plans (parts of one building, say) are united first, since rasterising counts crossings. Windows never share
ground: a grid of them is laid over the extent, moved by a random part of what is left over, and visited in random order.
"""

import hashlib
import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from radiodiff_jax.errors import UserError, shown
from radiodiff_jax.simulation.cities.footprint_files import Polygon, is_geographic, read_footprints
from radiodiff_jax.simulation.cities.generator import DENSITY, is_usual
from radiodiff_jax.simulation.cities.polygons import rasterise

WIDEST_DEGREES = 1.0  # of a file in degrees: about 100 km, over which one UTM zone is true to some 0.1 %
SMALLEST_AREA = 1.0  # square metres; slivers that a union leaves are no buildings
WIDEST = 200_000.0  # metres of a file, corner to corner of what is left in one plane
LONGEST_BUILDING = 5_000.0  # metres; airports and factories stay below 2 km
MOST_WINDOWS = 20_000_000  # in one file
MOST_POINTS, MOST_CROSSINGS = 5_000, 1_000  # of an outline that crosses itself: mending takes seconds beyond
Extent = tuple[float, float, float, float]


@dataclass(frozen=True)
class FootprintMasks:
    """Masks of windows of real ground, and what a record should say of them."""

    masks: list[Bool[np.ndarray, "height width"]]
    source: dict[str, Any]
    """Name and digest of the file, coordinate system, size, north-western corner (east, north) of each window in metres."""
    windows_there: int
    """Windows that fit side by side into the extent, built over as usual or not."""


def footprint_masks(path: str | Path, maps: int, size: tuple[int, int], seed: int) -> FootprintMasks:
    """Up to `maps` windows of `size` (height, width) metres of the buildings of a GeoJSON or OpenStreetMap file.

    Rows run south. Fewer come back where fewer have a usual share of buildings (see `is_usual`). The same file and
    arguments give the same masks. Raises UserError for an unreadable file (see `read_footprints`), where its extent is
    smaller than one window or, in degrees, wider than 1, where no window is usual, and where libraries are missing.
    """
    path = Path(path)
    shapely = load_library("shapely", "to unite footprints")
    polygons, system = to_metres(read_footprints(path), path)
    shapes = _shapes(shapely, polygons, path)
    tree = shapely.STRtree(shapes)
    extent = west, south, east, north = tuple(shapely.total_bounds(shapes).tolist())
    rows, columns = window_grid(extent, size)
    if not rows * columns:
        raise UserError(
            f"the buildings of {path} span {north - south:.0f} x {east - west:.0f} m, less than one window of {size[0]} x "
            f"{size[1]} m; choose a smaller size or another file"
        )
    if max(north - south, east - west) > WIDEST or rows * columns > MOST_WINDOWS:
        raise UserError(
            f"the buildings of {path} span {(north - south) / 1000:,.0f} x {(east - west) / 1000:,.0f} km, too much for "
            f"{size[0]} x {size[1]} m windows; cut out one city, at most {WIDEST / 1000:.0f} km wide"
        )
    corners = window_corners(extent, size, seed, shapely.bounds(shapes))
    masks, windows = [], []
    for left, top in corners:
        if len(masks) == maps:
            break
        window = shapely.box(left, top - size[0], left + size[1], top)
        mask = _mask(shapely, shapes[np.sort(tree.query(window, predicate="intersects"))], left, top, size)
        if is_usual(mask):
            masks.append(mask)
            windows.append([round(left, 2), round(top, 2)])
    if not masks:
        low, high = (f"{100 * share:.0f} %" for share in DENSITY)
        raise UserError(
            f"None of the {rows * columns} windows of {path} is usable: buildings must cover {low} to {high} of a window; "
            "choose another size or a denser part of the city"
        )
    source = {
        "footprints": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "coordinates": system,
        "size": list(size),
        "windows": windows,
    }
    return FootprintMasks(masks, source, rows * columns)


def window_grid(extent: Extent, size: tuple[int, int]) -> tuple[int, int]:
    """How many windows of `size` lie side by side in (west, south, east, north): (rows, columns)."""
    west, south, east, north = extent
    return int((north - south) // size[0]), int((east - west) // size[1])


def footprint_mask(
    polygons: list[Polygon], left: float, top: float, size: tuple[int, int], path: Path, who: str = "--footprints"
) -> Bool[np.ndarray, "height width"]:
    """The mask of one window of `size` metres whose north-western corner is (left, top), of polygons in metres.

    Raises UserError where shapely is missing, which `who` needs, and for an outline of `path` that cannot be mended.
    """
    shapely = load_library("shapely", "to unite footprints", who)
    low, high = (left, top - size[0]), (left + size[1], top)
    reached = [one for one in polygons if any(np.all((ring.max(0) >= low) & (ring.min(0) <= high)) for ring in one)]
    return _mask(shapely, np.array([_shape(shapely, polygon, path) for polygon in reached]), left, top, size)


def window_corners(
    extent: Extent, size: tuple[int, int], seed: int, bounds: Float[np.ndarray, "shapes 4"] | None = None
) -> list[tuple[float, float]]:
    """North-western corners (east, north) of windows that lie side by side in (west, south, east, north), shuffled.

    With `bounds` (west, south, east, north) of shapes only windows that touch one of these boxes.
    """
    west, south, east, north = extent
    rows, columns = window_grid(extent, size)
    rng = np.random.default_rng(seed)
    down, right = (rng.random(2) * (north - south - rows * size[0], east - west - columns * size[1])).tolist()
    order = rng.permutation(rows * columns)
    if bounds is not None:
        touched = np.zeros((rows, columns), bool)
        first, last = (np.stack([north - down - bounds[:, up], bounds[:, side] - west - right], 1) for up, side in ((3, 0), (1, 2)))
        cells = np.clip(np.concatenate([first, last], 1) // (*size, *size), -1, (rows, columns, rows, columns)).astype(int)
        for top, left, bottom, end in np.maximum(cells, (0, 0, -1, -1)):
            touched[top : bottom + 1, left : end + 1] = True
        order = order[touched.reshape(-1)[order]]
    return [(west + right + j * size[1], north - down - i * size[0]) for i, j in (divmod(int(n), columns) for n in order)]


def to_metres(polygons: list[Polygon], path: Path, who: str = "--footprints") -> tuple[list[Polygon], str]:
    """Degrees to the UTM zone of their middle; other numbers are taken as metres already. The name of the system too."""
    if not is_geographic(polygons):
        return polygons, "metres of the file"
    points = np.concatenate([ring for polygon in polygons for ring in polygon])
    low, high = points.min(axis=0), points.max(axis=0)
    if np.any(high - low > WIDEST_DEGREES):
        raise UserError(
            f"{path} spans {high[0] - low[0]:.1f} x {high[1] - low[1]:.1f} degrees, too much for one plane; cut out at most "
            f"{WIDEST_DEGREES:.0f} degree, or project it to metres"
        )
    pyproj = load_library("pyproj", "to project longitudes and latitudes", who)
    system = utm_zone(*(low + high) / 2)
    project = pyproj.Transformer.from_crs("EPSG:4326", system, always_xy=True).transform
    return [[np.stack(project(*ring.T), axis=1) for ring in polygon] for polygon in polygons], system


def utm_zone(longitude: float, latitude: float) -> str:
    """The EPSG name of the plain UTM zone (6 degrees wide, WGS 84) of a place in degrees."""
    zone = int((longitude + 180) // 6) % 60 + 1
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"


def load_library(name: str, purpose: str, who: str = "--footprints", extra: str = "footprints") -> ModuleType:
    """A library of an extra. Raises UserError, which says what `who` needs it for and how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"{who} needs {name} {purpose} ({error}); install it with pip install -e '.[{extra}]'"
        ) from None


def _shapes(shapely: ModuleType, polygons: list[Polygon], path: Path) -> np.ndarray:
    """One geometry a polygon; those of less than `SMALLEST_AREA` are left out. Raises UserError where nothing is left."""
    try:
        shapes = np.array([_shape(shapely, polygon, path) for polygon in polygons])
        shapes = shapes[shapely.area(shapes) >= SMALLEST_AREA]
        if len(shapes) == 0:
            raise UserError(f"{path} holds no building of at least {SMALLEST_AREA:.0f} square metre; name another file")
        sides = shapely.bounds(shapes)
    except shapely.errors.ShapelyError as error:
        raise UserError(f"{path} holds an outline that cannot be mended ({shown(error)}); remove it") from None
    longest = (sides[:, 2:] - sides[:, :2]).max()
    if longest > LONGEST_BUILDING:
        raise UserError(
            f"{path} holds a building of {longest / 1000:,.0f} km, but {LONGEST_BUILDING / 1000:.0f} km is the most; "
            "remove what is no building, and give coordinates in metres or degrees"
        )
    return shapes


def _shape(shapely: ModuleType, polygon: Polygon, path: Path):
    """One geometry of a list of rings by the odd-even rule; rings that cross themselves are mended."""
    outlines = np.array([shapely.Polygon(ring) for ring in polygon])
    for ring, sound in zip(polygon, shapely.is_valid(outlines), strict=True):
        if not sound and (len(ring) > MOST_POINTS or crossings(ring) > MOST_CROSSINGS):
            raise UserError(
                f"{path} holds an outline of {len(ring)} points that crosses itself more than {MOST_CROSSINGS} times; remove it, "
                "it is no building"
            )
    rings = shapely.make_valid(outlines, method="structure", keep_collapsed=False)
    while len(rings) > 1:  # in pairs, and pairs of pairs: one after the other would take hours for thousands of rings
        odd = rings[len(rings) // 2 * 2 :]
        rings = np.concatenate([shapely.symmetric_difference(rings[: len(rings) // 2 * 2 : 2], rings[1::2]), odd])
    return rings[0]


def crossings(ring: Float[np.ndarray, "points 2"]) -> int:
    """How often the segments of a ring cross one another, each pair counted once; touching is not crossing."""
    def side(along: np.ndarray, point: np.ndarray) -> np.ndarray:
        return along[..., 0] * point[..., 1] - along[..., 1] * point[..., 0]

    start, step, found = ring[:-1], np.diff(ring, axis=0), 0
    for i in range(len(start)):
        away, others = start[i + 1 :] - start[i], step[i + 1 :]
        apart = side(step[i], away) * side(step[i], away + others) < 0  # the other's ends lie on both sides of this segment
        found += int(np.sum(apart & (side(others, -away) * side(others, step[i] - away) < 0)))
    return found


def _mask(shapely: ModuleType, shapes: np.ndarray, left: float, top: float, size: tuple[int, int]) -> np.ndarray:
    """The mask of a window; the centre of its first pixel lies half a metre inside its corner."""
    parts = shapely.get_parts(shapely.union_all(shapes)) if len(shapes) else []
    rings = [
        np.stack([top - 0.5 - points[:, 1], points[:, 0] - left - 0.5], axis=1)[:-1]
        for part in parts
        if part.geom_type == "Polygon" and part.area >= SMALLEST_AREA
        for points in (shapely.get_coordinates(ring) for ring in (part.exterior, *part.interiors))
    ]
    return rasterise(rings, *size)
