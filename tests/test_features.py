"""Feature channels against what they stand for, rendered on the host."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.data.symmetries import transform_image, transform_position
from radiodiff_jax.errors import UserError
from radiodiff_jax.features import (
    ESTIMATES,
    FEATURES,
    Scene,
    check_features,
    estimate_gain,
    feature_channels,
    feature_image,
    feature_names,
)
from radiodiff_jax.simulation import path_gain_grey, prepare
from tests.test_propagation import random_scenes, rays_by_loops

EIGHT = ("buildings", "line_of_sight", "free_space", "offset", "walls", "blocked", "transmitter_gaussian")
SIZE = 32


@functools.cache
def everything():
    """Four scenes, and the channels and estimates of all features by name, compiled once."""
    buildings, position = random_scenes(SIZE, SIZE, seed=5)
    random = np.random.default_rng(0)
    cars, observed = random.random(buildings.shape) < 0.05, random.random(buildings.shape) < 0.1
    gain = random.random(buildings.shape).astype(np.float32)
    images, estimates = render(buildings, position, cars, observed, gain)
    return buildings, position, cars, observed, gain, split(images), estimates


@jax.jit
def render(buildings, position, cars, observed, gain):
    scene = Scene(buildings, position, cars, observed, gain)
    return feature_image(feature_names(), scene), {kind: estimate_gain(kind, scene) for kind in ESTIMATES}


def split(images):
    """Channels of all features -> arrays [batch, height, width, channels] by name."""
    ends = np.cumsum([FEATURES[name].channels for name in feature_names()])[:-1]
    return dict(zip(feature_names(), np.split(np.asarray(images), ends, axis=-1), strict=True))


def grey_scale(path_gain_db):
    return np.clip((path_gain_db + 147) / 99.16, 0, 1)


def test_every_feature_is_documented_and_has_its_channels_in_range():
    *_, images, estimates = everything()
    assert sum(FEATURES[name].channels for name in FEATURES) == feature_channels(feature_names())
    for name, image in images.items():
        assert FEATURES[name].function.__doc__, name
        assert image.dtype == np.float32 and image.shape == (4, SIZE, SIZE, FEATURES[name].channels)
        assert np.isfinite(image).all() and np.abs(image).max() <= 1.2, name
    for estimate in estimates.values():
        assert estimate.dtype == np.float32 and estimate.shape == (4, SIZE, SIZE, 1)
        assert estimate.min() >= 0 and estimate.max() <= 1


def test_the_eight_channels_of_rays_and_distance_at_256():
    """Against a second rendering in NumPy float32, with the rays of a loop over samples."""
    buildings = np.zeros((1, 256, 256), bool)
    buildings[0, 40:90, 60:120] = buildings[0, 120:160, 20:220] = buildings[0, 200:230, 100:140] = True
    row, column = 105, 64
    image = np.asarray(jax.jit(lambda b, p: feature_image(EIGHT, Scene(b, p)))(buildings, np.array([[row, column]])))[0]
    down, across = np.meshgrid(np.arange(256) - row, np.arange(256) - column, indexing="ij")
    inside, walls, hits = np.zeros((256, 256), bool), np.zeros((256, 256), int), np.zeros((256, 256), int)
    for number in range(256):
        share = np.float32((number + 0.5) / 256)
        rows = np.round(np.float32(row) + share * down.astype(np.float32)).astype(int)
        columns = np.round(np.float32(column) + share * across.astype(np.float32)).astype(int)
        here = buildings[0, rows, columns]
        walls, hits, inside = walls + (here & ~inside), hits + here, here
    distance = np.sqrt((down**2 + across**2).astype(np.float32))
    metres = np.minimum((hits / np.float32(256)).astype(np.float32) * distance, 255).astype(np.uint8)
    squared = np.maximum(down**2 + across**2, 1)
    law = -47.86 - 12.5 * np.log10(squared)
    expected = [
        np.where(buildings[0], 1, -1), 2 * grey_scale(law - 16 * (walls != 0)) - 1, 2 * grey_scale(law) - 1,
        down / 256, across / 256, np.minimum(walls, 8) / 4 - 1, np.log1p(metres.astype(float)) / 3 - 1,
        np.exp(-squared / 20),
    ]  # fmt: skip
    assert image.shape == (256, 256, 8)
    np.testing.assert_allclose(image, np.stack(expected, axis=-1), atol=1e-5)


def test_masks_and_known_pixels():
    buildings, position, cars, observed, gain, images, _ = everything()
    np.testing.assert_array_equal(images["buildings"][..., 0] > 0, buildings)
    np.testing.assert_array_equal(images["cars"][..., 0] > 0, cars)
    np.testing.assert_array_equal(np.argwhere(images["transmitter"][..., 0] > 0)[:, 1:], position)
    np.testing.assert_array_equal(images["observed"][..., 1] > 0, observed)
    np.testing.assert_allclose(images["observed"][..., 0], np.where(observed, 2 * gain - 1, -1), atol=1e-6)
    for name in ("buildings", "cars", "transmitter", "in_sight"):
        assert set(np.unique(images[name])) == {-1.0, 1.0}


def test_where_a_scene_has_no_cars_the_channel_shows_the_buildings():
    buildings, position = random_scenes(SIZE, SIZE, seed=5)
    image = feature_image(["buildings", "transmitter", "cars"], Scene(jnp.array(buildings), jnp.array(position)))
    np.testing.assert_array_equal(image[..., 2], image[..., 0])


def test_the_estimates_in_sight_and_out_of_sight():
    buildings, position, *_, images, estimates = everything()
    assert (np.asarray(estimates["none"]) == 0).all()
    for kind, name in (("line_of_sight", "line_of_sight"), ("path", "path_estimate")):
        np.testing.assert_allclose(images[name], 2 * np.asarray(estimates[kind]) - 1, atol=1e-6)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    line, path = (np.asarray(estimates[kind])[..., 0] for kind in ("line_of_sight", "path"))
    for scene, (row, column) in enumerate(position):
        sight = rays_by_loops(buildings[scene], row, column)[0].astype(bool)
        law = -47.86 - 12.5 * np.log10(np.maximum((rows - row) ** 2 + (columns - column) ** 2, 1))
        np.testing.assert_allclose(line[scene], grey_scale(law - 16 * ~sight), atol=1e-5)
        np.testing.assert_allclose(path[scene][sight], grey_scale(law)[sight], atol=1e-5)
        hidden = ~sight & ~buildings[scene]
        assert (path[scene][hidden] < grey_scale(law)[hidden]).all()


def test_inside_a_building_the_path_estimate_is_that_of_an_outdoor_pixel_nearby():
    buildings = np.zeros((4, SIZE, SIZE), bool)
    buildings[:, 12:20, 12:20] = True
    position = np.tile(np.array([[4, 16]], np.int32), (4, 1))
    nothing = np.zeros((4, SIZE, SIZE), np.float32)
    _, estimates = render(buildings, position, buildings, buildings, nothing)
    path = np.asarray(estimates["path"])[0, ..., 0]
    assert path[12, 15] in path[11, 13:18]
    assert path[19, 15] in path[20, 13:18]


def test_the_path_estimate_is_much_closer_to_the_simulator_than_the_line_of_sight_estimate():
    """Four cities of four blocks, 64 x 64."""
    random = np.random.default_rng(1)
    buildings, position = np.zeros((4, 64, 64), bool), np.zeros((4, 2), np.int32)
    for scene in range(4):
        for row, column in ((4, 4), (4, 36), (36, 4), (36, 36)):
            buildings[scene, row : row + random.integers(12, 22), column : column + random.integers(12, 22)] = True
        position[scene] = random.permutation(np.argwhere(~buildings[scene]))[0]
    truth = np.stack([path_gain_grey(prepare(b), *p) / 255 for b, p in zip(buildings, position.tolist(), strict=True)])
    error = {}
    for kind in ("line_of_sight", "path"):
        estimate = jax.jit(lambda b, p, kind=kind: estimate_gain(kind, Scene(b, p)))(buildings, position)[..., 0]
        error[kind] = np.sqrt(np.mean((np.where(buildings, 0, estimate) - truth) ** 2, axis=(1, 2))).mean()
    assert error["path"] < 0.4 * error["line_of_sight"], error


@pytest.mark.parametrize("symmetry", [3, 4])
def test_features_turn_with_the_scene(symmetry):
    buildings, position, cars, observed, gain, images, estimates = everything()
    turn = lambda stack: np.stack([transform_image(image, symmetry) for image in np.asarray(stack)])  # noqa: E731
    places = np.array([transform_position(*place, (SIZE, SIZE), symmetry) for place in position.tolist()], np.int32)
    turned, _ = render(turn(buildings), places, turn(cars), turn(observed), turn(gain))
    exact = {"buildings", "transmitter", "cars", "free_space", "distance", "transmitter_gaussian", "observed"}
    for name, image in split(turned).items():
        expected = turn(images[name])
        if name == "offset":  # a vector: it turns itself, too
            expected = expected[..., ::-1] if symmetry & 4 else -expected
        if name in exact | {"offset"}:
            np.testing.assert_allclose(image, expected, atol=1e-6, err_msg=name)
        else:  # rays that run along the edge between two pixels and ways of equal length are decided by rounding
            assert np.mean(np.abs(image - expected) < 0.02) > 0.95, name


def test_errors_name_the_feature_and_what_to_do():
    scene = Scene(jnp.zeros((1, 8, 8), bool), jnp.array([[1, 2]]))
    with pytest.raises(UserError, match="no feature 'bildings'; did you mean 'buildings'"):
        check_features(["bildings"])
    with pytest.raises(UserError, match="no feature 'zzz'; choose among buildings"):
        feature_channels(["buildings", "zzz"])
    with pytest.raises(UserError, match="'walls' is given twice"):
        feature_image(["walls", "walls"], scene)
    with pytest.raises(UserError, match="'observed' needs pixels of known gain"):
        feature_image(["observed"], scene)
    with pytest.raises(UserError, match="no estimate 'sight'"):
        estimate_gain("sight", scene)
