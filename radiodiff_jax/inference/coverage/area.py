"""Where: a mask of buildings, 1 pixel = 1 m, and its place on earth.

A mask PNG has no place of its own unless its upper left corner is named. Footprints in degrees are projected to their
UTM zone; those in metres keep their coordinates. Degrees need pyproj and footprints shapely (extra `geo`).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from radiodiff_jax.errors import UserError, shown
from radiodiff_jax.images import read_grey
from radiodiff_jax.reading import read_bytes, read_text
from radiodiff_jax.simulation.cities.footprint_files import Polygon, is_geographic, read_footprints
from radiodiff_jax.simulation.cities.footprint_windows import footprint_mask, load_library, to_metres, utm_zone

UTM_SOUTH, UTM_NORTH = -80, 84
"""Degrees of latitude between which UTM zones are."""
LONGEST = 2048
"""Metres: the longest side of an area."""
MARGIN = 32
"""Metres of open ground around the outermost buildings of a file."""
AROUND = 256
"""Metres around the sites that are looked at where the file is larger than an area may be."""
FILES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff")
LOCAL = 'LOCAL_CS["local metres, no place on earth",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]'
"""What a map without a place on earth says of its coordinates."""

Degrees = tuple[float, float]
"""(longitude, latitude)."""


@dataclass(frozen=True)
class Area:
    """A mask of buildings, rows running south, and where it lies."""

    buildings: Bool[np.ndarray, "height width"]
    left: float = 0.0
    """East of the left edge, in metres of the coordinate system."""
    top: float = 0.0
    """North of the upper edge."""
    system: str | None = None
    """The coordinate system as pyproj takes it ("EPSG:32632"); None for metres that have no place on earth."""
    source: str = ""
    """The file that it was read from."""
    digest: str = ""
    """SHA-256 of that file."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.buildings.shape

    @property
    def outdoors(self) -> Bool[np.ndarray, "height width"]:
        """Where no building is."""
        return ~self.buildings

    @cached_property
    def _transformers(self) -> tuple[Any, Any]:
        pyproj = load_library("pyproj", "to project longitudes and latitudes", "a place on earth", "geo")
        return tuple(pyproj.Transformer.from_crs(*pair, always_xy=True) for pair in
                     (("EPSG:4326", self.system), (self.system, "EPSG:4326")))  # fmt: skip

    def pixel(self, longitude: float, latitude: float) -> tuple[int, int]:
        """(row, column) of a place in degrees, also outside of the area. The area must have a place on earth."""
        east, north = self._transformers[0].transform(longitude, latitude)
        if not np.isfinite([east, north]).all():
            return -1, -1
        return int(np.floor(self.top - north)), int(np.floor(east - self.left))

    def metres(self, rows: Any, columns: Any) -> tuple[Any, Any]:
        """(east, north) of places in pixels, counted from the upper left corner: pixel centres are at .5."""
        return self.left + columns, self.top - rows

    def degrees(self, rows: Any, columns: Any) -> tuple[Any, Any]:
        """(longitude, latitude) of places in pixels, as `metres`. The area must have a place on earth."""
        return self._transformers[1].transform(*self.metres(rows, columns))


def read_area(
    path: Path, near: Sequence[Degrees] = (), bounds: tuple[float, float, float, float] | None = None,
    origin: Degrees | None = None, system: str | None = None,
) -> Area:  # fmt: skip
    """The area of a mask (PNG, not 0 = building), or of the footprints of a GeoJSON or .osm file.

    `bounds` cuts a file of footprints: (west, south, east, north) in degrees, or in metres if its coordinates are; without
    them a file larger than 2048 m is cut to 256 m around the places `near`. `origin` is the place of a mask's upper left
    corner. `system` names the coordinate system of a file in metres. Raises UserError for an unreadable or too large
    file, one without buildings or without a pixel outdoors, an unknown system, and libraries that are missing.
    """
    path = Path(path)
    if path.suffix.lower() in FILES:
        if bounds or system:
            raise UserError(f"{path} is a mask, which --bounds and --crs have no part in; leave them out, --origin places masks")
        area = _mask_area(path, origin)
    else:
        if origin:
            raise UserError(f"{path} has coordinates of its own; leave --origin out, it places masks")
        area = _footprint_area(path, near, bounds, system)
    if area.buildings.all():
        raise UserError(f"{path} is building everywhere; a map needs pixels outdoors, which are 0")
    if area.system:
        _check_degrees(area, path)
    return area


def _check_degrees(area: Area, path: Path) -> None:
    """Raise UserError where an area has no sound longitudes and latitudes: beyond its coordinate system, or across 180 degrees."""
    height, width = area.size
    corners = np.array(area.degrees(np.array([0, 0, height, height]), np.array([0, width, 0, width])))
    if not np.isfinite(corners).all():
        system = shown(area.system)
        raise UserError(f"{path} lies where its coordinate system {system} has no longitudes and latitudes; name another")
    if np.ptp(corners[0]) > 180:
        raise UserError(f"{path} lies across the meridian of 180 degrees, which maps of degrees cannot; plan each side by itself")


def _mask_area(path: Path, origin: Degrees | None) -> Area:
    buildings = read_grey(path) != 0
    height, width = buildings.shape
    if max(height, width) > LONGEST:
        raise UserError(f"{path} is {height} x {width} pixels, but an area has at most {LONGEST} m a side; cut it")
    if origin is None:
        return Area(buildings, 0.0, float(height), None, path.name, _digest(path))
    if not (abs(origin[0]) <= 180 and UTM_SOUTH <= origin[1] <= UTM_NORTH):
        raise UserError(
            f"--origin {origin[0]:g},{origin[1]:g} is no place that UTM has; give a longitude of -180 to 180 and a latitude of "
            f"{UTM_SOUTH} to {UTM_NORTH} degrees"
        )
    system = utm_zone(*origin)
    left, top = _project(system, [origin])[0]
    return Area(buildings, float(left), float(top), system, path.name, _digest(path))


def _footprint_area(
    path: Path, near: Sequence[Degrees], bounds: tuple[float, float, float, float] | None, system: str | None
) -> Area:
    polygons = read_footprints(path)
    named = _named_system(path) if system is None else system
    if named is not None and not _check_system(named, path, None if system is None else "--crs"):
        system = named
    elif is_geographic(polygons):
        polygons, system = to_metres(polygons, path, "--buildings with footprints")
    else:
        if named is not None:
            raise UserError(f"{path} says that it is in degrees ({shown(named)}), but has larger numbers; name its system by --crs")
        system = None
    west, south, east, north = _extent(polygons)
    if bounds is not None:
        corners = [(bounds[i], bounds[j]) for i in (0, 2) for j in (1, 3)]
        if system and np.all(np.abs(corners) <= (180, 90)):
            corners = _project(system, corners)
        (west, south), (east, north) = np.min(corners, 0), np.max(corners, 0)
    elif max(east - west, north - south) + 2 * MARGIN > LONGEST and len(near) and system:
        places = _project(system, near)
        (west, south), (east, north) = (np.maximum(places.min(0) - AROUND, (west - MARGIN, south - MARGIN)),
                                        np.minimum(places.max(0) + AROUND, (east + MARGIN, north + MARGIN)))  # fmt: skip
    else:
        west, south, east, north = west - MARGIN, south - MARGIN, east + MARGIN, north + MARGIN
    left, top = np.floor(west), np.ceil(north)
    size = (int(np.ceil(top - south)), int(np.ceil(east - left)))
    if min(size) < 1:
        raise UserError(f"the sites lie outside of the buildings of {path}; bring a file of that place, or name --bounds")
    if max(size) > LONGEST:
        raise UserError(
            f"the area is {size[0]} x {size[1]} m of {path}, but it may have at most {LONGEST} m a side; cut it by --bounds "
            "WEST,SOUTH,EAST,NORTH"
        )
    mask = footprint_mask(polygons, float(left), float(top), size, path, "--buildings with footprints")
    if not mask.any():
        raise UserError(f"{path} has no building within the area; name other --bounds, or sites where its buildings are")
    return Area(mask, float(left), float(top), system, path.name, _digest(path))


def _named_system(path: Path) -> str | None:
    """What the member `crs` of a GeoJSON file names, as GeoJSON of 2008 had it; None for none and for an .osm file."""
    try:
        content = json.loads(_text(path))
    except (ValueError, RecursionError):
        return None
    member = content.get("crs") if isinstance(content, dict) else None
    properties = member.get("properties") if isinstance(member, dict) else None
    return str(properties.get("name")) if isinstance(properties, dict) and properties.get("name") else None


def _check_system(name: str, path: Path, option: str | None) -> bool:
    """Whether a coordinate system is in degrees. Raises UserError for an unknown one, and for other units than metres."""
    pyproj = load_library("pyproj", "to know coordinate systems", "--buildings with footprints", "geo")
    where = f"{option} names" if option else f"line {_line_of_system(path)} of {path} names"
    try:
        found = pyproj.CRS.from_user_input(name)
    except (pyproj.exceptions.CRSError, ValueError):  # a ValueError for a zero byte
        raise UserError(f"{where} the coordinate system {shown(name)}, which is unknown; name one such as EPSG:32632") from None
    if found.is_geographic:
        return True
    if not found.is_projected or any(axis.unit_name != "metre" for axis in found.axis_info):
        raise UserError(f"{where} the coordinate system {shown(name)}, which is not a plane in metres; project it, or use degrees")
    return False


def _line_of_system(path: Path) -> int:
    content = _text(path)
    return content.count("\n", 0, max(content.find('"crs"'), 0)) + 1


def _extent(polygons: list[Polygon]) -> tuple[float, float, float, float]:
    points = np.concatenate([ring for polygon in polygons for ring in polygon])
    return (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())


def _project(system: str, places: Sequence[Degrees]) -> np.ndarray:
    pyproj = load_library("pyproj", "to project longitudes and latitudes", "a place on earth", "geo")
    project = pyproj.Transformer.from_crs("EPSG:4326", system, always_xy=True).transform
    return np.stack(project(*np.array(places, float).T), axis=1)


def _text(path: Path) -> str:
    return read_text(path, "give a mask as PNG, or footprints as GeoJSON or .osm")


def _digest(path: Path) -> str:
    return hashlib.sha256(read_bytes(path, "give it again")).hexdigest()
