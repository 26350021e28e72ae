"""The diffusion process, its loss in every variant and the sampler's trajectories against the original."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.models.autoencoder import posterior_sample
from radiodiff_jax.objectives import decoupled as diffusion
from radiodiff_jax.objectives.decoupled import Decoupled
from radiodiff_jax.objectives.objective import Noised, times_from_uniform
from radiodiff_jax.spaces.latent import to_gain
from tests.golden_files import golden
from tests.models.comparison import assert_close, nhwc

SMALLEST = 1e-4


@pytest.fixture(scope="module")
def file():
    return golden("diffusion")


def predictor(x, t, condition):
    """The smooth stand-in for a network that the golden file describes."""
    t, condition = t[:, None, None, None], condition[:, ::4, ::4]
    c = 0.7 * x - 0.3 * jnp.sin(3 * x + t) + 0.1 * condition
    return c, 0.5 * jnp.sqrt(t) * x + 0.2 * jnp.cos(2 * x - t) + 0.05 * condition


def loss_of(objective, c, noise_predicted, x0, noise, t):
    """Mean over the batch of the objective's loss."""
    noised = Noised(None, t, {"attenuation": -x0, "noise": noise})
    return objective.loss({"attenuation": c, "noise": noise_predicted}, noised, None)[0].mean()


def test_process(file):
    q = {key.removeprefix("q/"): nhwc(file[key]) for key in file.files if key.startswith("q/")}
    x0, noise, c, t, s = q["x0"], q["noise"], q["C"], q["t"], q["s"]
    assert_close(diffusion.forward_process(x0, noise, c, t), q["xt"], 1e-6)
    assert_close(diffusion.forward_process(x0, noise, -x0, t), q["xt_Cneg"], 1e-6)
    assert_close(diffusion.predicted_start(q["xt"], q["noise_pred"], c, t), q["pred_x0"], 1e-6)
    step = diffusion.reverse_step(q["xt"], q["noise_pred"], c, t, s, q["eps"])
    assert_close(step, q["pred_xtms_latent"], 1e-6)
    assert_close(step, q["pred_xtms_base"], 1e-5)
    whole = diffusion.reverse_step(q["xt"], q["noise_pred"], c, t, t, q["eps"])
    assert_close(whole, q["pred_xtms_full_step"], 1e-6)


@pytest.mark.parametrize("form", ["l2", "l1"])
@pytest.mark.parametrize("add_l1", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_variants(file, form, add_l1, weighted):
    name = f"loss_w{int(weighted)}_usel1{int(add_l1)}_{form}"
    objective = Decoupled(loss_form=form, add_l1=add_l1, time_weighting=weighted)
    x0, noise, t = nhwc(file["q/x0"]), nhwc(file["q/noise"]), file["q/t"]
    assert_close(diffusion.forward_process(x0, noise, -x0, t), nhwc(file["loss_common/x_noisy"]), 1e-6)
    c, noise_predicted = nhwc(file["loss_common/C_pred"]), nhwc(file["loss_common/noise_pred"])

    def loss(c, noise_predicted):
        return loss_of(objective, c, noise_predicted, x0, noise, t)

    value, gradients = jax.value_and_grad(loss, (0, 1))(c, noise_predicted)
    assert_close(value, file[f"{name}/loss"], 1e-6)
    assert_close(gradients[0], nhwc(file[f"{name}/grad_C_pred"]), 1e-5)
    assert_close(gradients[1], nhwc(file[f"{name}/grad_noise_pred"]), 1e-5)


def test_training_draws(file):
    """Posterior sample, scaling, time, noisy latent and loss of one training step, all draws given."""
    step = {key.removeprefix("train_step/"): nhwc(file[key]) for key in file.files if key.startswith("train_step/")}
    z = 0.3 * posterior_sample(step["moments"], step["posterior_noise"])
    t = times_from_uniform(step["u"], SMALLEST)
    assert_close(z, step["z_scaled"], 1e-6)
    assert_close(t, step["t"], 1e-6)
    x = diffusion.forward_process(z, step["noise"], -z, t)
    assert_close(x, step["x_noisy"], 1e-6)
    c, noise = predictor(x, t, nhwc(file["q/cond"]))
    losses = {
        (weighted, add_l1): loss_of(Decoupled(time_weighting=weighted, add_l1=add_l1), c, noise, z, step["noise"], t)
        for weighted in (False, True)
        for add_l1 in (False, True)
    }
    assert_close(losses[True, True], step["loss"], 1e-5)


@pytest.mark.parametrize("name", ["N1", "N3", "N5", "N10", "N1_nodenoise", "N3_nodenoise"])
def test_trajectory(file, name):
    data = {key.split("/")[1]: file[key] for key in file.files if key.startswith(f"sample_{name}/")}
    condition = nhwc(file["q/cond"])

    def predict(x, t, wanted):
        return dict(zip(("attenuation", "noise"), predictor(x, t, condition), strict=True))

    steps, split = int(name.split("_")[0][1:]), not name.endswith("nodenoise")
    draws = jnp.stack([nhwc(data["x_init"]), *map(nhwc, data["injected_eps"])])
    z, record = jax.jit(lambda: diffusion.trajectory(predict, lambda i: draws[i], steps, SMALLEST, split))()
    assert len(record.t) == len(data["t"]) == steps + split
    for i, (t, s, x, x0, noise, following, c) in enumerate(zip(*record, strict=True)):
        np.testing.assert_array_equal(np.full(x.shape[0], t), data["t"][i])
        np.testing.assert_array_equal(np.full(x.shape[0], s), data["s"][i])
        for ours, theirs in ((x, "x_in"), (x0, "x0"), (noise, "noise"), (following, "x_next"), (c, "C_raw")):
            assert_close(ours, nhwc(data[theirs][i]), 1e-5, f"{theirs} of evaluation {i}")
    mean = 0.9 * (z / 0.3).mean(-1, keepdims=True)  # the file's stand-in for a decoder
    image = to_gain(jnp.repeat(jnp.repeat(mean, 4, 1), 4, 2))[..., None]
    assert_close(image, nhwc(data["image"]), 1e-5)


def test_forward_then_exact_reverse_lands_on_the_start():
    """With the true C and noise, a full reverse step gives x_0 back, at any time."""
    x0, noise = np.random.default_rng(0).normal(size=(2, 3, 4, 4, 3)).astype(np.float32)
    t = np.array([0.001, 0.5, 1.0], np.float32)
    x = diffusion.forward_process(x0, noise, -x0, t)
    assert_close(diffusion.reverse_step(x, noise, -x0, t, t, noise), x0, 1e-4)


def test_only_what_counts_is_asked_for():
    asked = []

    def predict(x, t, wanted):
        asked.append(wanted)
        return {"attenuation": -x, "noise": x}

    diffusion.trajectory(predict, lambda i: jnp.zeros((1, 2, 2, 3)), 3, SMALLEST)
    # Evaluations that need the same heads are one loop, so they are traced once.
    assert list(dict.fromkeys(asked)) == [("attenuation",), ("attenuation", "noise"), ("noise",)]


def test_the_graph_does_not_grow_with_the_steps():
    def equations(steps):
        def sample(x):
            return Decoupled().sample(lambda x, t, wanted: {"attenuation": -x, "noise": x}, lambda i: x, steps, None)

        return len(jax.make_jaxpr(sample)(jnp.ones((1, 2, 2, 3))).eqns)

    assert equations(3) == equations(50)
