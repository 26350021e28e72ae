"""Both trainings as pure steps: what moves, what does not, and that the short cut gives the plain gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from radiodiff_jax.composition import compose
from radiodiff_jax.models.autoencoder import posterior_sample
from radiodiff_jax.objectives import vae_gan
from radiodiff_jax.training.update import make_update
from radiodiff_jax.training.vae_update import Networks, make_vae_update, vae_gradients
from tests.micro import ONE_LEVEL, compiled_step, micro

SIZE = (32, 32)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return {
        "gain": rng.integers(0, 256, (4, *SIZE), np.uint8),
        "buildings": rng.random((4, *SIZE)) < 0.3,
        "position": rng.integers(0, 32, (4, 2), np.int32),
    }


@pytest.fixture(scope="module")
def vae():
    config = micro("vae", "objective.discriminator_start=1", "objective.kl_weight=0.01")
    task = make_vae_update(config)
    return config, task, task.initialise(jax.random.key(0)), compiled_step(task)


def same(first, second) -> bool:
    return all(bool((a == b).all()) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))


def test_discriminator_rests_until_its_start(vae, batch):
    config, task, start, step = vae
    first, metrics = step(start, {}, batch, jax.random.key(1))
    assert same(first["params"]["discriminator"], start["params"]["discriminator"])
    assert same(first["batch_stats"], start["batch_stats"])
    assert not same(first["params"]["autoencoder"], start["params"]["autoencoder"])
    assert metrics["d_weight"] == metrics["disc_loss"] == 0
    second, metrics = step(first, {}, batch, jax.random.key(2))
    assert not same(second["params"]["discriminator"], first["params"]["discriminator"])
    assert not same(second["batch_stats"], first["batch_stats"])
    assert metrics["d_weight"] > 0 and metrics["disc_loss"] > 0
    assert int(second["step"]) == 2
    assert [task.phase(i) for i in range(3)] == ["vae", "vae_gan", "vae_gan"]


def test_one_backward_pass_gives_the_plain_gradients(vae, batch):
    """Against jax.grad of the whole loss, where the autoencoder runs forward as often as it likes."""
    config, _, state, _ = vae
    networks, image = Networks(config), jnp.asarray(2 * batch["gain"][..., None] / np.float32(255) - 1)
    noise = jax.random.normal(jax.random.key(5), (4, 8, 8, 3))
    params, batch_stats, objective = state["params"], state["batch_stats"], config.objective

    @jax.jit
    def short():
        return vae_gradients(config, networks, params, batch_stats, None, image, noise, jnp.int32(1), jax.random.key(6))

    @jax.jit
    def plain(weight):
        def output(tree):
            moments = networks.autoencoder.apply({"params": tree}, image, method="encode")
            z = posterior_sample(moments, noise)
            return networks.autoencoder.apply({"params": tree}, z, method="decode"), moments

        def generator(tree):
            reconstruction, moments = output(tree)
            error = vae_gan.reconstruction_error(image, reconstruction, None, 0.0)
            logits, _ = networks.discriminate(params["discriminator"], batch_stats, reconstruction)
            nll = vae_gan.negative_log_likelihood(error, 0.0)
            return nll + objective.kl_weight * vae_gan.kl_loss(moments) - weight * logits.mean()

        def discriminator_loss(tree):
            reconstruction = output(params["autoencoder"])[0]
            logits = [networks.discriminate(tree, batch_stats, x)[0] for x in (image, reconstruction)]
            return vae_gan.discriminator_loss(*logits, "hinge")

        return jax.value_and_grad(generator)(params["autoencoder"]), jax.grad(discriminator_loss)(params["discriminator"])

    found, _, metrics = short()
    (loss, autoencoder), discriminator = plain(metrics["d_weight"])
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    for ours, theirs in ((found["autoencoder"], autoencoder), (found["discriminator"], discriminator)):
        scale = optax.tree.norm(theirs)
        assert optax.tree.norm(jax.tree.map(jnp.subtract, ours, theirs)) < 1e-4 * scale


@pytest.fixture(scope="module")
def ldm(vae):
    config = micro("radiodiff", *ONE_LEVEL, "optimizer.accumulate=2")
    task = make_update(compose(config, vae[0]))
    frozen = {"autoencoder": vae[2]["params"]["autoencoder"], "scale": jnp.float32(0.5)}
    return task, frozen, task.initialise(jax.random.key(0)), compiled_step(task), jax.jit(task.predict)


def test_latent_diffusion_step(ldm, batch):
    task, frozen, start, step, _ = ldm
    state, metrics = step(start, frozen, batch, jax.random.key(1))
    assert {"loss", "loss_c", "loss_noise", "grad_norm", "learning_rate"} <= metrics.keys()
    assert all(np.isfinite(value) for value in metrics.values())
    later, _ = step(state, frozen, batch, jax.random.key(5))  # the last layer begins at zero and must move first
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), later["params"], start["params"])
    assert np.mean(jax.tree.leaves(moved)) > 0.9
    assert not same(state["batch_stats"], start["batch_stats"])
    assert same(state["constants"], start["constants"])
    again, _ = step(start, frozen, batch, jax.random.key(1))
    assert same(again, state)
    other, _ = step(start, frozen, batch, jax.random.key(2))
    assert not same(other["params"], state["params"])


def test_prediction_of_a_map_does_not_depend_on_its_batch(ldm, batch):
    task, frozen, state, _, predict = ldm
    whole = predict(state, frozen, batch, jax.random.key(3))
    assert whole.shape == (4, *SIZE)
    assert float(whole.min()) >= 0 and float(whole.max()) <= 1
    part = jax.jit(task.predict)(state, frozen, {k: v[:2] for k, v in batch.items()}, jax.random.key(3))
    np.testing.assert_allclose(part, whole[:2], atol=1e-5)
    assert not same(predict(state, frozen, batch, jax.random.key(4)), whole)


def test_an_autoencoder_with_dropout_trains_and_averages_itself_alone(batch):
    """Tracing is enough: without a key for it dropout raised InvalidRngError."""
    task = make_vae_update(micro("vae", "autoencoder.dropout=0.1"))
    start = jax.eval_shape(task.initialise, jax.random.key(0))
    state, _ = jax.eval_shape(task.step, start, {}, batch, jax.random.key(1))
    assert jax.tree.structure(state) == jax.tree.structure(start)
    assert state["ema"]["average"].keys() == state["params"]["autoencoder"].keys(), "nobody reads a mean discriminator"
