"""Ground plans of buildings from a file: GeoJSON, or an extract of OpenStreetMap in XML; the standard library and numpy.

What comes out is a list of polygons in the file's own coordinates. A polygon is a list of rings, and what lies inside an
odd number of them is building; a ring is a float64 array [points, 2] of (east, north), either degrees (longitude,
latitude) or metres, that repeats its first point.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Float

from radiodiff_jax.errors import UserError, shown
from radiodiff_jax.reading import check_file, finite_number, is_there

Outline = Float[np.ndarray, "points 2"]
Polygon = list[Outline]

Tags = dict[str, str]
FARTHEST = 1e8  # metres, or degrees: more than twice around the Earth


def read_footprints(path: str | Path) -> list[Polygon]:
    """The polygons of all buildings of a file, in its order.

    A file that begins with `<` is read as OpenStreetMap XML, any other as GeoJSON. Raises UserError where the file is
    missing, is neither of these, or holds no building.
    """
    path = Path(path)
    if is_there(path):
        check_file(path, "name a GeoJSON or .osm file")
    try:
        with path.open("rb") as file:
            is_xml = file.read(256).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")
        polygons = _read_osm(path) if is_xml else list(_geojson_buildings(_read_json(path), path))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); name a GeoJSON or .osm file") from None
    if not polygons:
        needed = "closed ways or multipolygons with the tag building" if is_xml else "a Polygon or MultiPolygon"
        raise UserError(f"{path} holds no building: it needs {needed}")
    return polygons


def is_geographic(polygons: list[Polygon]) -> bool:
    """Whether all coordinates can be longitudes and latitudes in degrees; otherwise they are taken as metres."""
    return all(np.all(np.abs(ring) <= (180, 90)) for polygon in polygons for ring in polygon)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is neither GeoJSON nor OpenStreetMap XML ({shown(error)}); name another file") from None


def _geojson_buildings(content: Any, path: Path) -> Iterator[Polygon]:
    """Of features where any has a property `building`, those that have it and not as `no`; otherwise all."""
    features = list(_features(content))
    if not features and not (isinstance(content, dict) and content.get("features") == []):
        raise UserError(f"{path} is JSON but no GeoJSON: it has neither features nor a geometry; name another file")
    if "3857" in str(content.get("crs")) or "900913" in str(content.get("crs")):
        raise UserError(f"{path} is in Web Mercator, whose metres are stretched; export it as longitudes and latitudes")
    marks = [_mark(feature) for feature in features]
    some_marked = any(mark is not None for mark in marks)
    for number, (feature, mark) in enumerate(zip(features, marks, strict=True)):
        if mark not in (None, "no") if some_marked else True:
            try:
                yield from _polygons(feature.get("geometry"))
            except (TypeError, ValueError, AttributeError, KeyError, IndexError, OverflowError, RecursionError):
                raise UserError(f"{path}: feature {number} has no sound coordinates; mend or remove it") from None


def _features(content: Any) -> Iterator[dict[str, Any]]:
    kind = content.get("type") if isinstance(content, dict) else None
    if kind == "FeatureCollection":
        members = content.get("features")
        yield from (one for one in members if isinstance(one, dict)) if isinstance(members, list) else ()
    elif kind == "Feature":
        yield content
    elif kind in ("Polygon", "MultiPolygon", "GeometryCollection"):
        yield {"geometry": content}


def _mark(feature: dict[str, Any]) -> Any:
    properties = feature.get("properties")
    return properties.get("building") if isinstance(properties, dict) else None


def _polygons(geometry: Any) -> Iterator[Polygon]:
    """Polygons of a geometry; none of points, lines and nothing. Raises ValueError and others for unsound ones."""
    kind = geometry["type"] if geometry is not None else None
    if kind in ("Polygon", "MultiPolygon"):
        for rings in [geometry["coordinates"]] if kind == "Polygon" else geometry["coordinates"]:
            if rings:  # GeoJSON may leave a geometry empty
                yield [_ring(points) for points in rings]
    elif kind == "GeometryCollection":
        for part in geometry["geometries"]:
            yield from _polygons(part)


def _ring(points: Any) -> Outline:
    pairs = [(point[0], point[1]) for point in points]  # a third number is a height
    if not all(isinstance(number, (int, float)) and not isinstance(number, bool) for pair in pairs for number in pair):
        raise TypeError
    return _checked(np.array(pairs, np.float64))


def _checked(ring: np.ndarray) -> Outline:
    """The ring. Raises ValueError for fewer points than a triangle has, and for what is no place in either unit."""
    if ring.ndim != 2 or len(ring) < 4 or not np.all(np.abs(ring) <= FARTHEST):  # False for NaN, too
        raise ValueError
    return ring


def _read_osm(path: Path) -> list[Polygon]:
    """Buildings of an extract: closed ways and multipolygon relations; what the extract cuts off is left out."""
    nodes: dict[str, tuple[float, float]] = {}
    ways: dict[str, tuple[list[str], Tags]] = {}
    relations: list[tuple[list[tuple[str, str]], Tags]] = []
    try:
        elements = ElementTree.iterparse(path, events=("start", "end"))
        _, root = next(elements)
        for event, element in elements:
            if event == "start":
                continue
            if element.tag == "node":
                nodes[element.attrib["id"]] = _degrees(element.attrib["lon"], 180), _degrees(element.attrib["lat"], 90)
            elif element.tag == "way":
                ways[element.attrib["id"]] = ([part.attrib["ref"] for part in element.iter("nd")], _tags(element))
            elif element.tag == "relation":
                members = [one.attrib for one in element.iter("member") if one.attrib["type"] == "way"]
                relations.append(([(one["ref"], one.get("role") or "outer") for one in members], _tags(element)))
            if element.tag in ("node", "way", "relation"):
                root.clear()  # a city's extract is large
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # a LookupError for an encoding that nobody knows
        raise UserError(f"{path} is no sound OpenStreetMap XML ({shown(error)}); export it again") from None
    if root.tag != "osm":
        raise UserError(f"{path} is XML, but not of OpenStreetMap; name an .osm or a GeoJSON file")
    return _osm_buildings(nodes, ways, relations)


def _degrees(text: str, most: float) -> float:
    """A longitude or latitude. Raises ValueError for anything else."""
    number = finite_number(text)
    if number is None or abs(number) > most:
        raise ValueError(f"{shown(text)} is not within {most} degrees")
    return number


def _tags(element: ElementTree.Element) -> Tags:
    return {tag.attrib["k"]: tag.attrib["v"] for tag in element.iter("tag")}


def _osm_buildings(
    nodes: dict[str, tuple[float, float]],
    ways: dict[str, tuple[list[str], Tags]],
    relations: list[tuple[list[tuple[str, str]], Tags]],
) -> list[Polygon]:
    polygons, outlines = [], set()
    for members, tags in relations:
        known = [(way, role) for way, role in members if way in ways]
        outer = [way for way, role in known if role == "outer"]
        # In old extracts the outline bears the tag, not the relation.
        marked = _is_building(tags) or any(_is_building(ways[way][1]) for way in outer)
        if tags.get("type") != "multipolygon" or not marked:
            continue
        outlines.update(outer)  # by itself, such a way would fill the courtyards
        courtyards = _closed([ways[way][0] for way, role in known if role == "inner"], nodes)
        shells = _closed([ways[way][0] for way in outer], nodes)
        if shells:
            polygons.append([*shells, *courtyards])
    for way, (references, tags) in ways.items():
        if _is_building(tags) and way not in outlines:
            polygons += [[ring] for ring in _closed([references], nodes)]
    return polygons


def _is_building(tags: Tags) -> bool:
    return tags.get("building", "no") != "no" and tags.get("location") != "underground"


def _closed(lines: list[list[str]], nodes: dict[str, tuple[float, float]]) -> list[Outline]:
    """Rings joined from lines of nodes at their ends; what does not close, or has unknown nodes, is left out."""
    rest = {i: line for i, line in enumerate(lines) if len(line) >= 2 and all(node in nodes for node in line)}
    ends: dict[str, list[int]] = defaultdict(list)  # node -> lines that begin or end there, the next to take last
    for i in reversed(rest):
        for node in {rest[i][0], rest[i][-1]}:
            ends[node].append(i)
    rings = []
    while rest:
        ring = list(rest.popitem()[1])
        while ring[0] != ring[-1]:
            touching = ends[ring[-1]]
            while touching and touching[-1] not in rest:
                touching.pop()
            if not touching:
                break
            following = rest.pop(touching.pop())
            ring += (following if following[0] == ring[-1] else following[::-1])[1:]
        if ring[0] == ring[-1] and len(ring) >= 4:
            rings.append(np.array([nodes[node] for node in ring]))
    return rings
