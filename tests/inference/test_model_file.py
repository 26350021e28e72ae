"""Generators in one file: the same predictions, and one sentence for a file that cannot be used."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from radiodiff_jax import load_generator, shipped_models
from radiodiff_jax.composition import compose
from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.calibration import LEVELS, Calibration, Intervals
from radiodiff_jax.inference.generator import Generator
from radiodiff_jax.inference.loading import load_model
from radiodiff_jax.inference.model_file import read_model_file, write_model_file
from tests.micro import micro

FEATURES = ["features=[buildings,free_space,in_sight]", "estimate=line_of_sight"]


def perturbed(variables):
    """Variables none of which is 0, so that every layer counts."""
    leaves, tree = jax.tree.flatten(variables)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, moved)


@pytest.fixture(scope="module")
def generator():
    words = ["space.name=pixel", "objective.name=regression", "space.patch=2", *FEATURES]
    composition = compose(micro("ldm", *words))
    return Generator(composition, perturbed(composition.first_variables(jax.random.key(0))), {})


@pytest.fixture
def file(generator, tmp_path):
    path = tmp_path / "small.safetensors"
    write_model_file(path, generator.composition, generator.variables, {}, {"summary": "a test"}, "MIT", precision="float32")
    return path


@pytest.fixture(scope="module")
def buildings():
    walls = np.zeros((32, 32), bool)
    walls[4:12, 18:26] = walls[20:27, 5:11] = True
    return walls


def test_a_file_gives_the_same_predictions(generator, file, buildings):
    again = load_generator(file)
    np.testing.assert_array_equal(again.predict(buildings, (16, 3)).gain, generator.predict(buildings, (16, 3)).gain)
    assert again.record["summary"] == "a test" and again.record["licence"] == "MIT" and len(again.record["digest"]) == 64
    assert again.config == generator.config and again.name == str(file)


def test_bfloat16_halves_the_file_and_rounds_the_weights(generator, file, tmp_path):
    rounded = tmp_path / "rounded.safetensors"
    write_model_file(rounded, generator.composition, generator.variables, {}, {}, "MIT")
    assert rounded.stat().st_size < 0.7 * file.stat().st_size
    for found, leaf in zip(
        jax.tree.leaves(read_model_file(rounded).variables), jax.tree.leaves(generator.variables), strict=True
    ):
        assert found.dtype == jnp.float32
        np.testing.assert_array_equal(found, leaf.astype(jnp.bfloat16).astype(jnp.float32))


def test_a_calibration_is_kept(generator, tmp_path):
    path = tmp_path / "calibrated.safetensors"
    intervals = Intervals("laplace", tuple(1 + level for level in LEVELS))
    known = Calibration(intervals, "weights", 1, 1, {"radio_maps": 7})
    write_model_file(path, generator.composition, generator.variables, {}, {}, "MIT", calibration=known)
    assert load_model(path).calibration == known


def changed(file, tensors=None, **metadata):
    """The file with other tensors or metadata, written as a good safetensors file."""
    with safe_open(file, "numpy") as found:
        told = found.metadata()
    arrays = load_file(file) | (tensors or {})
    save_file(arrays, file, {**told, **metadata})


def test_files_that_cannot_be_used_are_refused_in_one_sentence(file, generator, tmp_path):
    good = file.read_bytes()
    name = sorted(load_file(file))[3]
    flipped = bytearray(good)
    flipped[-5] ^= 1
    settings = json.loads(safe_open(file, "numpy").metadata()["settings"])
    settings["generator"]["backbone"]["widths"] = [8, 32]

    def write(data):
        return lambda: file.write_bytes(data)

    for make, says in (
        (write(bytes(flipped)), "damaged .its contents do not match its digest"),
        (write(good[: len(good) // 2]), "damaged or no safetensors file"),
        (write(b"hello"), "damaged or no safetensors file"),
        (write(b""), "damaged or no safetensors file"),
        (lambda: changed(file, {name: load_file(file)[name] + 1}), "contents do not match its digest"),
        (lambda: changed(file, settings=json.dumps(settings)), "contents do not match its digest"),
        (lambda: changed(file, version="2"), "version 2 of the format, but .* reads version 1"),
        (lambda: changed(file, format="pt"), "no model of this package"),
        (lambda: save_file({"x": np.ones(2)}, file), "no model of this package"),
        (lambda: changed(file, digest="?"), "do not match its digest"),
        (lambda: changed(file, record="{"), "damaged"),
    ):
        file.write_bytes(good)
        make()
        with pytest.raises(UserError, match=says) as caught:
            load_generator(file)
        assert str(file) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match="there is no model file .*missing.safetensors"):
        load_generator(tmp_path / "missing.safetensors")


def test_weights_of_another_network_are_refused(generator, tmp_path):
    path = tmp_path / "other.safetensors"
    wider = compose(micro("ldm", "space.name=pixel", "objective.name=regression", "space.patch=2", "backbone.widths=[8,24]",
                          *FEATURES))  # fmt: skip
    write_model_file(path, wider, generator.variables, {}, {}, "MIT")
    with pytest.raises(UserError, match=r"do not fit its settings in \d+ places .*made by another version"):
        load_generator(path)


def test_names_of_models_are_found_or_the_nearest_named():
    assert "dpm-regression" in shipped_models()
    with pytest.raises(UserError, match="neither a run folder nor a model.*did you mean 'dpm-regression'"):
        load_generator("dpm-regresion")
    with pytest.raises(UserError, match="there is no model 'dpm'"):
        load_model("dpm")
