"""Models as ONNX: onnxruntime answers what `predict` does, from the mask and the position alone."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from experiments import weights
from experiments.training import CONFIGS
from radiodiff_jax.composition import compose, noise_of_scenes, scene_of
from radiodiff_jax.config_files import load_config
from radiodiff_jax.errors import UserError
from radiodiff_jax.features import FEATURES, Scene
from radiodiff_jax.inference.exported import draws_of_noise, onnx_model
from radiodiff_jax.inference.generator import Generator
from radiodiff_jax.inference.model_file import write_model_file
from radiodiff_jax.models.layers import Convolution, UpsampleConvolution
from radiodiff_jax.models.normalisation import GroupNorm
from radiodiff_jax.models.radiodiff_blocks import FourierLayer

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed; it is in the extra dev")
onnx = pytest.importorskip("onnx", reason="onnx is not installed; it is in the extra export")

NAMES = ",".join(name for name in FEATURES if name != "observed")
EVERYTHING = ["image_size=[32,32]", "backbone.widths=[8,16]", f"features=[{NAMES}]", "estimate=path"]


def small(*words: str) -> Generator:
    """A regression in pixels with weights at random, none of them zero."""
    composition = compose(load_config("generator", "pixel-tiny", [*EVERYTHING, *words], CONFIGS))
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(composition.first_variables, jax.random.key(0))
    variables = jax.tree.map(lambda leaf: rng.normal(0, 0.15, leaf.shape).astype(np.float32), shapes)
    return Generator(composition, variables, {}, "small")


@pytest.fixture(scope="module")
def model():
    return small()


def scenes():
    """Masks and positions: no building, a courtyard, blocks, the transmitter in a corner."""
    rng = np.random.default_rng(1)
    empty, courtyard, blocks = (np.zeros((32, 32), bool) for _ in range(3))
    courtyard[6:20, 8:26] = True
    courtyard[10:16, 12:22] = False
    for row, column in rng.integers(0, 26, (12, 2)):
        blocks[row : row + 5, column : column + 4] = True
    blocks[0, 0] = blocks[16, 31] = False
    return [(empty, (16, 16)), (courtyard, (28, 3)), (courtyard, (12, 15)), (blocks, (0, 0)), (blocks, (16, 31))]


def answer(session, buildings, position):
    """What onnxruntime says."""
    inputs = {"buildings": buildings[None].astype(np.uint8), "position": np.array([position], np.int32)}
    return session.run(["gain"], inputs)[0][0]


def test_onnxruntime_answers_what_predict_does(model, tmp_path):
    file, out = tmp_path / "small.safetensors", tmp_path / "small.onnx"
    write_model_file(file, model.composition, model.variables, {}, {}, "MIT", precision="float32")
    assert weights.main(["onnx", "--model", str(file), "--out", str(out)]) == 0
    sessions = {"float32": onnxruntime.InferenceSession(out)}
    sessions |= {kind: onnxruntime.InferenceSession(onnx_model(model, (32, 32), kind)) for kind in ("float16", "int8")}
    within = {"float32": 1e-4, "float16": 2e-3, "int8": 5e-2}
    for buildings, position in scenes():
        expected = model.predict(buildings, position).gain
        for kind, session in sessions.items():
            found = answer(session, buildings, position)
            assert np.abs(found - expected).max() < within[kind], (kind, position)
        assert expected[~buildings].std() > 0.05
    about = sessions["float32"].get_modelmeta().custom_metadata_map
    assert about["size"] == "32 x 32 m" and "-147" in about["unit"]


@pytest.mark.parametrize("size", [(32, 64), (64, 32)])
def test_rays_by_rows_and_columns_are_the_rays(size):
    from radiodiff_jax.inference.onnx_graph.rays import GraphScene

    rng = np.random.default_rng(2)
    buildings = jnp.asarray(rng.random((2, *size)) < 0.1)
    position = jnp.asarray([[3, 5], [30, 31]], jnp.int32)
    expected, found = jax.jit(lambda *scene: (Scene(*scene).rays, GraphScene(*scene).rays))(buildings, position)
    for name in expected._fields:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-6, err_msg=name)


def test_int8_kernels_take_a_quarter():
    wide = small("backbone.widths=[96,96]", "features=[buildings]", "estimate=none")
    whole, rounded = (len(onnx_model(wide, (32, 32), kind)) for kind in ("float32", "int8"))
    assert rounded < 0.4 * whole


def test_a_flow_is_given_its_noise():
    """In pixels, from an estimate: so buildings are filled in the graph as well."""
    model = small("objective.name=flow_matching", "features=[buildings,transmitter]", "estimate=line_of_sight")
    session = onnxruntime.InferenceSession(onnx_model(model, (32, 32), steps=2))
    buildings, position = scenes()[3]
    batch = {"buildings": buildings[None], "position": np.array([position], np.int32)}
    noise = noise_of_scenes(jax.random.key(0), scene_of(batch), model.composition.shape)(0)
    found = session.run(["gain"], batch | {"buildings": batch["buildings"].astype(np.uint8), "noise": np.asarray(noise)})[0]
    np.testing.assert_allclose(found[0], model.predict(buildings, position, steps=2).gain, atol=1e-4)


def test_the_decoupled_diffusion_draws_noise_at_every_evaluation():
    assert draws_of_noise(small("objective.name=decoupled", "estimate=none"), 1) == 3
    assert draws_of_noise(small("objective.name=flow_matching"), 4) == 1


def test_what_cannot_be_exported_is_told(monkeypatch):
    with pytest.raises(UserError, match="told of maps computed beforehand; an ONNX model takes"):
        onnx_model(small("data.computed=[reflections]"), (32, 32))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="need the package onnx"):
        onnx_model(small(), (32, 32))


def test_a_primitive_without_translation_is_named():
    from radiodiff_jax.inference.onnx_graph import onnx_bytes

    with pytest.raises(UserError, match="computes 'lgamma', which has no translation to ONNX"):
        onnx_bytes(jax.lax.lgamma, {"x": jax.ShapeDtypeStruct((2,), jnp.float32)}, "y")


def run(function, **inputs):
    """A function by onnxruntime."""
    from radiodiff_jax.inference.onnx_graph import onnx_bytes

    shapes = {name: jax.ShapeDtypeStruct(value.shape, value.dtype) for name, value in inputs.items()}
    return onnxruntime.InferenceSession(onnx_bytes(function, shapes, "answer")).run(["answer"], inputs)[0]


class Layers(nn.Module):
    """Every layer that ONNX has itself, in forms that differ."""

    @nn.compact
    def __call__(self, x, modulation):
        x = Convolution(8, 5, 1, 2, name="first")(x)
        skip = Convolution(8, 1, use_bias=False, name="mixing")(x)
        x = GroupNorm(4, 1e-5, swish=True, name="norm")(x, (modulation, 2 * modulation))
        x = Convolution(8, 4, 2, ((1, 1), (0, 2)), standardise=True, name="down")(x)
        x = UpsampleConvolution(8, name="up")(jnp.tanh(x))
        x = jnp.concatenate([x * 2 + skip, 1 - x, skip.mean(1, keepdims=True) + x], -1)
        return GroupNorm(3, 1e-3, name="last")(x).reshape(x.shape[0], -1, 6)


def test_layers_that_onnx_has_itself_answer_what_jax_does():
    rng = np.random.default_rng(5)
    x, modulation = rng.normal(size=(2, 8, 12, 3)).astype(np.float32), rng.normal(size=(2, 8)).astype(np.float32)
    variables = Layers().init(jax.random.key(0), x, modulation)
    variables = jax.tree.map(lambda leaf: leaf + rng.normal(0, 0.3, leaf.shape).astype(np.float32), variables)

    def layers(x, modulation):
        return Layers().apply(variables, x, modulation)

    from radiodiff_jax.inference.onnx_graph import as_onnx_layers, onnx_bytes

    def as_primitives(x, modulation):
        with as_onnx_layers():
            return layers(x, modulation)

    expected = layers(x, modulation)
    for function in (layers, as_primitives):
        np.testing.assert_allclose(run(function, x=x, modulation=modulation), expected, atol=2e-5)
    shapes = {name: jax.ShapeDtypeStruct(value.shape, value.dtype) for name, value in {"x": x, "modulation": modulation}.items()}
    kinds = [node.op_type for node in onnx.load_from_string(onnx_bytes(as_primitives, shapes, "y")).graph.node]
    assert kinds.count("Conv") == 7 and kinds.count("InstanceNormalization") == 2
    assert kinds.count("Transpose") == 4  # in, to the mean and back, out


def test_loops_answer_what_jax_does():
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)

    def backwards(rows):
        return jax.lax.scan(lambda total, row: (total + row, 2 * total - row), jnp.zeros(3), rows, reverse=True)[1]

    def until(rows):
        return jax.lax.while_loop(lambda x: x.sum() < 100, lambda x: 1.5 * x + 1, rows[0])

    for function in (backwards, until):
        np.testing.assert_allclose(run(function, rows=rows), function(rows), rtol=1e-6)


def test_angles_and_products_answer_what_jax_does():
    y, x = np.meshgrid(np.float32([-2, 0, 3]), np.float32([-1, 0, 4]))
    expected = np.arctan2(y, x)
    np.testing.assert_allclose(run(jnp.atan2, y=y, x=x)[y >= 0], expected[y >= 0], atol=1e-6)
    rng = np.random.default_rng(3)
    one, other = rng.normal(size=(2, 3, 4, 5)).astype(np.float32), rng.normal(size=(2, 6, 4, 5)).astype(np.float32)

    def joined(one, other):
        return jnp.einsum("bqhc,bkhc->bhqk", one, other)

    np.testing.assert_allclose(run(joined, one=one, other=other), joined(one, other), atol=1e-5)


def test_spectra_and_running_extremes_answer_what_jax_does():
    rng = np.random.default_rng(4)
    for height, width in [(8, 6), (4, 5)]:
        x = rng.normal(size=(1, height, width, 3)).astype(np.float32)
        shape = (height, width // 2 + 1, 3)
        params = {name: rng.normal(size=shape).astype(np.float32) for name in ("real", "imaginary")}

        def layer(x, params=params):
            return FourierLayer().apply({"params": params}, x)

        np.testing.assert_allclose(run(layer, x=x), layer(x), atol=1e-5)
        for function in (jax.lax.cummax, jax.lax.cummin):
            for reverse in (False, True):
                np.testing.assert_array_equal(run(lambda x, f=function, r=reverse: f(x, 2, r), x=x), function(x, 2, reverse))
