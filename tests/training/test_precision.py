"""Sixteen bits where they save time, thirty-two where sums need them; memory for time; large batches in small parts."""

from collections.abc import Iterator

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from radiodiff_jax.composition import compose, scene_of
from radiodiff_jax.models import relation
from radiodiff_jax.models.initialisers import first_values
from radiodiff_jax.models.layers import Convolution, rematerialised
from radiodiff_jax.models.normalisation import BatchNorm
from radiodiff_jax.models.relation import RelationLayer
from radiodiff_jax.models.swin import SwinBlock
from radiodiff_jax.training.update import make_update
from radiodiff_jax.training.vae_update import Networks, make_vae_update
from tests.micro import ONE_LEVEL, compiled_step, micro

GAN = "objective.discriminator_start=0"


def batch(count: int):
    rng = np.random.default_rng(0)
    return {
        "gain": rng.integers(0, 256, (count, 32, 32), np.uint8),
        "buildings": rng.random((count, 32, 32)) < 0.3,
        "position": rng.integers(0, 32, (count, 2), np.int32),
    }


def vae(*settings: str):
    """(task, a function that makes (first state, frozen))."""
    task = make_vae_update(micro("vae", *settings))
    return task, lambda: (task.initialise(jax.random.key(0)), {})


def ldm(*settings: str, autoencoder: tuple[str, ...] = ()):
    """As `vae`."""
    config = micro("vae", *autoencoder)
    task = make_update(compose(micro("radiodiff", *ONE_LEVEL, *settings), config))

    def start():
        weights = make_vae_update(config).initialise(jax.random.key(1))["params"]["autoencoder"]
        return task.initialise(jax.random.key(0)), {"autoencoder": weights, "scale": jnp.float32(0.5)}

    return task, start


def equations(jaxpr) -> Iterator:
    """All equations, those of inner functions too."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


def types(equation) -> set[str]:
    return {variable.aval.dtype.name for variable in equation.invars if hasattr(variable.aval, "dtype")}


@pytest.mark.parametrize("kind", ["vae", "ldm"])
def test_products_are_in_sixteen_bits_and_sums_in_thirty_two(monkeypatch, kind):
    """The aligned resize is the one product that stays in float32, so it is taken out here."""

    def nearest(x, size):
        return jax.image.resize(x, (x.shape[0], *size, x.shape[-1]), "nearest")

    monkeypatch.setattr(relation, "resize_aligned", nearest)
    bfloat16 = "precision.compute=bfloat16"
    task, start = vae(bfloat16, GAN) if kind == "vae" else ldm(bfloat16, autoencoder=(bfloat16,))
    state, frozen = jax.eval_shape(start)
    traced = jax.make_jaxpr(task.step)(state, frozen, batch(2), jax.random.key(0))
    found = {name: [] for name in ("dot_general", "conv_general_dilated", "reduce_sum")}
    for equation in equations(traced.jaxpr):
        assert not types(equation) & {"float64", "complex128"}
        if equation.primitive.name in found:
            found[equation.primitive.name].append(types(equation))
    for name in ("dot_general", "conv_general_dilated"):
        assert len(found[name]) > 20
        assert all(kinds == {"bfloat16"} for kinds in found[name]), name
    assert all("bfloat16" not in kinds for kinds in found["reduce_sum"])
    assert all(leaf.dtype != jnp.bfloat16 for leaf in jax.tree.leaves(state))


def test_bias_gradient_is_summed_in_float32():
    """A sum of 65536 equal numbers would stop growing at 256 of them in bfloat16."""
    layer = Convolution(1, 1, dtype=jnp.bfloat16)
    image = jax.ShapeDtypeStruct((1, 256, 256, 1), jnp.float32)
    params = first_values(layer, jax.random.key(0), image)
    found = jax.grad(lambda p: layer.apply(p, jnp.zeros(image.shape)).astype(jnp.float32).sum())(params)
    assert found["params"]["bias"].dtype == jnp.float32
    assert found["params"]["bias"][0] == 65536


def losses(step, state, frozen, updates: int) -> list[float]:
    found = []
    for update in range(updates):
        state, metrics = step(state, frozen, batch(2), jax.random.key(update))
        found.append(float(metrics["loss"]))
    return found


@pytest.fixture(scope="module")
def exact_vae():
    task, start = vae()
    return compiled_step(task), *start()


def test_autoencoder_in_bfloat16_follows_the_float32_loss(exact_vae):
    """Twelve updates, in which the loss falls by a third; every loss within 2 % of the float32 one."""
    exact = losses(*exact_vae, 12)
    task, _ = vae("precision.compute=bfloat16")
    found = losses(compiled_step(task), *exact_vae[1:], 12)
    assert exact[-1] < 0.9 * exact[0]
    np.testing.assert_allclose(found, exact, rtol=0.02)


def gradients(step, state, frozen, count: int):
    """The gradient as Adam's first moment shows it after one update, and the metrics."""
    after, metrics = step(state, frozen, batch(count), jax.random.key(1))
    return optax.tree_utils.tree_get(after["optimizer"], "mu"), metrics


def assert_equal_to_rounding(found, expected, relative: float):
    difference = optax.tree.norm(jax.tree.map(jnp.subtract, found, expected))
    assert difference <= relative * optax.tree.norm(expected)


def test_latent_diffusion_in_bfloat16_has_the_float32_outputs():
    """Both answers of the network at four times, as far from the float32 ones as 2 % of their size."""
    rng = np.random.default_rng(0)
    z, t = jnp.asarray(rng.normal(size=(4, 8, 8, 3)), jnp.float32), jnp.array([0.1, 0.4, 0.7, 1.0])
    found = []
    for compute in ("float32", "bfloat16"):
        generator = compose(micro("radiodiff", *ONE_LEVEL, f"precision.compute={compute}"), micro("vae"))
        network, features = generator.network, generator.features(scene_of(batch(4)))
        variables = generator.first_variables(jax.random.key(0))
        for decoder in ("attenuation_decoder", "noise_decoder"):
            head = variables["params"][decoder]["final_convolution"]
            head["kernel"] = jnp.ones_like(head["kernel"])  # it begins at zero
        inputs = jnp.concatenate([z, z], -1), t, features
        found.append(jax.jit(network.apply)(variables, *inputs).values())
    for exact, half in zip(*found, strict=True):
        assert half.dtype == jnp.float32
        assert_equal_to_rounding(half, exact, 0.02)
        assert (half != exact).any()


@pytest.mark.parametrize("kind", ["relation", "swin"])
def test_blocks_with_state_and_chance_are_rematerialised_alike(kind):
    """Batch statistics move once, and the second computation draws the same dropout."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 8, 8)), jnp.float32)
    inputs = (x[:, ::2, ::2], x) if kind == "relation" else (x,)
    layer = RelationLayer if kind == "relation" else SwinBlock
    settings = ((2, 2), (2, 2)) if kind == "relation" else 4
    arguments = (settings, 2, 0.5) if kind == "relation" else (settings, 2, True, 2, 0.5)
    position = 3 if kind == "relation" else 2
    found = []
    for remat in (False, True):
        module = rematerialised(layer, remat, position)(*arguments)
        variables = first_values(layer(*arguments), jax.random.key(0), *inputs)

        def loss(params, module=module, variables=variables):
            rngs = {"dropout": jax.random.key(1)}
            y, changed = module.apply(variables | {"params": params}, *inputs, True, rngs=rngs, mutable=["batch_stats"])
            return jnp.square(y).sum(), changed

        found.append(jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"]))
    assert_equal_to_rounding(found[1], found[0], 1e-5)


def test_rematerialised_autoencoder_keeps_less_for_the_way_back():
    """What the pull-back holds, in bytes. (XLA's CPU compiler undoes it, so that its own count shows nothing here.)"""
    kept = []
    for remat in ("false", "true"):
        config = micro("vae", f"precision.remat={remat}")
        networks, (state, _) = Networks(config), jax.eval_shape(vae()[1])
        image, noise = jnp.zeros((4, 32, 32, 1)), jnp.zeros((4, 8, 8, 3))

        def pull(params, networks=networks, image=image, noise=noise):
            return jax.vjp(lambda p: networks.to_hidden(p, image, noise, jax.random.key(0)), params)[1]

        held = jax.tree.leaves(jax.eval_shape(pull, state["params"]["autoencoder"]))
        kept.append(sum(leaf.size * leaf.dtype.itemsize for leaf in held))
    assert kept[1] < 0.5 * kept[0]


def test_autoencoder_accumulates_the_gradient_of_the_big_batch(exact_vae):
    """Alone, as there is no batch normalisation in the autoencoder: 2 x 2 maps as 4."""
    step, state, frozen = exact_vae
    task, _ = vae("optimizer.accumulate=2")
    found, metrics = compiled_step(task)(state, frozen, batch(4), jax.random.key(1))
    whole, expected = step(state, frozen, batch(4), jax.random.key(1))
    for name in ("loss", "kl_loss", "grad_norm"):
        np.testing.assert_allclose(metrics[name], expected[name], rtol=1e-5)
    moments = (optax.tree_utils.tree_get(tree["optimizer"]["autoencoder"], "mu") for tree in (found, whole))
    assert_equal_to_rounding(*moments, 1e-4)


def test_latent_diffusion_accumulates_the_gradient_of_the_big_batch(monkeypatch):
    """With batch normalisation by the running values, which the microbatches share."""

    class Running(BatchNorm):
        def __call__(self, x, train):
            return super().__call__(x, False)

    monkeypatch.setattr(relation, "BatchNorm", Running)
    run = []
    for parts in (1, 2):
        task, start = ldm(f"optimizer.accumulate={parts}", "backbone.relation_dropout=0.0")
        run.append(gradients(compiled_step(task), *start(), 4))
    (whole, expected), (found, metrics) = run
    np.testing.assert_allclose(metrics["loss"], expected["loss"], rtol=1e-5)
    assert_equal_to_rounding(found, whole, 1e-4)
