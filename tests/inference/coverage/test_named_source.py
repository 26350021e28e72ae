"""A source by words that other processes understand: the same maps from jobs that travelled, and never by other weights."""

import pickle

import numpy as np
import pytest
from tqdm import tqdm

from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.coverage import Area, ExactGains
from radiodiff_jax.inference.coverage.named_source import NamedSource
from radiodiff_jax.inference.coverage.parts import store_parts, with_parts
from tests.inference.test_model_file import buildings, file, generator  # noqa: F401 (fixtures)

PLACES = [(16, 3), (1, 1), (30, 30), (15, 15), (2, 30)]


def travel(jobs, folder, bar):
    for job in jobs:
        bar.update(pickle.loads(pickle.dumps(job))())


def test_maps_by_jobs_that_travelled(file, buildings, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(file.parent)
    area = Area(buildings, 0.0, 32.0, None, "city.png", "digest")
    named = NamedSource(file.name)
    source = named.open()
    others = named.for_others(source)
    assert others.model == file and others.weights and NamedSource().open() == ExactGains()
    monkeypatch.chdir(tmp_path.parent)  # a worker's working directory is another one
    with tqdm(total=len(PLACES), disable=True) as bar:
        store_parts(source, others, area, PLACES, tmp_path / "plan", travel, bar)
    stored = with_parts(source, area, PLACES, tmp_path / "plan")
    assert stored is not source
    for found, wanted in zip(stored(buildings, PLACES), source(buildings, PLACES), strict=True):
        np.testing.assert_array_equal(found.gain, wanted.gain)
        assert found.known == wanted.known


def test_other_weights_are_refused(file):  # noqa: F811
    with pytest.raises(UserError, match="has other weights where the work is done than where it was given"):
        NamedSource(file, weights="another").open()
