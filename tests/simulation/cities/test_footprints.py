"""City masks from files: both formats tell the same town, masks are true to the metre, unusable files are told in words."""

import json
import sys

import numpy as np
import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.simulation.cities.footprint_files import is_geographic, read_footprints
from radiodiff_jax.simulation.cities.footprint_windows import footprint_masks, utm_zone, window_corners
from radiodiff_jax.simulation.cities.polygons import signed_area
from tests.simulation.cities.footprint_examples import box, to_degrees, town, write_geojson, write_osm


def in_metres(points):
    """As if projected: far beyond what degrees can be."""
    return [(east + 400_000.0, north + 5_000_000.0) for east, north in points]


def areas(polygons):
    return sorted(tuple(round(abs(signed_area(ring)) * 1e12) for ring in polygon) for polygon in polygons)


def test_both_formats_tell_the_same_buildings(tmp_path):
    geojson = read_footprints(write_geojson(tmp_path / "town.geojson", town()))
    osm = read_footprints(write_osm(tmp_path / "town.osm", town()))
    assert len(osm) == 20 and is_geographic(osm) and is_geographic(geojson)
    assert [len(polygon) for polygon in geojson].count(2) == 1
    assert areas(osm) == areas(geojson)


def test_marked_features_are_the_buildings(tmp_path):
    content = json.loads(write_geojson(tmp_path / "town.json", town()).read_text())
    for number, feature in enumerate(content["features"]):
        feature["properties"] = [{"building": "yes"}, {"building": "no"}, {"landuse": "grass"}, None][number % 4]
    point = {"type": "Feature", "properties": {"building": "entrance"}, "geometry": {"type": "Point", "coordinates": [8, 49]}}
    content["features"] += [point, {"type": "Feature", "properties": {"building": "yes"}, "geometry": None}]
    (tmp_path / "town.json").write_text(json.dumps(content))
    assert len(read_footprints(tmp_path / "town.json")) == 5


def test_the_outline_of_an_old_relation_does_not_fill_its_courtyard(tmp_path):
    text = write_osm(tmp_path / "new.osm", town()).read_text()
    old = text.replace('<tag k="building" v="school"/>', "").replace('<way id="a">', '<way id="a"><tag k="building" v="yes"/>')
    assert old.count("school") == 0
    (tmp_path / "old.osm").write_text(old)
    assert areas(read_footprints(tmp_path / "old.osm")) == areas(read_footprints(tmp_path / "new.osm"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "neither GeoJSON nor"),
        ("[1, 2]", "no GeoJSON"),
        ('{"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}}', "holds no building"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1, "a"], [1, 1], [0, 0]]]}', "feature 0 has no sound"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1, NaN], [1, 1], [0, 0]]]}', "feature 0 has no sound"),
        ('{"type": "FeatureCollection", "crs": "EPSG:3857", "features": [{}]}', "Web Mercator"),
        ('{"type": "Polygon", "coordinates": [[["0", "0"], ["1", "0"], ["1", "1"], ["0", "0"]]]}', "feature 0 has no sound"),
        ('{"type": "Polygon", "coordinates": [[[true, 0], [1, 0], [1, 1], [true, 0]]]}', "feature 0 has no sound"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1, 1e300], [1, 1], [0, 0]]]}', "feature 0 has no sound"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1, 1' + 400 * "0" + '], [1, 1], [0, 0]]]}', "feature 0 has no sound"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [1, Infinity], [1, 1], [0, 0]]]}', "feature 0 has no sound"),
        ('{"type": "Polygon", "coordinates": "0123"}', "feature 0 has no sound"),
        ('{"type": "Polygon", "coordinates": []}', "holds no building"),
        ('{"type": "GeometryCollection", "geometries": []}', "holds no building"),
        (900 * '{"type": "GeometryCollection", "geometries": [' + "null" + 900 * "]}", "neither GeoJSON nor|no sound|no building"),
        (100_000 * "[", "neither GeoJSON nor"),
        ('<?xml version="1.0" encoding="rot13"?><osm></osm>', "no sound OpenStreetMap XML"),
        ('<?xml version="1.0" encoding="nobody"?><osm></osm>', "no sound OpenStreetMap XML"),
        ("<osm><node id='1' lon='nan' lat='1'/></osm>", "no sound OpenStreetMap XML"),
        ("<osm><node id='1' lon='inf' lat='1'/></osm>", "no sound OpenStreetMap XML"),
        ("<osm><node id='1' lon='1_0' lat='1'/></osm>", "no sound OpenStreetMap XML"),
        ("<osm><node id='1' lon='200' lat='1'/></osm>", "within 180 degrees"),
        ("<osm><node", "no sound OpenStreetMap XML"),
        ("<osm><node id='1'/></osm>", "no sound OpenStreetMap XML"),
        ("<gpx></gpx>", "not of OpenStreetMap"),
        ("<osm></osm>", "holds no building"),
        ('{"type": "FeatureCollection", "features": []}', "holds no building"),
        (None, "cannot be read"),
    ],
)
def test_unusable_files_are_told_in_words(tmp_path, text, words):
    if text is not None:
        (tmp_path / "file").write_text(text)
    with pytest.raises(UserError, match=words):
        read_footprints(tmp_path / "file")


def test_windows_lie_side_by_side_within_the_extent():
    corners = window_corners((10.0, 20.0, 310.0, 221.0), (64, 96), seed=3)
    assert len(corners) == 9 and corners == window_corners((10.0, 20.0, 310.0, 221.0), (64, 96), seed=3)
    assert corners != window_corners((10.0, 20.0, 310.0, 221.0), (64, 96), seed=4)
    for number, (left, top) in enumerate(corners):
        assert 10 <= left <= 310 - 96 and 20 + 64 <= top <= 221
        assert all(abs(left - x) >= 96 - 1e-6 or abs(top - y) >= 64 - 1e-6 for x, y in corners[:number])
    assert window_corners((0.0, 0.0, 95.0, 500.0), (64, 96), seed=0) == []


def test_zones():
    assert utm_zone(8.4, 49.0) == "EPSG:32632"
    assert utm_zone(151.2, -33.9) == "EPSG:32756"
    assert utm_zone(180.0, 10.0) == "EPSG:32601"


def test_masks_are_true_to_the_metre(tmp_path):
    pytest.importorskip("shapely")
    given = footprint_masks(write_geojson(tmp_path / "town.geojson", town(), in_metres), 99, (64, 96), seed=0)
    assert given.windows_there == 4 and given.source["coordinates"] == "metres of the file"
    for mask, (left, top) in zip(given.masks, given.source["windows"], strict=True):
        east = left + 0.5 + np.arange(96) - 400_000
        north = (top - 0.5 - np.arange(64) - 5_000_000)[:, None]
        blocks = (east % 50 < 30) & (north % 50 < 24) & (east >= 0) & (north >= 0)
        courtyard = (np.abs(east - 15) < 7) & (np.abs(north - 12) < 4)
        assert mask.shape == (64, 96) and np.mean(mask != (blocks & ~courtyard)) < 0.005
    assert len(given.masks) == len(given.source["windows"]) >= 3


def test_overlapping_and_crossing_outlines_stay_buildings(tmp_path):
    pytest.importorskip("shapely")
    blocks = town()
    whole = footprint_masks(write_geojson(tmp_path / "a.json", blocks, in_metres), 9, (64, 96), seed=0)
    blocks |= {(i, j, "part"): [box(50 * j + 2, 50 * i + 2, 20, 12)] for i, j in town() if (i, j) != (0, 0)}
    crossed = footprint_masks(write_geojson(tmp_path / "b.json", blocks, in_metres), 9, (64, 96), seed=0)
    assert all(np.array_equal(one, other) for one, other in zip(whole.masks, crossed.masks, strict=True))
    bow = [(0, 0), (200, 150), (200, 0), (0, 150), (0, 0)]
    path = write_geojson(tmp_path / "bow.json", {0: [bow]}, in_metres)
    with pytest.raises(UserError, match="None of the .* windows"):
        footprint_masks(path, 1, (128, 192), seed=0)


def test_degrees_become_metres(tmp_path):
    pytest.importorskip("shapely")
    pytest.importorskip("pyproj")
    for write in (write_geojson, write_osm):
        given = footprint_masks(write(tmp_path / "town", town()), 9, (64, 96), seed=0)
        assert given.source["coordinates"] == "EPSG:32632"
        assert all(abs(np.mean(mask) - 30 * 24 / 2500) < 0.15 for mask in given.masks)
    wide = write_geojson(tmp_path / "wide.json", {0: [box(0, 0, 9, 9)], 1: [box(200_000, 0, 9, 9)]}, to_degrees)
    with pytest.raises(UserError, match="degrees, too much"):
        footprint_masks(wide, 1, (64, 64), seed=0)


def test_an_extent_without_a_window_is_refused(tmp_path):
    pytest.importorskip("shapely")
    with pytest.raises(UserError, match="less than one window"):
        footprint_masks(write_geojson(tmp_path / "town.json", town(), in_metres), 1, (256, 256), seed=0)


def test_missing_libraries_are_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "shapely", None)
    with pytest.raises(UserError, match=r"needs shapely .*install -e .\.\[footprints\]"):
        footprint_masks(write_geojson(tmp_path / "town.json", town()), 1, (64, 64), seed=0)


def spaghetti(points):
    rng = np.random.default_rng(0)
    ring = [tuple(point) for point in (300 * rng.random((points, 2))).tolist()]
    return [*ring, ring[0]]


@pytest.mark.parametrize(
    ("rings", "place", "words"),
    [
        ({0: [[(0, 0)] * 5]}, in_metres, "no building of at least 1 square metre"),
        ({0: [[(0, 0), (100, 0), (200, 0), (0, 0)]]}, in_metres, "no building of at least 1 square metre"),
        ({0: [box(0, 0, 100_000, 100_000)]}, in_metres, "a building of 100 km"),
        ({0: [box(0, 0, 99, 99)], 1: [box(9e6, 0, 99, 99)]}, in_metres, "span 0 x 9,000 km, too much"),
        ({0: [box(0, 0, 99, 99)], 1: [box(9e6, 9e6, 99, 99)]}, in_metres, "span 9,000 x 9,000 km, too much"),
        ({0: [box(-180, -90, 360, 180)]}, list, "degrees, too much for one plane"),
        ({0: [[(0, 90), (0.5, 90), (0.5, 89.5), (0, 90)]]}, list, "no building of at least 1 square metre"),
        ({0: [spaghetti(400)]}, in_metres, "crosses itself more than"),
        ({0: [spaghetti(20_000)]}, in_metres, "crosses itself more than"),
    ],
)
def test_what_is_no_city_is_refused_at_once(tmp_path, rings, place, words):
    pytest.importorskip("shapely")
    pytest.importorskip("pyproj")
    with pytest.raises(UserError, match=words):
        footprint_masks(write_geojson(tmp_path / "town.json", rings, place), 2, (64, 64), seed=0)


def test_windows_without_buildings_are_passed_over():
    """As before, but for those that no box touches: two houses 100 km apart took minutes."""
    extent = (10.0, 20.0, 5_000.0, 6_000.0)
    bounds = np.array([[10.0, 20.0, 30.0, 90.0], [4_500.0, 5_990.0, 5_000.0, 6_000.0]])
    every, some = window_corners(extent, (64, 96), 3), window_corners(extent, (64, 96), 3, bounds)
    touching = [
        (left, top) for left, top in every
        if any(west <= left + 96 and left <= east and south <= top and top - 64 <= north for west, south, east, north in bounds)
    ]  # fmt: skip
    assert some == touching and 0 < len(some) < 40


def test_a_ring_of_many_ways_is_joined_in_no_time(tmp_path):
    number = 20_000
    angles = 2 * np.pi * np.arange(number) / number
    nodes = "".join(f'<node id="{i}" lon="{8 + 0.001 * np.cos(a)}" lat="{49 + 0.001 * np.sin(a)}"/>' for i, a in enumerate(angles))
    ways = "".join(f'<way id="{i}"><nd ref="{i}"/><nd ref="{(i + 1) % number}"/></way>' for i in range(number))
    members = "".join(f'<member type="way" ref="{i}" role="outer"/>' for i in range(number))
    tags = '<tag k="type" v="multipolygon"/><tag k="building" v="yes"/>'
    (tmp_path / "round.osm").write_text(f"<osm>{nodes}{ways}<relation id='1'>{members}{tags}</relation></osm>")
    ((ring,),) = read_footprints(tmp_path / "round.osm")
    assert len(ring) == number + 1
