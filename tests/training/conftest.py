"""Trainings of one task share what is compiled, as the tests run many short ones."""

import functools

import pytest

from radiodiff_jax.training import loop
from radiodiff_jax.training.compiled import compile_task

shared_compile_task = functools.cache(compile_task)


@pytest.fixture(autouse=True, scope="session")
def compile_once():
    """Make `train` compile equal tasks once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "compile_task", shared_compile_task)
        yield
