"""The benchmark measures the functions that predict, on weights of the right shapes."""

import time

import jax
import numpy as np

from radiodiff_jax.inference.speed import peak_memory_gb, random_model, timed
from radiodiff_jax.training.ldm_task import first_variables
from tests.micro import micro


def test_weights_for_timing_have_the_shapes_of_real_ones():
    ldm, vae = micro("ldm"), micro("vae")
    model = random_model(ldm, vae)
    real = jax.eval_shape(lambda key: first_variables(ldm, vae, key), jax.random.key(0))
    describe = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)  # noqa: E731
    assert describe(model.variables) == describe(real)
    condition = np.ones((1, *ldm.image_size, 3), np.float32)
    gain = model.predict(condition, 1)
    assert gain.shape == (1, *ldm.image_size, 1) and np.isfinite(gain).all()


def test_the_first_call_is_told_apart_from_the_rest():
    seconds = iter([0.05, 0.0, 0.0])
    found = timed(lambda: time.sleep(next(seconds)), 2)
    assert found["first_s"] > 0.04 > found["median_s"] >= found["best_s"] and found["repeats"] == 2
    assert peak_memory_gb() > 0.05
