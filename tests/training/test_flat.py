"""A tree as one vector a data type: there and back, its gradient, and states with such vectors inside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.training.devices import SMALLEST_SHARDED
from radiodiff_jax.training.flat import MULTIPLE, Flat, by_name, flatten, host_shapes, like


def tree(module=jnp):
    return {
        "a": {"kernel": module.arange(6, dtype=module.float32).reshape(2, 3), "count": module.arange(2, dtype=module.int32)},
        "b": module.asarray(7.0, module.float32),
    }


def same(first, second):
    assert jax.tree.structure(first) == jax.tree.structure(second)
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("module", [jnp, np])
def test_there_and_back(module):
    flat = Flat.of(tree(module))
    assert {name: vector.shape for name, vector in flat.vectors.items()} == {"int32": (2,), "float32": (7,)}
    same(flat.tree(), tree(module))
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(flat.tree())) == (module is np)
    same(jax.tree.map(lambda x: 2 * x, flat).tree(), jax.tree.map(lambda x: 2 * x, tree(module)))


def test_long_vectors_can_be_shared_among_devices():
    large = {"kernel": jnp.ones(SMALLEST_SHARDED + 1), "bias": jnp.ones(3)}
    (vector,) = Flat.of(large).vectors.values()
    assert vector.shape == (MULTIPLE,) and vector.sum() == SMALLEST_SHARDED + 4
    same(Flat.of(large).tree(), large)


def test_the_gradient_is_a_vector_of_the_gradients():
    params = {"a": jnp.arange(3.0), "b": jnp.ones((2, 2)), "unused": jnp.ones(2)}

    def loss(params):
        named = by_name(params)
        return (named["a"] ** 2).sum() + (named["b"] * jnp.arange(4.0).reshape(2, 2)).sum()

    found = jax.jit(jax.grad(loss))(Flat.of(params))
    assert isinstance(found, Flat)
    same(found.tree(), jax.grad(loss)(params))


def test_states():
    params = {"a": jnp.ones(2), "b": jnp.zeros(3)}
    moments = ({"a": jnp.ones(2), "b": jnp.ones(3)}, {})
    state = {"step": jnp.int32(3), "params": params, "moments": moments, "other": {"a": jnp.ones(2)}}
    held = flatten(state, [state["params"], {}])
    assert isinstance(held["params"], Flat) and isinstance(held["moments"][0], Flat)
    assert isinstance(held["other"], dict) and held["moments"][1] == {}, "other structures stay"
    same(by_name(held), state)
    same(like(held, by_name(held)), held)
    assert jax.tree.map(np.shape, host_shapes(held)) == jax.tree.map(np.shape, state)
