"""What the networks promise beyond the golden vectors: sizes, parameter counts, precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.training import CONFIGS
from radiodiff_jax.composition import compose
from radiodiff_jax.config_files import load_config
from radiodiff_jax.features import feature_channels
from radiodiff_jax.models import initialisers
from radiodiff_jax.models.attention import attend
from radiodiff_jax.models.autoencoder import Autoencoder
from radiodiff_jax.models.discriminator import Discriminator
from radiodiff_jax.models.initialisers import first_values
from radiodiff_jax.models.normalisation import BatchNorm
from radiodiff_jax.models.perceptual import STAGES, perceptual_distance, perceptual_weights
from radiodiff_jax.models.radiodiff import RadioDiffNetwork
from radiodiff_jax.models.swin import SwinEncoder
from radiodiff_jax.settings import AutoencoderConfig, PrecisionConfig, SwinConfig
from tests.micro import micro
from tests.models.comparison import assert_close


def count(shapes) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(shapes))


def unet_shapes(config, latent):
    inputs = jnp.zeros((1, *latent, 3)), jnp.ones(1), jnp.zeros((1, *config.image_size, 3))
    return jax.eval_shape(RadioDiffNetwork(config.backbone).init, {"params": jax.random.key(0)}, *inputs)


def test_parameter_counts_of_the_paper():
    vae, ldm = (load_config(kind, "paper", [], CONFIGS) for kind in ("vae", "generator"))
    image = jnp.zeros((1, *vae.image_size, 1))
    assert count(jax.eval_shape(Autoencoder(vae.autoencoder).init, jax.random.key(0), image)["params"]) == 55_307_453
    shapes = jax.eval_shape(lambda: Discriminator(vae.discriminator).init(jax.random.key(0), image, False))
    assert count(shapes["params"]) == 2_763_585
    shapes = unet_shapes(ldm, (64, 64))
    assert count(shapes["params"]) == 223_842_366
    assert count(shapes["constants"]) == 64  # the frozen frequencies of the time embedding


@pytest.mark.parametrize("preset", ["tiny", "flow-tiny", "pixel-tiny", "pixel-base"])
def test_lean_presets_fit_other_sizes(preset):
    for size in ("[128,128]", "[64,128]"):
        config = load_config("generator", preset, [f"image_size={size}"], CONFIGS)
        autoencoder = load_config("vae", "tiny", [], CONFIGS) if config.space.needs_autoencoder else None
        generator = compose(config, autoencoder)
        shapes = jax.eval_shape(generator.first_variables, jax.random.key(0))
        inputs = (jnp.zeros((1, *generator.shape[:2], 2 * generator.shape[2])), jnp.ones(1))
        inputs = inputs if config.objective.noisy else (None, None)
        features = jnp.zeros((1, *config.image_size, feature_channels(config.features)))
        answers = jax.eval_shape(generator.network.apply, shapes, *inputs, features)
        assert {head: answer.shape for head, answer in answers.items()} == {
            head: (1, *generator.shape) for head in config.objective.heads
        }


@pytest.mark.parametrize("preset", ["base", "small"])
def test_presets_fit_their_sizes_and_rectangles(preset):
    for size in ("[128,128]", "[64,128]"):
        config = load_config("generator", preset, [f"image_size={size}"], CONFIGS)
        shapes = unet_shapes(config, tuple(side // 4 for side in config.image_size))
        assert shapes["params"]["attenuation_decoder"]["fourier"]["real"].shape[0] == config.image_size[0] // (
            4 * 2 ** (len(config.backbone.channel_multipliers) - 1)
        )


def test_bfloat16_keeps_float32_outputs_and_parameters():
    vae = micro("vae")
    image = jax.random.uniform(jax.random.key(1), (2, 32, 32, 1))
    exact = Autoencoder(vae.autoencoder)
    rough = Autoencoder(vae.autoencoder, PrecisionConfig(compute="bfloat16"))
    variables = first_values(exact, jax.random.key(0), image)
    full, half = jax.jit(exact.apply)(variables, image), jax.jit(rough.apply)(variables, image)
    assert half.dtype == jnp.float32
    assert 0 < float(jnp.abs(full - half).max()) < 0.1 * float(jnp.abs(full).max())
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    config = micro("radiodiff")
    shapes = ((2, 8, 8, 3), (2,), (2, 32, 32, 3))
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    unet = RadioDiffNetwork(config.backbone, precision=PrecisionConfig(compute="bfloat16"))
    outputs, variables = jax.eval_shape(lambda *x: unet.init_with_output({"params": jax.random.key(0)}, *x), *inputs)
    assert {leaf.dtype for leaf in jax.tree.leaves((outputs, variables))} == {jnp.dtype("float32")}


def test_first_values_are_the_same_inside_and_outside_of_jit():
    module = Autoencoder(AutoencoderConfig(base_channels=8, channel_multipliers=(1, 2), blocks_per_level=1,
                                           normalisation_groups=4))  # fmt: skip
    image, key = jnp.zeros((1, 16, 16, 1)), jax.random.key(3)
    outside, inside = first_values(module, key, image), jax.jit(module.init)(key, image)
    for a, b in zip(jax.tree.leaves(outside), jax.tree.leaves(inside), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_first_values_have_the_stated_spread():
    shape = (3, 3, 40, 50)
    values = initialisers.fan_in_uniform(jax.random.key(0), shape)
    assert abs(float(jnp.abs(values).max()) - 1 / np.sqrt(360)) < 1e-4
    assert_close(values.std(), 1 / np.sqrt(3 * 360), 0.02)
    assert_close(initialisers.kaiming_normal(jax.random.key(1), shape).std(), np.sqrt(2 / 360), 0.02)
    assert_close(initialisers.xavier_normal(jax.random.key(2), (40, 50)).std(), np.sqrt(2 / 90), 0.1)
    assert_close(initialisers.normal(0.02, mean=1.0)(jax.random.key(2), (5000,)).mean(), 1.0, 0.01)


def test_attention_in_pieces_equals_attention_at_once():
    query, key, value = jax.random.normal(jax.random.key(0), (3, 1, 2048, 2, 4))

    def at_once(query, key, value):
        weights = jax.nn.softmax(jnp.einsum("bqhc,bkhc->bhqk", query, key) * 0.5, -1)
        return jnp.einsum("bhqk,bkhc->bqhc", weights, value)

    found, pull = jax.vjp(lambda *inputs: attend(*inputs, 0.5), query, key, value)
    wanted, pull_at_once = jax.vjp(at_once, query, key, value)
    assert_close(found, wanted, 1e-5)
    along = jax.random.normal(jax.random.key(1), found.shape)
    for gradient, at_once_gradient in zip(pull(along), pull_at_once(along), strict=True):
        assert_close(gradient, at_once_gradient, 1e-5)


def test_batch_norm_keeps_pytorchs_books():
    """Running variance is the unbiased one (n / (n - 1)), normalisation uses the biased one."""
    module, x = BatchNorm(0.1, 1e-5), jax.random.normal(jax.random.key(0), (2, 3, 4, 5)) * 3 + 1
    variables = module.init(jax.random.key(1), x, False)
    y, changed = module.apply(variables, x, True, mutable=["batch_stats"])
    biased = np.asarray(x).var((0, 1, 2))
    assert_close(changed["batch_stats"]["variance"], 0.9 + 0.1 * biased * 24 / 23, 1e-5)
    assert_close(changed["batch_stats"]["mean"], 0.1 * np.asarray(x).mean((0, 1, 2)), 1e-5)
    assert_close(np.asarray(y).var((0, 1, 2)), biased / (biased + 1e-5), 1e-5)


def test_perceptual_distance():
    """Zero for equal images, grows with the difference, and equals the formula on hand-made features."""
    rng = np.random.default_rng(0)
    arrays, index, channels = {}, 0, 3
    for stage, widths in enumerate(STAGES):
        for width in widths:
            arrays[f"convolution_{index}.weight"] = rng.normal(0, (2 / (9 * channels)) ** 0.5, (width, channels, 3, 3))
            arrays[f"convolution_{index}.bias"] = np.zeros(width)
            index, channels = index + 1, width
        arrays[f"linear_{stage}.weight"] = np.ones((1, channels, 1, 1)) / channels
    weights = perceptual_weights({name: array.astype(np.float32) for name, array in arrays.items()}, "test")
    first = rng.uniform(-1, 1, (2, 32, 32, 1)).astype(np.float32)
    distance = jax.jit(lambda a, b: perceptual_distance(weights, a, b))
    assert distance(first, first).shape == (2, 1, 1, 1)
    assert float(jnp.abs(distance(first, first)).max()) < 1e-12
    near, far = distance(first, first + 0.05), distance(first, -first)
    assert (near > 0).all() and (far > near).all()


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_swin_blocks_in_a_loop(rate, monkeypatch):
    """Off the CPU the blocks of a long stage are a loop over pairs: the same maps and gradients, and branches dropped."""
    swin = SwinEncoder(SwinConfig(embedding_channels=8, depths=(5,), heads=(2,), stochastic_depth=rate))
    x = jax.random.normal(jax.random.key(0), (2, 32, 32, 3))
    params = swin.init(jax.random.key(1), x)["params"]

    def loss(params):
        (last,) = swin.apply({"params": params}, x)
        return jnp.sin(last).sum(), last

    plain_gradients, plain = jax.jit(lambda params: jax.grad(loss, has_aux=True)(params))(params)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    gradients, last = jax.jit(lambda params: jax.grad(loss, has_aux=True)(params))(params)
    np.testing.assert_allclose(last, plain, rtol=1e-5, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * np.abs(b).max()), gradients, plain_gradients)
    drawn = [swin.apply({"params": params}, x, True, rngs={"dropout": jax.random.key(n)})[0] for n in range(2)]
    assert bool((drawn[0] != drawn[1]).any()) == (rate > 0)
