"""The guess by distance and line of sight, and the U-Net that starts from it."""

import jax
import jax.numpy as jnp
import numpy as np

from radiodiff_jax.data.symmetries import condition_image
from radiodiff_jax.distance_law import distance_law
from radiodiff_jax.models.initialisers import first_values
from radiodiff_jax.models.prior import SHADOW_DB, guess_gain
from radiodiff_jax.models.unet import UNet
from radiodiff_jax.settings import UNetConfig
from radiodiff_jax.simulation import path_gain_grey, prepare
from radiodiff_jax.units import DB_PER_GAIN
from tests.micro import micro


def scene(row, column):
    walls = np.zeros((32, 64), bool)
    walls[10:20, 30:36] = True
    transmitter = np.zeros_like(walls)
    transmitter[row, column] = True
    return walls, condition_image(walls, transmitter, walls)[None]


def test_in_sight_the_guess_is_the_law_and_in_shadow_a_constant_less():
    walls, condition = scene(15, 5)
    guess, law = np.asarray(guess_gain(condition))[0, ..., 0], distance_law(walls, 15, 5)
    assert (guess[walls] == 0).all()
    np.testing.assert_allclose(guess[:9, :20], law[:9, :20], atol=0.02)  # the law has extra terms on axes and diagonals
    np.testing.assert_allclose(law[15, 40:] - guess[15, 40:], SHADOW_DB / DB_PER_GAIN, atol=0.01)


def test_sight_agrees_with_the_simulator():
    """Where the simulated map keeps to the line-of-sight law, the guess sees the transmitter, but for shadow edges."""
    walls, condition = scene(25, 12)
    guess, law = np.asarray(guess_gain(condition))[0, ..., 0], distance_law(walls, 25, 12)
    truth = path_gain_grey(prepare(walls), 25, 12) / 255
    seen, lit = np.abs(guess - law) < 0.03, np.abs(truth - law) < 0.01
    assert np.mean((seen == lit)[~walls]) > 0.97
    assert 0.05 < np.mean(~lit[~walls]) < 0.5


def test_a_network_with_a_prior_begins_at_the_prior():
    config = micro("ldm").unet
    assert config.prior == "sight" and UNetConfig().prior == "none"
    unet, prior = UNet(config), jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    inputs = jax.random.normal(jax.random.key(1), (2, 8, 8, 3)), jnp.array([1.0, 0.2]), jnp.ones((2, 32, 32, 3))
    variables = first_values(unet, {"params": jax.random.key(2)}, *inputs, prior=prior)
    c, noise = jax.jit(lambda v: unet.apply(v, *inputs, prior=prior))(variables)
    np.testing.assert_allclose(c[0], -prior[0], atol=1e-6)  # t = 1
    np.testing.assert_allclose(noise[0], inputs[0][0], atol=1e-6)
