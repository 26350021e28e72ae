"""Digests tell every bit, and nothing else."""

import hashlib

import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.training.digest import digest, parameters_digest

TREE = {"b": {"x": np.float32([1, 2])}, "a": np.int32(3)}


def test_definition():
    expected = hashlib.sha256()
    expected.update(b"a int32 []\n" + np.int32(3).tobytes())
    expected.update(b"b/x float32 [2]\n" + np.float32([1, 2]).tobytes())
    assert digest(TREE) == expected.hexdigest()


def test_order_and_kind_of_array_do_not_matter():
    assert digest({"a": jnp.int32(3), "b": {"x": jnp.array([1.0, 2.0])}}) == digest(TREE)


@pytest.mark.parametrize(
    "other",
    [
        {"b": {"x": np.float32([1, np.nextafter(np.float32(2), np.float32(3))])}, "a": np.int32(3)},
        {"b": {"x": np.float32([[1, 2]])}, "a": np.int32(3)},
        {"b": {"x": np.float64([1, 2])}, "a": np.int32(3)},
        {"b": {"y": np.float32([1, 2])}, "a": np.int32(3)},
    ],
    ids=["one bit", "shape", "type", "path"],
)
def test_everything_else_does(other):
    assert digest(other) != digest(TREE)


def test_bfloat16_and_empty():
    assert digest({"x": jnp.ones(3, jnp.bfloat16)}) != digest({"x": jnp.ones(3, jnp.float16)})
    assert len(digest({"x": jnp.zeros((0, 4))})) == 64


def test_parameters_digest_covers_the_average_and_not_the_optimizer():
    state = {"params": TREE, "ema": {"average": TREE}, "optimizer": np.zeros(3)}
    assert parameters_digest(state) == parameters_digest(state | {"optimizer": np.ones(3)})
    assert parameters_digest(state) != parameters_digest(state | {"ema": {"average": {"a": np.int32(4)}}})
