"""Layouts as prisms, and ray-traced folders of them."""

import json

import numpy as np
import pytest

from experiments import dataset
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import read_grey, write_mask
from radiodiff_jax.radiomapseer import RadioMapFolder, antenna_path, buildings_path, write_transmitter
from radiodiff_jax.simulation.cities.polygons import rasterise
from radiodiff_jax.simulation.folder import write_simulated_folder
from radiodiff_jax.simulation.raytrace import layouts
from radiodiff_jax.simulation.raytrace.library import load_ray_tracer
from radiodiff_jax.simulation.raytrace.noise import difference, noise_of, spread
from radiodiff_jax.units import gain_to_db, grey_to_gain

SQUARE = np.array([[10.5, 10.5], [10.5, 20.5], [20.5, 20.5], [20.5, 10.5]])
COURTYARD = np.array([[13.5, 13.5], [17.5, 13.5], [17.5, 17.5], [13.5, 17.5]])


@pytest.fixture(scope="module")
def ray_tracer():
    pytest.importorskip("sionna.rt", exc_type=ImportError)
    pytest.importorskip("shapely")
    try:
        return load_ray_tracer()
    except UserError as error:
        pytest.skip(str(error))


def test_a_prism_has_the_faces_of_its_outline():
    prisms = pytest.importorskip("radiodiff_jax.simulation.raytrace.prisms")
    pytest.importorskip("shapely")
    (corners, walls), (roof_corners, roof) = prisms.prisms([SQUARE, COURTYARD], 25.0)
    assert len(walls) == 2 * 8 and len(corners) == 2 * 8  # a square around a courtyard: 8 walls that share their edges
    assert set(corners[:, 2]) == {0.0, 25.0} and set(roof_corners[:, 2]) == {25.0}
    one, other, third = (roof_corners[roof[:, corner]] for corner in range(3))
    areas = np.linalg.norm(np.cross(other - one, third - one), axis=1) / 2
    assert np.isclose(areas.sum(), 9.96**2 - 4.04**2)  # 2 cm inside the outline
    # A pixel (row, column) lies at x = column + 0.5, y = -(row + 0.5).
    assert np.isclose(corners[:, 0].min(), 11.02) and np.isclose(corners[:, 1].max(), -11.02)


def test_no_buildings_make_no_faces():
    pytest.importorskip("shapely")
    from radiodiff_jax.simulation.raytrace.prisms import prisms

    (_, walls), (_, roofs) = prisms([], 25.0)
    assert len(walls) == len(roofs) == 0


def test_noise_is_what_two_maps_differ_by():
    buildings = np.zeros((2, 2), bool)
    buildings[0, 0] = True
    first, second = np.array([[9, 0], [255, 102]], np.uint8), np.array([[0, 51], [255, 153]], np.uint8)
    found = difference(first, second, buildings)
    assert np.isclose(found["rmse_raw"], np.sqrt((0.2**2 + 0.2**2) / 4))
    assert np.isclose(found["rmse_thresholded"], 0.25 / 2) and np.isclose(found["signal_in_one_only"], 1 / 3)
    assert noise_of([found, found | {"rmse_raw": 0.0}])["maps"] == 2
    assert spread([1, 2, 3, 4], 2) == [1, 3] and spread([1], 5) == [1] and spread([1, 2], 0) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--city", "munich", "--cars"], "--cars has no meaning with --city"),
        (["--workers", "2"], "--workers has no meaning with --city"),
        (["--scenes", "nowhere"], "nowhere/png/antennas is missing"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_loaded(tmp_path, words, sentence):
    with pytest.raises(UserError, match=sentence):
        dataset.main(["raytrace", "--out", str(tmp_path / "out"), *words])
    assert not (tmp_path / "out").exists()


def test_scenes_are_not_written_into_themselves(tmp_path):
    with pytest.raises(UserError, match="lies in the scenes themselves"):
        layouts.write_ray_traced_scenes(tmp_path, tmp_path, layouts.Rays())


def test_two_buildings_have_sight_lines_shadows_and_symmetry(ray_tracer, tmp_path):
    """A street between two blocks, mirrored at its middle line, and its transmitter on it."""
    size = (64, 63)  # columns 0..62, so that column 31 is the middle
    west = np.array([[20.5, 8.5], [20.5, 24.5], [44.5, 24.5], [44.5, 8.5]])
    east = np.column_stack([west[:, 0], 62 - west[:, 1]])[::-1]
    buildings = rasterise([west, east], *size)
    assert (buildings == buildings[:, ::-1]).all() and buildings.sum() == 2 * 24 * 16
    write_mask(buildings_path(tmp_path / "scenes", 0), buildings)
    write_transmitter(antenna_path(tmp_path / "scenes", 0, 0), size, (10, 31))
    words = ["--rays", "300000", "--noise-maps", "1"]
    assert dataset.main(["raytrace", "--scenes", str(tmp_path / "scenes"), "--out", str(tmp_path / "out"), *words]) == 0
    gain = grey_to_gain(read_grey(tmp_path / "out/gain/RT/0_0.png"))
    in_db = gain_to_db(gain)
    assert not gain[buildings].any()
    # Down the street the direct path and reflections between the walls; free space or a few dB above.
    rows = np.arange(14, 60)
    free_space = -47.86 - 20 * np.log10(rows - 10)
    above = in_db[rows, 31] - free_space
    assert -3 < np.median(above) < 6 and above.min() > -8
    # Behind the western block, whose walls lie on the lines between pixels: at least 20 dB less than what would come
    # through it, or nothing.
    shadow, distance = in_db[40:44, 2:6], np.hypot(*(np.mgrid[40:44, 2:6] - np.array([10, 31])[:, None, None]))
    assert (shadow < -47.86 - 20 * np.log10(distance) - 20).all()
    # The scene is its own mirror image: what differs is chance.
    noise = json.loads((tmp_path / "out/simulation.json").read_text())["noise"]["rmse_raw"]
    assert np.sqrt(np.mean((gain - gain[:, ::-1]) ** 2)) < 2 * noise + 0.02


def test_made_up_cities_are_those_of_the_simulator_and_the_rest_goes_on(ray_tracer, tmp_path):
    write_simulated_folder(tmp_path / "dominant", 1, 2, (64, 64), 5, progress=False, cars=True)
    out, rays = tmp_path / "traced", layouts.Rays(20_000, 2, False, 5)
    layouts.write_ray_traced_layouts(out, 1, 2, (64, 64), rays, noise_maps=1, progress=False, cars=True)
    for path in (tmp_path / "dominant/png").rglob("*.png"):
        assert (out / "png" / path.relative_to(tmp_path / "dominant/png")).read_bytes() == path.read_bytes(), path
    assert RadioMapFolder(out, "RT").pairs == RadioMapFolder(out, "carsRT").pairs == [(0, 0), (0, 1)]
    record = json.loads((out / "simulation.json").read_text())
    assert record["noise"]["maps"] == 1 and record["arguments"]["rays"] == 20_000 and "sionna-rt" in record["packages"]

    before = (out / "gain/RT/0_1.png").read_bytes()
    kept = (out / "gain/RT/0_0.png").stat().st_mtime_ns
    (out / "gain/RT/0_1.png").unlink()
    layouts.write_ray_traced_layouts(out, 1, 2, (64, 64), rays, noise_maps=1, progress=False, cars=True)
    assert (out / "gain/RT/0_1.png").read_bytes() == before and (out / "gain/RT/0_0.png").stat().st_mtime_ns == kept
    with pytest.raises(UserError, match="other arguments"):
        layouts.write_ray_traced_layouts(out, 1, 2, (64, 64), layouts.Rays(30_000, 2, False, 5), progress=False, cars=True)
