"""First values of parameters, drawn so that hundreds of shapes share a few compiled functions.

XLA compiles a random generator anew for every shape, a minute for a U-Net. Here the numbers are drawn in powers of two
and cut to size; outside of `jit` the cutting is NumPy's. The values are the same inside and outside.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array

Initialiser = Callable[..., Array]  # (key, shape, dtype)
uniform_unit = jax.jit(lambda key, count: jax.random.uniform(key, (count,), minval=-1.0), static_argnums=1)
normal_unit = jax.jit(lambda key, count: jax.random.normal(key, (count,)), static_argnums=1)
_drawing = ContextVar("drawing", default=True)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Inside, first values are zeros: for tracing a network where its values do not matter, a third faster."""
    before = _drawing.set(False)
    try:
        yield
    finally:
        _drawing.reset(before)


def _drawn(draw: Callable, key: Array, shape: tuple[int, ...], scale: float, shift: float, dtype) -> Array:
    if not _drawing.get():
        return jnp.zeros(shape, dtype)
    count = math.prod(shape)
    enough = 1 << max(count - 1, 0).bit_length()
    with jax.disable_jit(False):
        if isinstance(key, jax.core.Tracer):
            flat = draw(key, enough)
        else:
            with jax.ensure_compile_time_eval():
                flat = np.asarray(draw(key, enough))
    return jnp.asarray((flat[:count] * np.float32(scale) + np.float32(shift)).reshape(shape), dtype)


def first_values(module: nn.Module, rngs: Array | dict[str, Array], *inputs: jax.ShapeDtypeStruct, **keywords) -> Any:
    """The variables of `module` before any training, without running it on its `inputs`.

    As `module.lazy_init`, which by itself compiles a function for every jitted call that meets a parameter.
    """
    with jax.disable_jit():
        return module.lazy_init(rngs, *inputs, **keywords)


def uniform(bound: float) -> Initialiser:
    """U(-bound, bound)."""
    return lambda key, shape, dtype=jnp.float32: _drawn(uniform_unit, key, shape, bound, 0.0, dtype)


def normal(deviation: float, mean: float = 0.0) -> Initialiser:
    """N(mean, deviation^2)."""
    return lambda key, shape, dtype=jnp.float32: _drawn(normal_unit, key, shape, deviation, mean, dtype)


def constant(value: float) -> Initialiser:
    """The same value everywhere."""
    return lambda key, shape, dtype=jnp.float32: jnp.asarray(np.full(shape, value, np.float32), dtype)


zeros, ones = constant(0.0), constant(1.0)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(inputs, outputs) of one output or input value of a kernel [..., in, out]."""
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


def fan_in_uniform(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    """U(-b, b), b = 1 / sqrt(fan in): PyTorch's default for convolutions and linear layers."""
    return uniform(1 / math.sqrt(fans(shape)[0]))(key, shape, dtype)


def lecun_normal(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    """N(0, 1 / fan in)."""
    return normal(math.sqrt(1 / fans(shape)[0]))(key, shape, dtype)


def kaiming_normal(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    """N(0, 2 / fan in)."""
    return normal(math.sqrt(2 / fans(shape)[0]))(key, shape, dtype)


def xavier_normal(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    """N(0, 2 / (fan in + fan out))."""
    return normal(math.sqrt(2 / sum(fans(shape))))(key, shape, dtype)


def xavier_uniform(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    """U(-b, b), b = sqrt(6 / (fan in + fan out))."""
    return uniform(math.sqrt(6 / sum(fans(shape))))(key, shape, dtype)
