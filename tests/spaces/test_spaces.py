"""Spaces: pixels lose nothing, buildings are filled with the nearest outdoor pixel and are 0 again afterwards."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from radiodiff_jax.config import GeneratorConfig
from radiodiff_jax.models.initialisers import first_values
from radiodiff_jax.models.layers import depth_to_space, space_to_depth
from radiodiff_jax.settings import VAEConfig
from radiodiff_jax.spaces.buildings import fill_buildings
from radiodiff_jax.spaces.latent import LatentSpace
from radiodiff_jax.spaces.pixel import PixelSpace
from radiodiff_jax.units import gain_to_grey
from tests.micro import micro

SIZE = (32, 48)


@pytest.fixture(scope="module")
def maps():
    rng = np.random.default_rng(0)
    buildings = np.stack([np.kron(rng.random((8, 12)) < 0.35, np.ones((4, 4), bool)) for _ in range(3)])
    gain = rng.integers(1, 256, (3, *SIZE)).astype(np.float32) / 255
    return np.where(buildings, 0, gain).astype(np.float32), buildings


def test_building_pixels_take_the_value_of_a_nearest_outdoor_pixel(maps):
    gain, buildings = maps
    filled = np.asarray(jax.jit(fill_buildings)(gain, buildings))
    np.testing.assert_array_equal(filled[~buildings], gain[~buildings])
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    for found, truth, walls in zip(filled, gain, buildings, strict=True):
        distance = distance_transform_edt(walls)
        for row, column in np.argwhere(walls):
            squared = (rows - row) ** 2 + (columns - column) ** 2
            nearest = ~walls & np.isclose(squared, distance[row, column] ** 2)
            assert found[row, column] in truth[nearest]


def test_a_map_that_is_all_building_stays_as_it_is():
    gain = np.zeros((1, 8, 8), np.float32)
    np.testing.assert_array_equal(fill_buildings(gain, np.ones((1, 8, 8), bool)), gain)


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_pixels_lose_nothing(maps, patch):
    gain, buildings = maps
    space = PixelSpace(patch=patch)
    x0 = jax.jit(lambda: space.encode({}, gain, buildings))()
    assert x0.shape == (3, SIZE[0] // patch, SIZE[1] // patch, space.channels) and space.channels == patch**2
    decoded = np.asarray(space.decode({}, x0, buildings))
    np.testing.assert_array_equal(gain_to_grey(decoded), gain_to_grey(gain))
    np.testing.assert_allclose(decoded, gain, atol=2**-24)  # half a unit in the last place of 1/2
    assert 0.3 < float(x0.std()) < 2
    outdoors = depth_to_space(space.outdoors(jnp.asarray(buildings)), patch)[..., 0]
    np.testing.assert_array_equal(outdoors, ~buildings)


def test_patches_are_row_major_blocks():
    image = np.arange(24.0).reshape(1, 4, 6, 1)
    patches = np.asarray(space_to_depth(image, 2))
    np.testing.assert_array_equal(patches[0, 1, 2], [16, 17, 22, 23])
    np.testing.assert_array_equal(depth_to_space(patches, 2), image)


@pytest.fixture(scope="module")
def latent():
    config = micro("vae")
    space = LatentSpace().open(config)
    image = jax.ShapeDtypeStruct((1, 32, 32, 1), jnp.float32)
    params = first_values(space.module, jax.random.key(0), image)["params"]
    return config, space, {"autoencoder": params, "scale": jnp.float32(0.5)}


def test_a_latent_hides_what_is_inside_buildings(latent, maps):
    """With `fill` the latent does not depend on the values in buildings, and what is decoded is 0 there."""
    config, space, frozen = latent
    gain, buildings = (part[:, :32, :32] for part in maps)
    noise = jnp.zeros((3, 8, 8, 3))
    encode = jax.jit(lambda gain: space.encode(frozen, gain, buildings, noise))
    assert config.fill and VAEConfig().fill
    x0 = encode(gain)
    np.testing.assert_array_equal(x0, encode(np.where(buildings, 0.7, gain)))
    np.testing.assert_allclose(x0, space.encode_mean(frozen, gain, buildings), atol=1e-5)
    decoded = np.asarray(space.decode(frozen, x0, buildings))
    assert (decoded[buildings] == 0).all() and decoded[~buildings].std() > 0
    assert space.outdoors(buildings) is None and (space.factor, space.channels) == (4, 3)


def test_a_generator_is_three_choices_by_default():
    config = GeneratorConfig()
    assert (config.space.name, config.backbone.name, config.objective.name) == ("pixel", "unet", "regression")
