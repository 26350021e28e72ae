"""Areas from footprints in degrees and in metres, and what is cut out of a file that is too large."""

import json

import numpy as np
import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.coverage import Area, Site, read_area, read_sites
from tests.simulation.cities.footprint_examples import box, to_degrees, town, write_geojson, write_osm

pytest.importorskip("pyproj")
pytest.importorskip("shapely")
EAST, NORTH = 456_000, 5_427_000  # metres of EPSG:32632, near the town's place in degrees


def in_metres(points):
    return [(EAST + east, NORTH + north) for east, north in points]


def test_both_formats_give_the_same_area(tmp_path):
    geojson = read_area(write_geojson(tmp_path / "town.geojson", town()))
    osm = read_area(write_osm(tmp_path / "town.osm", town()))
    assert geojson.system == osm.system == "EPSG:32632" and geojson.size == osm.size
    assert np.mean(geojson.buildings != osm.buildings) < 0.002 and (geojson.left, geojson.top) == (osm.left, osm.top)
    assert abs(geojson.buildings.sum() - (20 * 30 * 24 - 14 * 8)) < 150
    assert 32 <= np.argmax(geojson.buildings.any(axis=1)) <= 34  # the margin


def test_metres_keep_their_coordinates_and_small_ones_are_no_degrees(tmp_path):
    path = write_geojson(tmp_path / "town.json", town(), in_metres)
    area = read_area(path, system="EPSG:32632")
    assert (area.left, area.top) == (EAST - 32, NORTH + 3 * 50 + 24 + 32) and area.system == "EPSG:32632"
    row, column = area.pixel(*area.degrees(10.5, 20.5))
    assert (row, column) == (10, 20)
    assert read_area(path).system is None
    named = json.loads(path.read_text()) | {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}}
    path.write_text(json.dumps(named))
    assert np.array_equal(read_area(path).buildings, area.buildings) and read_area(path).system.endswith("32632")
    small = write_geojson(tmp_path / "small.json", {0: [box(0, 0, 30, 30)]}, list)
    assert read_area(small, system="EPSG:32632").size == (94, 94)


def test_a_file_that_names_degrees_is_in_degrees(tmp_path):
    path = write_geojson(tmp_path / "town.json", town())
    whole = read_area(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"crs": {"properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}}))
    assert np.array_equal(read_area(path).buildings, whole.buildings)
    feet = json.loads(path.read_text()) | {"crs": {"properties": {"name": "EPSG:2263"}}}  # New York, in feet
    path.write_text(json.dumps(feet))
    with pytest.raises(UserError, match="EPSG:2263', which is not a plane in metres"):
        read_area(path)


def test_a_large_file_is_cut_around_the_sites(tmp_path):
    blocks = town() | {(99, 99): [box(3000, 2600, 30, 24)]}
    path = write_geojson(tmp_path / "town.json", blocks)
    with pytest.raises(UserError, match="at most 2048 m a side; cut it by --bounds"):
        read_area(path)
    place = to_degrees([(40, 40)])[0]
    area = read_area(path, near=[place])
    row, column = area.pixel(*place)
    assert 288 <= area.size[0] <= 360 and 288 <= area.size[1] <= 360 and abs(area.size[1] - column - 256) <= 2
    assert not area.buildings[row, column] and area.buildings.sum() > 10_000
    (south_west, north_east) = to_degrees([(-10, -10), (60, 80)])
    cut = read_area(path, bounds=(*south_west, *north_east))
    assert abs(cut.size[0] - 90) <= 3 and abs(cut.size[1] - 70) <= 3
    with pytest.raises(UserError, match="sites lie outside of the buildings"):
        read_area(path, near=[(8.3, 48.9)])


def test_sectors_and_defaults_are_read(tmp_path):
    (tmp_path / "s.csv").write_text("Name, row ,column,azimuth,pattern,gain_dbi\n a ,1,2,270,Sector,8\nb,3,4,,,\n")
    sector, omni = read_sites(tmp_path / "s.csv", Area(np.zeros((8, 8), bool)), default_power_dbm=30)
    assert sector == Site("a", 1, 2, 30, 8, 270, "sector")
    assert omni.to_json() == {
        "name": "b", "row": 3, "column": 4, "power_dbm": 30, "gain_dbi": 0.0, "pattern": "omni",
    }  # fmt: skip
