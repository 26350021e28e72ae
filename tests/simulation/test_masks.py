"""A mask pixel is set where it is not 0: masks of 0 and 1, of 0 and 255 and of booleans mean the same everywhere."""

import numpy as np
import pytest
from PIL import Image

from radiodiff_jax.simulation import (
    city,
    path_gain_grey,
    place_transmitters,
    prepare,
    write_gains_for_scenes,
    write_masks_folder,
)
from radiodiff_jax.simulation.cities.generator import is_usual
from radiodiff_jax.simulation.cities.placement import place_cars
from radiodiff_jax.simulation.cities.polygons import trace
from radiodiff_jax.simulation.dominant_path.car_loss import path_gain_grey_with_cars
from radiodiff_jax.simulation.dominant_path.padded_scene import describe

SIZE = (64, 96)
BUILDINGS = city(3, *SIZE).buildings


@pytest.fixture(params=[1, 255])
def as_grey(request):
    """Turns a boolean mask into grey levels."""
    return lambda mask: mask.astype(np.uint8) * np.uint8(request.param)


def test_places_and_cars(as_grey):
    buildings = as_grey(BUILDINGS)
    places = place_transmitters(BUILDINGS, 6, seed=2)
    np.testing.assert_array_equal(place_transmitters(buildings, 6, seed=2), places)
    cars = place_cars(BUILDINGS, places, seed=2)
    assert cars.any()
    np.testing.assert_array_equal(place_cars(buildings, places, seed=2), cars)
    assert is_usual(buildings) and not is_usual(as_grey(np.ones(SIZE, bool)))


def test_polygons_and_maps(as_grey):
    buildings = as_grey(BUILDINGS)
    assert all(np.array_equal(one, other) for one, other in zip(trace(buildings), trace(BUILDINGS), strict=True))
    assert all(np.array_equal(one, other) for one, other in zip(describe(buildings), describe(BUILDINGS), strict=True))
    place = place_transmitters(BUILDINGS, 1, seed=0)[0]
    cars = place_cars(BUILDINGS, [place], seed=0)
    expected = prepare(BUILDINGS)
    np.testing.assert_array_equal(path_gain_grey(prepare(buildings), *place), path_gain_grey(expected, *place))
    np.testing.assert_array_equal(
        path_gain_grey_with_cars(expected, as_grey(cars), *place), path_gain_grey_with_cars(expected, cars, *place)
    )


def contents(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_folders_of_given_masks(as_grey, tmp_path):
    for name, mask in {"grey": as_grey(BUILDINGS), "bool": BUILDINGS}.items():
        write_masks_folder(tmp_path / name, [mask], {}, transmitters=2, seed=1, progress=False, cars=True)
    assert contents(tmp_path / "grey") == contents(tmp_path / "bool")


def test_folders_of_given_scenes(as_grey, tmp_path):
    place = place_transmitters(BUILDINGS, 1, seed=0)[0]
    antenna = np.zeros(SIZE, bool)
    antenna[tuple(place)] = True
    masks = {"buildings_complete/0": BUILDINGS, "antennas/0_0": antenna, "cars/0": place_cars(BUILDINGS, [place], seed=0)}
    for name, mask in masks.items():
        path = tmp_path / "scenes" / "png" / f"{name}.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(as_grey(mask)).save(path)
    write_gains_for_scenes(tmp_path / "scenes", tmp_path / "out", progress=False, cars=True)
    prepared = prepare(BUILDINGS)
    expected = {"DPM": path_gain_grey(prepared, *place), "carsDPM": path_gain_grey_with_cars(prepared, masks["cars/0"], *place)}
    for name, map_ in expected.items():
        with Image.open(tmp_path / "out" / "gain" / name / "0_0.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), map_)
