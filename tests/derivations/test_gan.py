"""Formulae of `derivations/gan.md`."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.models.autoencoder import posterior_sample
from radiodiff_jax.models.discriminator import Discriminator
from radiodiff_jax.objectives import vae_gan
from radiodiff_jax.settings import DiscriminatorConfig, GANObjectiveConfig, VAEConfig
from radiodiff_jax.training.vae_update import Networks, vae_gradients
from tests.derivations.formulas import evaluates

RNG = np.random.default_rng(1)
CONFIG = VAEConfig(objective=GANObjectiveConfig(kl_weight=0.01, discriminator_start=0, discriminator_factor=0.8))


def normal(*shape):
    return jnp.asarray(RNG.normal(0, 0.5, shape), jnp.float32)


class SmallNetworks:
    """What `vae_update.Networks` offers, in a few multiplications around the real last layer."""

    last_layer = Networks(CONFIG).last_layer

    def to_hidden(self, params, image, noise, dropout):
        moments = image @ params["encoder"]
        return jnp.tanh(posterior_sample(moments, noise) @ params["decoder"]), moments

    def discriminate(self, params, batch_stats, image):
        return jnp.tanh(image @ params["weight"] - batch_stats), 0.9 * batch_stats + 0.1 * jnp.mean(image)


@pytest.fixture(scope="module")
def params():
    layer = {"kernel": normal(3, 3, 4, 1), "bias": normal(1)}
    autoencoder = {"encoder": normal(1, 4), "decoder": normal(2, 4), "convolution_out": layer}
    return {"autoencoder": autoencoder, "discriminator": {"weight": normal(1, 1)}}


@evaluates(1)
def test_sizes_and_receptive_field_of_the_discriminator():
    layers, size = 2, 48
    side, apart, seen = size, 1, 1
    for stride in [2] * layers + [1, 1]:
        seen += 3 * apart
        apart *= stride
        side = (side + 2 - 4) // stride + 1
    module = Discriminator(DiscriminatorConfig(base_channels=1, layers=layers))
    image = jnp.zeros((1, size, size, 1))
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), image, False))
    variables = jax.tree.map(lambda s: jnp.full(s.shape, 0.1), variables)

    def middle(image):
        logits = module.apply(variables, image, False)
        assert logits.shape == (1, side, side, 1)
        return logits[0, side // 2, side // 2, 0]

    along = jax.jit(jax.grad(middle))(image)
    rows, columns = np.nonzero(np.asarray(along)[0, ..., 0])
    assert np.ptp(rows) + 1 == np.ptp(columns) + 1 == seen == 34
    # Three layers, as the presets have: 70 pixels, 30 logits a side for 256 pixels.
    side, apart, seen = 256, 1, 1
    for stride in (2, 2, 2, 1, 1):
        seen, apart, side = seen + 3 * apart, apart * stride, (side - 2) // stride + 1
    assert (seen, side) == (70, 30)


def patches(counts, logits):
    """Logits of a batch in which patch i occurs counts[i] times."""
    return np.repeat(logits, counts).astype(np.float32)


REAL, FAKE = np.array([5, 2, 1]), np.array([1, 3, 4])  # how often each of three kinds of patch occurs, of 8
P, Q = REAL / 8, FAKE / 8


@evaluates(2, 3)
def test_hinge_loss_and_its_optimum():
    grid = list(product(np.linspace(-2, 2, 9), repeat=3))
    real, fake = (np.stack([patches(counts, logits) for logits in grid]) for counts in (REAL, FAKE))
    losses = np.asarray(jax.jit(jax.vmap(lambda r, f: vae_gan.discriminator_loss(r, f, "hinge")))(real, fake))
    expected = [
        0.5 * (np.sum(P * np.maximum(0, 1 - np.array(d))) + np.sum(Q * np.maximum(0, 1 + np.array(d)))) for d in grid
    ]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert tuple(grid[int(losses.argmin())]) == tuple(np.sign(P - Q)) == (1, -1, -1)
    assert losses.min() == pytest.approx(np.minimum(P, Q).sum()) == pytest.approx(1 - 0.5 * np.abs(P - Q).sum())


@evaluates(4)
def test_vanilla_loss_and_its_optimum():
    def loss(logits):
        real, fake = (logits[np.repeat(np.arange(3), counts)] for counts in (REAL, FAKE))
        return vae_gan.discriminator_loss(real, fake, "vanilla")

    best = np.log(P / Q)
    middle = (P + Q) / 2
    divergence = 0.5 * np.sum(P * np.log(P / middle)) + 0.5 * np.sum(Q * np.log(Q / middle))
    value, slope = jax.jit(jax.value_and_grad(loss))(jnp.asarray(best, jnp.float32))
    assert float(value) == pytest.approx(np.log(2) - divergence, rel=1e-5)
    np.testing.assert_allclose(slope, 0, atol=1e-6)
    other = np.array([0.3, -1.0, 2.0])
    expected = 0.5 * (np.sum(P * np.log1p(np.exp(-other))) + np.sum(Q * np.log1p(np.exp(other))))
    assert float(loss(jnp.asarray(other))) == pytest.approx(expected, rel=1e-5)


@evaluates(5)
def test_generator_loss():
    """A discriminator that is the identity: logits are pixels, so the cotangent is that of the logits."""
    output = jnp.asarray(RNG.normal(size=(2, 3, 4, 1)), jnp.float32)
    terms = vae_gan.adversarial_terms(
        GANObjectiveConfig(), lambda params, stats, image: (params * image, stats), jnp.float32(1), {}, output, output
    )
    assert float(terms.generator_loss) == pytest.approx(-np.mean(np.asarray(output, np.float64)), rel=1e-5)
    np.testing.assert_allclose(terms.generator_cotangent, -1 / 24, rtol=1e-6)


@evaluates(6)
def test_delayed_start():
    config = GANObjectiveConfig(discriminator_start=100, discriminator_factor=0.7)
    found = [float(vae_gan.discriminator_factor(config, step)) for step in (0, 99, 100, 5000)]
    np.testing.assert_allclose(found, [0, 0, 0.7, 0.7], rtol=1e-6)


@evaluates(8)
def test_gradient_of_the_last_convolution(params):
    below, cotangent = RNG.normal(size=(2, 5, 6, 4)), RNG.normal(size=(2, 5, 6, 1))
    layer = params["autoencoder"]["convolution_out"]
    _, pull = jax.vjp(lambda layer: SmallNetworks().last_layer(layer, jnp.asarray(below, jnp.float32)), layer)
    padded = np.pad(below, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.zeros((3, 3, 4, 1))
    for m, n, c in np.ndindex(3, 3, 4):
        expected[m, n, c, 0] = np.sum(padded[:, m : m + 5, n : n + 6, c] * cotangent[..., 0])
    np.testing.assert_allclose(pull(jnp.asarray(cotangent, jnp.float32))[0]["kernel"], expected, rtol=1e-4, atol=1e-5)


@evaluates(9)
def test_adaptive_weight():
    likelihood, adversarial = RNG.normal(size=(2, 3, 3, 4, 1))
    for factor in (1.0, 1e-3, 0.0):
        other = factor * adversarial
        ratio = np.sqrt(np.sum(likelihood**2)) / (np.sqrt(np.sum(other**2)) + 1e-4)
        found = vae_gan.adaptive_weight(likelihood, other, 0.5)
        assert float(found) == pytest.approx(0.5 * min(ratio, 1e4), rel=1e-5)
    assert float(vae_gan.adaptive_weight(likelihood, 0 * adversarial, 0.5)) == 5000


@evaluates(7, 9, 10)
def test_one_layers_vjp_gives_what_the_whole_graph_gives(params):
    """The training's gradients against plain differentiation of the losses through the whole autoencoder."""
    networks, batch_stats, image, noise = SmallNetworks(), jnp.float32(0.2), normal(2, 6, 5, 1), normal(2, 6, 5, 2)
    objective = CONFIG.objective

    def losses(autoencoder):
        hidden, moments = networks.to_hidden(autoencoder, image, noise, None)
        output = networks.last_layer(autoencoder["convolution_out"], hidden)
        error = jnp.abs(image - output) + jnp.square(image - output)
        _, stats = networks.discriminate(params["discriminator"], batch_stats, image)
        logits, _ = networks.discriminate(params["discriminator"], stats, output)
        mean, log_variance = jnp.split(moments, 2, -1)
        kl = jnp.sum(mean**2 + jnp.exp(log_variance) - 1 - log_variance) / 2 / 2
        return jnp.stack([jnp.sum(error) / 2, -jnp.mean(logits), kl])

    along_nll, along_g, along_kl = (
        jax.tree.map(lambda leaf, i=i: np.asarray(leaf[i], np.float64), jacobian)
        for jacobian in [jax.jit(jax.jacrev(losses))(params["autoencoder"])]
        for i in range(3)
    )
    found, _, metrics = jax.jit(
        lambda: vae_gradients(CONFIG, networks, params, batch_stats, None, image, noise, jnp.int32(3), jax.random.key(0))
    )()
    lengths = [np.linalg.norm(along["convolution_out"]["kernel"]) for along in (along_nll, along_g)]
    weight = objective.discriminator_weight * min(lengths[0] / (lengths[1] + 1e-4), 1e4)
    assert float(metrics["d_weight"]) == pytest.approx(weight, rel=1e-4)
    factor = objective.discriminator_factor * weight
    expected = jax.tree.map(
        lambda nll, g, kl: nll + factor * g + objective.kl_weight * kl, along_nll, along_g, along_kl
    )
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    for ours, theirs in zip(jax.tree.leaves(found["autoencoder"]), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * largest)
