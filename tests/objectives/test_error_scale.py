"""The head of the error's scale: its likelihood, what it costs the mean (nothing), and that it learns a known noise."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.training import CONFIGS
from radiodiff_jax.composition import compose
from radiodiff_jax.config_files import load_config
from radiodiff_jax.errors import UserError
from radiodiff_jax.features import Scene
from radiodiff_jax.models.initialisers import first_values
from radiodiff_jax.objectives.objective import Noised
from radiodiff_jax.objectives.regression import (
    FIRST_SCALE,
    SCALE_WEIGHT,
    SMALLEST_SCALE,
    Regression,
    positive_scale,
    scale_likelihood,
)

WORDS = [
    "image_size=[32,32]", "backbone.widths=[8]", "backbone.blocks_per_level=1", "backbone.attention_levels=0",
    "features=[buildings,transmitter]", "data.cars=false",
]  # fmt: skip


def micro(*words):
    return compose(load_config("generator", "pixel-tiny", [*WORDS, *words], CONFIGS))


def test_the_likelihood_is_that_of_a_laplace_distribution():
    error, scale = jnp.array([0.3, -0.02, 0.0]), jnp.array([0.1, 0.05, SMALLEST_SCALE])
    density = np.exp(-np.abs(error) / scale) / (2 * scale)
    np.testing.assert_allclose(scale_likelihood(error, scale), -np.log(density) - np.log(2 * SMALLEST_SCALE), atol=1e-5)
    assert float(scale_likelihood(error, scale)[2]) == 0
    np.testing.assert_allclose(positive_scale(jnp.zeros(1)), FIRST_SCALE, rtol=1e-5)
    assert float(positive_scale(jnp.full(1, -60.0))[0]) == pytest.approx(SMALLEST_SCALE, rel=1e-5)


def test_the_best_scale_is_the_mean_absolute_error():
    error = jnp.asarray(np.random.default_rng(0).laplace(scale=0.2, size=4000).astype(np.float32))
    gradient = jax.grad(lambda scale: scale_likelihood(error, jnp.full_like(error, scale)).mean())
    assert float(gradient(jnp.abs(error).mean())) == pytest.approx(0, abs=1e-4)
    assert float(gradient(0.1)) < 0 < float(gradient(0.3))


def test_the_loss_tells_the_likelihood_apart_and_its_gradient_leaves_the_map_alone():
    objective, plain = Regression(error_scale=True), Regression()
    assert objective.heads == ("x0", "scale") and plain.heads == ("x0",)
    raw = {"x0": jnp.full((2, 4, 4, 1), 0.25), "scale": jnp.full((2, 4, 4, 1), 0.1)}
    noised = Noised(None, None, {"x0": jnp.full((2, 4, 4, 1), 0.5)})
    outdoors = jnp.ones((2, 4, 4, 1)).at[:, 2:].set(0)

    def loss(raw, objective):
        predicted = objective.precondition(raw, None, None, None)
        total, parts = objective.loss(predicted, noised, outdoors)
        return total.sum(), parts

    (total, parts), slope = jax.value_and_grad(loss, has_aux=True)(raw, objective)
    (alone, known), plain_slope = jax.value_and_grad(loss, has_aux=True)({"x0": raw["x0"]}, plain)
    np.testing.assert_array_equal(slope["x0"], plain_slope["x0"])
    assert float(jnp.abs(slope["scale"][:, :2]).min()) > 0 and not slope["scale"][:, 2:].any()
    scale = positive_scale(0.1)
    np.testing.assert_allclose(parts["loss_scale"], jnp.log(scale / SMALLEST_SCALE) + 0.25 / scale, rtol=1e-5)
    np.testing.assert_allclose(total, alone + SCALE_WEIGHT * parts["loss_scale"].sum(), rtol=1e-6)
    np.testing.assert_array_equal(parts["loss_l1"], known["loss_l1"])
    np.testing.assert_allclose(objective.deviation({"scale": jnp.ones(1)}), 2**0.5, rtol=1e-6)


@pytest.fixture(scope="module")
def scene():
    buildings = np.zeros((2, 32, 32), bool)
    buildings[:, 3:6, 4:9] = True
    return Scene(jnp.asarray(buildings), jnp.array([[10, 10], [8, 2]], jnp.int32))


def test_every_other_parameter_of_the_network_has_the_gradient_that_it_has_without_the_head(scene):
    gradients, variables = {}, None
    for wanted in (True, False):
        generator = micro(f"objective.error_scale={str(wanted).lower()}", "estimate=none")
        if variables is None:
            variables = first_values(generator.network, {"params": jax.random.key(0)}, None, None, generator.features(scene))
        kept = {name: value for name, value in variables["params"].items() if wanted or not name.startswith("scale_")}
        target = jax.random.normal(jax.random.key(1), (2, *generator.shape))

        @jax.jit
        def gradient(params, generator=generator, target=target):
            def loss(params):
                raw = generator.network.apply({"params": params}, None, None, generator.features(scene), True)
                predicted = generator.objective.precondition(raw, None, None, None)
                noised = Noised(None, None, {"x0": target})
                return generator.objective.loss(predicted, noised, generator.space.outdoors(scene.buildings))[0].mean()

            return jax.grad(loss)(params)

        gradients[wanted] = gradient(kept)
    head = {name for name in gradients[True] if name.startswith("scale_")}
    assert head == {"scale_hidden", "scale_output"}
    assert all(float(jnp.abs(gradients[True][name]["kernel"]).max()) > 0 for name in head)
    rest = {name: value for name, value in gradients[True].items() if name not in head}
    for with_head, without in zip(jax.tree.leaves(rest), jax.tree.leaves(gradients[False]), strict=True):
        np.testing.assert_allclose(with_head, without, rtol=1e-4, atol=1e-6)


def test_the_head_learns_how_large_the_noise_is_where(scene):
    """A map of zeros under Laplace noise, four times as strong in the half to the right: the head must say so."""
    generator = micro("objective.error_scale=true", "estimate=none", "features=[offset,buildings,transmitter]")
    features, outdoors = generator.features(scene), generator.space.outdoors(scene.buildings)
    true_scale = np.where(np.arange(16) < 8, 0.1, 0.4).astype(np.float32)[None, None, :, None]
    params = first_values(generator.network, {"params": jax.random.key(0)}, None, None, features)["params"]
    adam = optax.adam(5e-3)

    @jax.jit
    def train(params):
        def step(number, carried):
            params, state = carried
            noise = jax.random.laplace(jax.random.key(number), (2, *generator.shape)) * true_scale

            def loss(params):
                raw = generator.network.apply({"params": params}, None, None, features, True)
                predicted = generator.objective.precondition(raw, None, None, None)
                return generator.objective.loss(predicted, Noised(None, None, {"x0": noise}), outdoors)[0].mean()

            change, state = adam.update(jax.grad(loss)(params), state)
            return optax.apply_updates(params, change), state

        return jax.lax.fori_loop(0, 300, step, (params, adam.init(params)))[0]

    learnt = train(params)
    gain, deviation = generator.predict_gain_and_deviation({"params": learnt}, {}, scene)
    assert gain.shape == deviation.shape == (2, 32, 32)
    walls = np.asarray(scene.buildings)
    assert not np.asarray(deviation)[walls].any() and np.asarray(deviation)[~walls].min() > 0
    inner = np.where(walls, np.nan, deviation)
    for columns, scale in ((slice(1, 14), 0.1), (slice(18, 31), 0.4)):  # gain is a quarter of a coordinate
        assert np.nanmedian(inner[:, :, columns]) == pytest.approx(2**0.5 * scale / 4, rel=0.15)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["space.name=latent"], "objective.error_scale predicts the error of single pixels, which a latent does not have"),
        (["backbone.name=radiodiff"], "backbone radiodiff has no head for the scale of the error; take backbone unet"),
        (["backbone.name=radiounet"], "asks for x0, scale; take objective regression without error_scale"),
        (["backbone.name=pmnet"], "asks for x0, scale; take objective regression without error_scale"),
    ],
)
def test_what_has_no_such_head_is_refused_in_one_sentence(words, message):
    with pytest.raises(UserError, match=message) as caught:
        load_config("generator", "pixel-tiny", ["objective.error_scale=true", *words], CONFIGS)
    assert "\n" not in str(caught.value)


def test_the_preset_is_pixel_tiny_with_the_head():
    plain, preset = (load_config("generator", name, [], CONFIGS) for name in ("pixel-tiny", "pixel-tiny-interval"))
    assert preset.objective == Regression(error_scale=True)
    assert {name: getattr(preset, name) for name in vars(plain) if name != "objective"} == {
        name: value for name, value in vars(plain).items() if name != "objective"
    }
