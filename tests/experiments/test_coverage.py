"""The whole way: real footprints -> mask -> maps -> best server, SINR, GeoTIFF, KMZ; what cannot be is told in a sentence."""

import json
import os
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from experiments import coverage
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import write_mask
from radiodiff_jax.inference.coverage import read_area, read_sites
from radiodiff_jax.inference.model_file import write_model_file
from tests.inference.test_model_file import generator  # noqa: F401 (a fixture)

MUNICH = Path(__file__).parents[1] / "inference" / "coverage" / "munich.geojson"
SITES = """name,longitude,latitude,power_dbm,azimuth,pattern
north,11.57350,48.13935,30,,
"south, sector",11.57410,48.13808,30,45,sector
"""


@pytest.fixture(scope="module")
def model(generator, tmp_path_factory):  # noqa: F811
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    write_model_file(path, generator.composition, generator.variables, {}, {"summary": "a test"}, "MIT", precision="float32")
    return path


@pytest.fixture(scope="module")
def munich(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("munich")
    (folder / "sites.csv").write_text(SITES)
    words = ["--model", str(model), "--buildings", str(MUNICH), "--sites", str(folder / "sites.csv"), "--out", str(folder / "plan")]
    assert coverage.main([*words, "--each"]) == 0
    return folder / "plan"


@pytest.fixture
def mask(tmp_path):
    walls = np.zeros((48, 64), bool)
    walls[8:20, 10:30] = walls[30:40, 40:55] = True
    write_mask(tmp_path / "city.png", walls)
    return tmp_path / "city.png"


def record(folder: Path) -> dict:
    return json.loads((folder / "coverage.json").read_text())


def test_the_record(munich):
    found = record(munich)
    assert [site["name"] for site in found["sites"]] == ["north", "south, sector"]
    assert found["area"]["crs"] == "EPSG:32632" and len(found["digest"]) == 64 and found["noise_dbm"] == -95.0
    shares = list(found["share_covered"].values())
    assert list(found["share_covered"]) == ["-70", "-80", "-90", "-100", "-110"] and shares == sorted(shares)
    assert set(found["best_server_share"]) == {"north", "south, sector"} and sum(found["best_server_share"].values()) <= 1 + 1e-5
    assert 0 < found["share_beyond_windows"] < 1 and found["outdoor_pixels"] > 10_000
    assert found["frequency"] == {"ghz": 5.9, "shift_db": 0.0, "note": "path gains are of 5.9 GHz"}


def test_geotiffs_lie_where_the_buildings_are(munich):
    rasterio = pytest.importorskip("rasterio")
    from rasterio import features, warp

    content = json.loads(MUNICH.read_text())
    with rasterio.open(munich / "power.tif") as file:
        power, crs, transform = file.read(1), file.crs, file.transform
        assert crs.to_epsg() == 32632 and file.dtypes == ("float32",) and file.nodata == -9999 and file.res == (1, 1)
        assert file.tags()["SOURCE"].startswith("model ") and file.tags()["DIGEST"] == record(munich)["digest"]
        for site in record(munich)["sites"]:
            (east,), (north,) = warp.transform("EPSG:4326", crs, [site["longitude"]], [site["latitude"]])
            assert file.index(east, north) == (site["row"], site["column"])
            assert np.allclose((east, north), file.xy(site["row"], site["column"]), atol=0.01)
    shapes = [warp.transform_geom("EPSG:4326", crs, feature["geometry"]) for feature in content["features"]]
    walls = features.rasterize(shapes, power.shape, transform=transform).astype(bool)  # GDAL's own, by pixel centres
    with rasterio.open(munich / "beyond.tif") as file:
        buildings = file.read(1) == file.nodata
    assert (power[buildings] == -9999).all() and np.mean(power == -9999) < buildings.mean() + 0.01  # and hidden courtyards
    assert np.mean(walls != buildings) < 0.002  # centres on an edge
    for shift in ((0, 1), (1, 0)):  # half a pixel off, an edge in two would be wrong
        assert np.mean(np.roll(walls, shift, (0, 1)) != buildings) > 0.01
    with rasterio.open(munich / "best_server.tif") as file:
        best = file.read(1)
        assert file.nodata == -1 and set(np.unique(best)) == {-1, 0, 1} and file.tags()["SITE_1"] == "south, sector"
    with rasterio.open(munich / "received.tif") as file:
        received = file.read()
        assert file.count == 2 and file.descriptions == ("north (dBm)", "south, sector (dBm)")
    heard = best >= 0
    np.testing.assert_array_equal(received.max(0)[heard], power[heard])
    np.testing.assert_array_equal(received.argmax(0)[heard], best[heard])
    with rasterio.open(munich / "sinr.tif") as file:
        others = 10 ** (np.where(best == 0, received[1], received[0])[heard].astype(float) / 10)
        wanted = power[heard] - 10 * np.log10(others + 10**-9.5)
        np.testing.assert_allclose(file.read(1)[heard], wanted, atol=1e-3)


def test_the_picture_has_a_world_file(munich):
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(munich / "coverage.png") as picture, rasterio.open(munich / "power.tif") as power:
        assert picture.bounds == power.bounds and picture.shape == power.shape and picture.crs.to_epsg() == 32632
        shown = picture.read()
        unheard = shown[3] == 0  # in a courtyard, say
        np.testing.assert_array_equal(unheard | (shown[:3] == 138).all(axis=0), power.read(1) == -9999)
        assert unheard.mean() < 0.01


def test_the_overlay_is_right_to_half_a_pixel(munich):
    rasterio = pytest.importorskip("rasterio")
    from rasterio import warp

    with zipfile.ZipFile(munich / "coverage.kmz") as archive:
        names = archive.namelist()
        document = ElementTree.fromstring(archive.read("doc.kml"))
        overlay = np.asarray(Image.open(archive.open("best_server.png")))
        assert {"best_server_legend.png", "power.png", "sinr_legend.png"} <= set(names)
    tag = "{http://www.opengis.net/kml/2.2}"
    assert [one.text for one in document.iter(f"{tag}name")][-2:] == ["north", "south, sector"]
    box = next(document.iter(f"{tag}LatLonBox"))
    north, south, east, west = (float(box.find(tag + side).text) for side in ("north", "south", "east", "west"))
    with rasterio.open(munich / "coverage.png") as file:
        picture, height, width = np.moveaxis(file.read(), 0, -1), *file.shape
        rows, columns = (np.random.default_rng(0).integers(3, side - 3, 500) for side in (height, width))
        longitudes, latitudes = warp.transform(file.crs, "EPSG:4326", *file.xy(rows, columns))
    down = (north - np.array(latitudes)) / (north - south) * overlay.shape[0]
    across = (np.array(longitudes) - west) / (east - west) * overlay.shape[1]
    # The overlay's pixel around each pixel centre shows that pixel or, as its own centre is elsewhere, one beside it.
    steps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    near = [picture[rows + i, columns + j] for i, j in steps]
    shown = overlay[down.astype(int), across.astype(int)]
    assert np.all(np.any([np.all(shown == one, axis=-1) for one in near], axis=0))
    assert np.mean(np.all(shown == picture[rows, columns], axis=-1)) > 0.9


def test_contours_and_netcdf(munich):
    xarray = pytest.importorskip("xarray")
    pyproj = pytest.importorskip("pyproj")
    dataset = xarray.open_dataset(munich / "coverage.nc", engine="scipy")
    assert dataset["received_power"].dims == ("site", "y", "x") and dataset["power"].attrs["units"] == "dBm"
    assert dataset.attrs["crs"] == "EPSG:32632" and np.isnan(dataset["power"].values[dataset["buildings"].values == 1]).all()
    project = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32632", always_xy=True).transform
    site = record(munich)["sites"][0]
    east, north = project(site["longitude"], site["latitude"])
    near = dataset["received_power"].sel(x=east, y=north, method="nearest")
    assert abs(float(near.x) - east) < 0.01 and abs(float(near.y) - north) < 0.01
    assert float(near.values[0]) == dataset["received_power"].values[0, site["row"], site["column"]]
    contours = json.loads((munich / "contours.geojson").read_text())
    assert {one["properties"]["power_dbm"] for one in contours["features"]} <= {-70.0, -80.0, -90.0, -100.0, -110.0}
    errors = []
    for feature in contours["features"]:
        x, y = project(*np.array(feature["geometry"]["coordinates"]).T)
        shown = dataset["power"].interp(x=xarray.DataArray(x), y=xarray.DataArray(y)).values
        errors += list(np.abs(shown - feature["properties"]["power_dbm"]))
    assert len(errors) > 100 and np.nanmedian(errors) < 1.5


def test_a_mask_has_no_place_on_earth_unless_it_is_given(mask, tmp_path, model, capsys):
    rasterio = pytest.importorskip("rasterio")
    (tmp_path / "sites.csv").write_text("name,row,column\na,2,2\nb,44,60\n")
    words = ["--model", str(model), "--buildings", str(mask), "--sites", str(tmp_path / "sites.csv")]
    assert coverage.main([*words, "--out", str(tmp_path / "plan"), "--frequency", "2.95"]) == 0
    said = capsys.readouterr().out
    assert "no place on earth" in said and "shifted by +6.02 dB for free space" in said and "nothing more" in said
    with rasterio.open(tmp_path / "plan" / "power.tif") as file:
        assert tuple(file.bounds) == (0, 0, 64, 48) and "no place on earth" in file.crs.to_wkt()
        assert "+6.02 dB" in file.tags()["FREQUENCY"]
        shifted = file.read(1)
    with zipfile.ZipFile(tmp_path / "plan" / "coverage.kmz") as archive:
        assert "no place on earth" in archive.read("doc.kml").decode()
    for name in ("coverage.json", "best_server.tif", "sinr.tif", "coverage.png", "coverage.pgw", "coverage_labelled.png"):
        assert (tmp_path / "plan" / name).is_file()
    assert not list((tmp_path / "plan").glob(".writing*"))
    assert coverage.main([*words, "--out", str(tmp_path / "placed"), "--origin", "11.5,48.1"]) == 0
    with rasterio.open(tmp_path / "placed" / "power.tif") as file:
        assert file.crs.to_epsg() == 32632
        assert rasterio.warp.transform(file.crs, "EPSG:4326", [file.bounds.left], [file.bounds.top]) == (
            [pytest.approx(11.5)], [pytest.approx(48.1)]
        )  # fmt: skip
        plain = file.read(1)
    np.testing.assert_allclose((shifted - plain)[plain > -9999], 20 * np.log10(2), atol=1e-3)
    area = read_area(mask)  # the record's sites can be read again
    assert read_sites(tmp_path / "plan" / "coverage.json", area) == read_sites(tmp_path / "sites.csv", area)


def test_without_libraries_the_rest_is_written(mask, tmp_path, model, capsys, monkeypatch):
    for name in ("rasterio", "xarray"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "sites.json").write_text('[\n{"name": "a", "row": 2, "column": 2}\n]')
    out = tmp_path / "plan"
    words = ["--buildings", str(mask), "--sites", str(tmp_path / "sites.json"), "--out", str(out)]
    assert coverage.main(["--model", str(model), *words]) == 0
    said = capsys.readouterr().out
    assert "GeoTIFF (.tif) will not be written, since rasterio is not installed: pip install -e '.[geo]'" in said
    assert "NetCDF (.nc) will not be written, since xarray is not installed" in said
    assert sorted(path.name for path in out.iterdir()) == [
        "contours.geojson", "coverage.json", "coverage.kmz", "coverage.pgw", "coverage.png", "coverage_labelled.png",
    ]  # fmt: skip


def test_choose_among_a_grid_and_by_the_simulator(mask, tmp_path, capsys):
    (tmp_path / "sites.csv").write_text("name,row,column\nthere,2,2\n")
    out = tmp_path / "plan"
    words = ["--exact", "--buildings", str(mask), "--sites", str(tmp_path / "sites.csv"), "--out", str(out), "--place", "2"]
    assert coverage.main([*words, "--threshold", "-60"]) == 0
    placed = json.loads((out / "placement.json").read_text())
    names = [site["name"] for site in record(out)["sites"]]
    assert names == ["there", *placed["chosen"]] and len(names) == 3 and (out / "placement.png").is_file()
    assert placed["value"] <= placed["bound"] <= 1 and "at least -60 dBm" in placed["goal"]
    assert "submodular bound" in capsys.readouterr().out and record(out)["source"].startswith("simulator")
    (tmp_path / "candidates.csv").write_text("name,row,column\nx,2,40\ny,25,5\nz,46,46\n")
    more = ["--candidates", str(tmp_path / "candidates.csv"), "--goal", "sinr"]
    assert coverage.main([*words, *more]) == 0
    placed = json.loads((out / "placement.json").read_text())
    assert set(placed["chosen"]) < {"x", "y", "z"} and placed["bound"] is None


def test_parts_of_the_sites_give_the_same_bytes(mask, tmp_path, model, capsys):
    """Six sites are two groups: one task of three has nothing to do, and what is missing is made in the end."""
    rows = ["a,2,2", "b,44,60", "c,2,60", "d,44,2", "e,24,32", "f,25,4"]
    (tmp_path / "sites.csv").write_text("\n".join(["name,row,column", *rows]))
    words = ["--model", str(model), "--buildings", str(mask), "--sites", str(tmp_path / "sites.csv"), "--out"]
    assert coverage.main([*words, str(tmp_path / "whole"), "--each"]) == 0
    for part in ("2/3", "3/3", "2/3"):
        assert coverage.main([*words, str(tmp_path / "plan"), "--shard", part]) == 0
    assert "part 2 of 3: maps of 2 of the 6 sites" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "plan/parts").iterdir()) == ["4.npz", "5.npz", "parts.json"]
    assert coverage.main([*words, str(tmp_path / "plan"), "--shard", "1/3"]) == 0
    assert coverage.main([*words, str(tmp_path / "plan"), "--each"]) == 0
    for path in (tmp_path / "whole").iterdir():
        assert path.read_bytes() == (tmp_path / "plan" / path.name).read_bytes(), path.name
    (tmp_path / "plan/parts/4.npz").write_bytes((tmp_path / "plan/parts/4.npz").read_bytes()[:-50])
    with pytest.raises(UserError, match="4.npz is damaged .*; remove it"):
        coverage.main([*words, str(tmp_path / "plan")])
    for change in (["--windows", "1"], ["--exact"]):
        with pytest.raises(UserError, match="parts holds maps with another"):
            coverage.main([*words, str(tmp_path / "plan"), *change, "--shard", "1/2"])


HEADER = "name,row,column\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (HEADER + "a,2,2\nb,10,12\n", "line 3 of .*sites.csv: 'b' at row 10, column 12 is inside a building"),
        (HEADER + "a,2,200\n", "line 2 of .*sites.csv: 'a' at row 2, column 200 is outside the map of 48 x 64 m"),
        (HEADER + "a,2,2\n\na,3,3\n", r"line 4 of .*sites.csv names 'a' a second time \(first in line 2\)"),
        ("a,2,2\nb,3,3\n", r"line 1 of .*sites.csv \('a,2,2'\) is no header"),
        ("name,row,column,power_dbm\na,2,2,-5\n", "line 2 of .*sites.csv has a negative power of -5 dBm"),
        ("name,row,column,power\na,2,2,5\n", "line 1 of .*sites.csv names a column 'power'; did you mean 'power_dbm'"),
        ("name,row\na,2\n", "says not where the sites are"),
        (HEADER + "a,2\n", "line 2 of .*sites.csv has 2 values"),
        (HEADER + "a,two,2\n", "line 2 of .*sites.csv: row 'two' is no whole number"),
        (HEADER + ",2,2\n", "line 2 of .*sites.csv has no name"),
        (HEADER, "names no transmitter"),
        ("name,row,column,pattern\na,2,2,sektor\n", "line 2 of .*the pattern 'sektor'; did you mean 'sector'"),
        ("name,row,column,pattern\na,2,2,sector\n", "line 2 of .*pattern sector but no azimuth"),
        ("name,longitude,latitude\na,11.5,48.1\n", "line 2 of .*has no place on earth; give row,column"),
        ("name,longitude,latitude\na,200,48.1\n", "line 2 of .*longitude 200, latitude 48.1 is no place"),
        ('[{"name": "a", "row": 2, "column": 2},\n {"name": "a", "row": 3, "column": 2}]', "line 2 of .*names 'a' a second time"),
        ('{"sites": [{"name": "a"}]}', "line 1 of .*'a' has no place"),
        ("[3]", "is no list of sites"),
        ('{"note": "sites: [", "sites": [\n{"name": "a", "row": 2, "column": 2, "powr": 1}]}', "line 2 .* a member 'powr'; did"),
        (f'[{{"name": "a", "row": {"9" * 400}, "column": 2}}]', "line 1 of .*: row 9.* is no whole number"),
        ('[{"name": [1], "row": 2, "column": 2}]', r"line 1 of .*: name \[1\] is no name"),
        ('[{"name": "a\\ud800", "row": 2, "column": 2}]', "is no name; give at most 100 letters on one line"),
        (HEADER + '"a\nb",2,2\n', "is no name; give at most 100 letters on one line"),
        (HEADER + "a" * 200_000 + ",2,2\n", "line 2 of .*sites.csv cannot be read"),
        (HEADER + "a,1_0,2\n", "line 2 of .*: row '1_0' is no whole number"),
        ("name,row,column,power_dbm\na,2,2,500\n", "power_dbm 500 is out of range; give 0 to 200 dBm"),
        ("name,row,column,azimuth\na,2,2,1e308\n", r"azimuth 1e\+308 is out of range"),
        (HEADER + "".join(f"s{i},2,2\n" for i in range(10_001)), "the number of sites in .* is 10001, which is too large"),
        ("{", "is no JSON"),
        (None, "cannot be read"),
    ],
)
def test_bad_sites_are_one_sentence(mask, tmp_path, text, says):
    if text is not None:
        (tmp_path / "sites.csv").write_text(text)
    with pytest.raises(UserError, match=says) as caught:
        coverage.main(["--buildings", str(mask), "--sites", str(tmp_path / "sites.csv"), "--out", str(tmp_path / "plan")])
    assert "\n" not in str(caught.value) and not (tmp_path / "plan").exists()


@pytest.mark.parametrize("name", ["coverage.json", "power.tif", "coverage.png.aux.xml", "placement.json", "placement.png"])
def test_what_is_in_the_way_of_a_file_is_told_before_work_begins(mask, tmp_path, name):
    (tmp_path / "plan" / name).mkdir(parents=True)
    (tmp_path / "sites.csv").write_text(HEADER + "a,2,2\n")
    words = ["--exact", "--buildings", str(mask), "--sites", str(tmp_path / "sites.csv"), "--out", str(tmp_path / "plan")]
    with pytest.raises(UserError, match=f"{name} cannot be written: it is a folder"):
        coverage.main(words)
    assert [path.name for path in (tmp_path / "plan").iterdir()] == [name]


def test_maps_that_no_memory_holds_are_refused(mask, tmp_path, monkeypatch):
    monkeypatch.setattr("radiodiff_jax.inference.coverage.plan.SITE_PIXELS", 2 * 48 * 64)
    (tmp_path / "sites.csv").write_text(HEADER + "a,2,2\nb,3,3\nc,4,4\n")
    words = ["--buildings", str(mask), "--sites", str(tmp_path / "sites.csv"), "--out", str(tmp_path / "plan")]
    with pytest.raises(UserError, match="3 sites on 48 x 64 m are too many for one plan: the most are 2 sites"):
        coverage.main(["--exact", *words])
    assert not (tmp_path / "plan").exists()


def test_names_are_no_formulas_and_maps_may_be_one_pixel_high(tmp_path):
    """Nor need the folder's name be text, as in a shell of another encoding."""
    write_mask(tmp_path / "city.png", np.zeros((1, 40), bool))
    (tmp_path / "sites.json").write_text(json.dumps([{"name": "$\\frac{$ <b>&", "row": 0, "column": 3}]))
    out = tmp_path / "pl\udce4n"
    words = ["--exact", "--buildings", str(tmp_path / "city.png"), "--sites", str(tmp_path / "sites.json"), "--out", str(out)]
    assert coverage.main(words) == 0 and "power.tif" in os.listdir(out)


def changed(**members) -> str:
    return json.dumps(json.loads(MUNICH.read_text()) | members, indent=1)


@pytest.mark.parametrize(
    ("text", "words", "says"),
    [
        (changed(features=[]), [], "holds no building"),
        ('<osm version="0.6"></osm>', [], "holds no building"),
        (changed(crs={"type": "name", "properties": {"name": "EPSG:999999"}}), [],
         "line [0-9]+ of .* names the coordinate system 'EPSG:999999', which is unknown"),
        (changed(), ["--crs", "EPSG:99"], "--crs names the coordinate system 'EPSG:99', which is unknown"),
        (changed(), ["--bounds", "11.6,48.2,11.601,48.201"], "has no building within the area"),
        (changed(), ["--bounds", "11.5,48.1,11.6,48.2"], "may have at most 2048 m a side"),
        (changed(), ["--origin", "11,48"], "has coordinates of its own"),
        (changed(), ["--crs", ""], "--crs names the coordinate system '', which is unknown"),
        (changed(crs={"properties": {"name": "x\n" * 9999}}), [], "names the coordinate system 'x.*which is unknown"),
        (None, ["--origin", "1000,48"], "--origin 1000,48 is no place that UTM has"),
        (None, ["--origin", "11,90"], "--origin 11,90 is no place that UTM has"),
        (None, ["--origin", "179.9999,10"], "lies across the meridian of 180 degrees"),
        (None, ["--crs", "EPSG:32632"], "is a mask, which --bounds and --crs have no part in"),
    ],
)  # fmt: skip
def test_bad_places_are_one_sentence(mask, tmp_path, text, words, says):
    pytest.importorskip("pyproj")
    buildings = mask
    if text is not None:
        buildings = tmp_path / "town.geojson"
        buildings.write_text(text)
    (tmp_path / "sites.csv").write_text(SITES)
    words = ["--buildings", str(buildings), "--sites", str(tmp_path / "sites.csv"), "--out", str(tmp_path / "plan"), *words]
    with pytest.raises(UserError, match=says) as caught:
        coverage.main(words)
    assert "\n" not in str(caught.value) and not (tmp_path / "plan").exists()


@pytest.mark.parametrize("words", [[], ["--sites", "s.csv", "--candidates", "c.csv"], ["--sites", "s.csv", "--origin", "1"],
                                   ["--sites", "s.csv", "--power-dbm", "-3"], ["--place", "0"], ["--place", "100000"],
                                   ["--sites", "s.csv", "--windows", "1000000000"], ["--sites", "s.csv", "--steps", "1000000000"],
                                   ["--sites", "s.csv", "--bandwidth", "1e300"], ["--sites", "s.csv", "--power-dbm", "1_0"],
                                   ["--sites", "s.csv", "--thresholds", *map(str, range(101))],
                                   ["--sites", "s.csv", "--exact", "--steps", "2"],
                                   ["--sites", "s.csv", "--shard", "3/2"], ["--place", "1", "--shard", "1/2"]])  # fmt: skip
def test_wrong_usage(words):
    with pytest.raises(SystemExit) as caught:
        coverage.parse(["--buildings", "b.png", "--out", "plan", *words])
    assert caught.value.code == 2
