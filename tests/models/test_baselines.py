"""The published baselines RadioUNet and PMNet: what their authors' code computes, and the backbone's promises."""

import math
import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.models.backbone import Answers
from radiodiff_jax.models.initialisers import first_values
from radiodiff_jax.models.layers import depth_to_space
from radiodiff_jax.models.pmnet import PMNetBackbone
from radiodiff_jax.models.radiounet import RadioUNetBackbone, TransposedConvolution, pool
from radiodiff_jax.settings import PrecisionConfig

PIXELS = Answers(("x0",), channels=4, factor=2, noisy=False)
RADIOUNET = RadioUNetBackbone(width=0.05)
PMNET = PMNetBackbone(blocks=(1, 1, 1, 2), rates=(1, 2), pyramid_rates=(2, 3), width=1 / 16)
SIZE = (64, 128)
MICRO = pytest.mark.parametrize("backbone", [RADIOUNET, PMNET], ids=["radiounet", "pmnet"])


def network(backbone, precision=None, **answers):
    return backbone.build(Answers(**(vars(PIXELS) | answers)), precision or PrecisionConfig())


@cache
def shapes(backbone, features: int = 3, size=SIZE):
    image = jnp.zeros((1, *size, features))
    return jax.eval_shape(network(backbone).init, jax.random.key(0), None, None, image)


def count(tree) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(("features", "number"), [(2, 13_274_031), (3, 13_275_315), (4, 13_282_747)])
def test_radiounet_has_as_many_parameters_as_published(features, number):
    """The numbers that torchsummary prints in the authors' three notebooks."""
    variables = shapes(RadioUNetBackbone(), features)
    assert set(variables) == {"params"}
    assert count(variables) == number


def test_pmnet_has_as_many_parameters_as_the_code_of_its_authors():
    """Two features; a further one adds 64 channels of 7x7 at the stem and 64 of 3x3 at full size."""
    assert count(shapes(PMNetBackbone(), 2)["params"]) == 33_340_353
    assert count(shapes(PMNetBackbone(output_stride=8), 3)["params"]) == 33_340_353 + 64 * (7 * 7 + 3 * 3)


# Golden vectors: every tensor holds the same drawn numbers, in PyTorch's order of axes and divided by the root of what a
# kernel sums over, so that the authors' code could be given the same. Stated is what it answered (PyTorch 2.14, CPU).


def drawn(shape) -> np.ndarray:
    return np.random.RandomState(0).standard_normal(shape).astype(np.float32)


def as_the_authors(shapes, transposed: str):
    """Values for our variables; `transposed` is a pattern of the transposed convolutions' names."""

    def value(path, leaf):
        *_, owner, name = (part.key for part in path)
        if leaf.ndim < 4:
            return {"variance": 1 + drawn(leaf.shape) ** 2, "scale": 1 + drawn(leaf.shape) / 10}.get(name, drawn(leaf.shape) / 10)
        order = (2, 3, 0, 1) if re.fullmatch(transposed, owner) else (2, 3, 1, 0)  # of PyTorch's axes, for ours
        shape = [leaf.shape[order.index(axis)] for axis in range(4)]
        return drawn(shape).transpose(order) / np.float32(math.prod(shape[1:]) ** 0.5)

    return jax.tree_util.tree_map_with_path(value, shapes)


def summary(answer) -> list[float]:
    image = np.asarray(depth_to_space(answer, 2))[..., 0]
    return [image.mean(), image.std(), image[0, 10, 20], image[1, 63, 127]]


def test_radiounet_computes_what_the_code_of_its_authors_does():
    variables = as_the_authors(shapes(RadioUNetBackbone(), 2), "up_[012467]")
    for stage in ("first", "second"):
        variables["params"][stage]["output"]["bias"] += 8  # all is positive then, and their last ReLU does nothing
    answers = jax.jit(network(RadioUNetBackbone()).apply)(variables, None, None, drawn((2, *SIZE, 2)))
    np.testing.assert_allclose(summary(answers["x0_first"]), [8.0430660, 0.40993595, 8.1285076, 7.8985510], rtol=2e-6)
    np.testing.assert_allclose(summary(answers["x0"]), [7.0247812, 0.81894928, 6.8956599, 7.8828406], rtol=2e-6)


@pytest.mark.parametrize(
    ("stride", "transposed", "expected", "moments"),
    [
        (16, "decoder_[12]", [-0.04335633, 0.60390061, 0.31860757, 1.0727978], [-1.2999157, 1022.39417, 122.797958]),
        (8, "decoder_2", [-0.04338356, 0.60618353, 0.44642878, 1.0587399], [-1.3008288, 1022.39313, 122.799423]),
    ],
)
def test_pmnet_computes_what_the_code_of_its_authors_does(stride, transposed, expected, moments):
    """In training: the map, and the running mean and variances of two layers afterwards."""
    backbone = PMNetBackbone(output_stride=stride, blocks=(1, 1, 1, 2), rates=(1, 2))
    variables = as_the_authors(shapes(backbone, 2), transposed)
    apply = jax.jit(lambda v, image: network(backbone).apply(v, None, None, image, True, mutable="batch_stats"))
    answers, after = apply(variables, drawn((2, *SIZE, 2)))
    np.testing.assert_allclose(summary(answers["x0"]), expected, atol=2e-5)
    pyramid, full = after["batch_stats"]["after_pyramid"]["norm"], after["batch_stats"]["full_size_norm_0"]
    pyramid, full = jax.device_get((pyramid, full))
    sums = [pyramid["mean"].sum(), pyramid["variance"].sum(), full["variance"].sum()]
    np.testing.assert_allclose(sums, moments, rtol=1e-5)


@pytest.mark.parametrize(("size", "padding"), [(3, 1), (4, 1), (6, 2)])
def test_transposed_convolution_spreads_each_pixel(size, padding):
    layer, x = TransposedConvolution(2, size, padding=padding), drawn((1, 4, 5, 3))
    variables = first_values(layer, jax.random.key(1), jax.ShapeDtypeStruct(x.shape, x.dtype))
    kernel, bias = (np.asarray(variables["params"][name], np.float64) for name in ("kernel", "bias"))
    assert np.abs(kernel).max() <= 1 / (size * size * 2) ** 0.5 < 1.2 * np.abs(kernel).max()
    whole = np.zeros((1, 2 * 3 + size, 2 * 4 + size, 2)) + bias
    for row in range(4):
        for column in range(5):
            spread = np.einsum("bc,ijcf->bijf", x[:, row, column], kernel)
            whole[:, 2 * row : 2 * row + size, 2 * column : 2 * column + size] += spread
    cut = whole[:, padding : whole.shape[1] - padding, padding : whole.shape[2] - padding]
    np.testing.assert_allclose(jax.jit(layer.apply)(variables, x), cut, atol=1e-5)


def test_pooling_takes_the_maximum_and_shares_its_gradient():
    x = jnp.array([[1.0, 3.0, 2.0, 2.0], [0.0, 3.0, 1.0, 0.0]])[None, :, :, None]
    np.testing.assert_array_equal(pool(x)[0, :, :, 0], [[3, 2]])
    np.testing.assert_array_equal(jax.grad(lambda x: pool(x).sum())(x)[0, :, :, 0], [[0, 0.5, 0.5, 0.5], [0, 0.5, 0, 0]])


@pytest.mark.parametrize(
    ("train", "wanted", "heads"),
    [(False, None, {"x0", "x0_first"}), (True, ("x0",), {"x0", "x0_first"}), (False, ("x0",), {"x0"})],
)
def test_radiounet_answers_both_stages_in_training_and_the_second_for_a_sampler(train, wanted, heads):
    module, variables = network(RADIOUNET), shapes(RADIOUNET)

    def answer(variables, features):
        condition = module.apply(variables, features, train, method="encode_condition")
        return module.apply(variables, None, None, condition, train, wanted, method="denoise")

    answers = jax.eval_shape(answer, variables, jnp.zeros((2, *SIZE, 3)))
    assert {head: (a.shape, a.dtype) for head, a in answers.items()} == dict.fromkeys(heads, ((2, 32, 64, 4), jnp.float32))


def test_radiounet_trains_each_stage_on_its_own_answer():
    module, features = network(RADIOUNET), np.abs(drawn((1, 64, 64, 3)))
    # Every kernel takes a mean and every bias is 1: all is positive, so that no ReLU stops a gradient.
    params = jax.tree.map(lambda leaf: np.full(leaf.shape, 1 / math.prod(leaf.shape[:-1]), np.float32), shapes(RADIOUNET)["params"])

    @jax.jit
    def gradients(params):
        """Of each answer's loss: for the last layer of its own stage, and for all of the other stage."""

        def of(head, own, other):
            def loss(last, rest):
                merged = {own: params[own] | {"output": last}, other: rest}
                return jnp.square(module.apply({"params": merged}, None, None, features, True)[head]).mean()

            return jax.grad(loss, (0, 1))(params[own]["output"], params[other])

        return of("x0", "second", "first"), of("x0_first", "first", "second")

    for own, other in jax.device_get(gradients(params)):
        assert all((gradient != 0).all() for gradient in jax.tree.leaves(own))
        assert all((gradient == 0).all() for gradient in jax.tree.leaves(other))


def test_pmnet_moves_its_batch_statistics_in_training_only():
    module, features = network(PMNET), drawn((2, 32, 64, 3))
    variables = as_the_authors(shapes(PMNET), "decoder_[12]")

    @jax.jit
    def run(variables):
        trained, moved = module.apply(variables, None, None, features, True, mutable="batch_stats")
        tested, kept = module.apply(variables, None, None, features, False, mutable="batch_stats")
        return trained["x0"], tested["x0"], moved["batch_stats"], kept["batch_stats"]

    trained, tested, moved, kept = jax.device_get(run(variables))
    before = variables["batch_stats"]
    jax.tree.map(np.testing.assert_array_equal, kept, before)
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), moved, before)))
    assert np.abs(trained - tested).max() > 1e-2


@MICRO
def test_rematerialisation_changes_no_variable(backbone):
    module, image = network(backbone, PrecisionConfig(remat=True)), jnp.zeros((1, *SIZE, 3))
    variables = jax.eval_shape(module.init, jax.random.key(0), None, None, image)
    assert variables == shapes(backbone)
    train = jax.make_jaxpr(lambda v: module.apply(v, None, None, image, True, mutable="batch_stats"))(variables)
    blocks = sum(equation.primitive.name in ("checkpoint", "remat2") for equation in train.eqns)
    assert blocks == (2 if backbone is RADIOUNET else 5)


@pytest.mark.parametrize(
    ("backbone", "multiple"), [(RADIOUNET, 64), (PMNET, 16), (PMNetBackbone(output_stride=8, width=1 / 16), 8)]
)
def test_sizes_are_those_of_rectangles_and_of_odd_patches(backbone, multiple):
    assert [backbone.multiple(factor) for factor in (1, 2, 3)] == [multiple, multiple, 3 * multiple]
    module, image = network(backbone, channels=9, factor=3), jnp.zeros((2, 3 * multiple, 6 * multiple, 3))
    answers = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), None, None, image)[0])
    assert answers["x0"].shape == (2, multiple, 2 * multiple, 9)


@MICRO
def test_output_layers_start_at_zero_where_training_starts_at_an_estimate(backbone):
    for zero in (True, False):
        module = network(backbone, start_at_zero=zero)

        def outputs(key, module=module):  # compiles to the first values of these layers, and nothing else
            params = module.init(key, None, None, jnp.zeros((1, *SIZE, 3)))["params"]
            return [stage["output"] for stage in ([params] if backbone is PMNET else params.values())]

        for leaf in jax.tree.leaves(jax.device_get(jax.jit(outputs)(jax.random.key(0)))):
            assert (leaf == 0).all() if zero else (leaf != 0).all()


@MICRO
def test_half_precision_convolves_in_it_and_answers_float32(backbone):
    module = network(backbone, PrecisionConfig(compute="bfloat16"))
    lowered = jax.jit(module.apply).lower(shapes(backbone), None, None, jnp.zeros((1, *SIZE, 3)))
    assert {answer.dtype for answer in lowered.out_info.values()} == {jnp.dtype("float32")}
    products = re.findall(r"stablehlo\.convolution.*->(.*)", lowered.as_text())
    assert len(products) > 20
    assert all("bf16" in result for result in products)


@MICRO
def test_only_regression_in_pixels_is_taken(backbone):
    backbone.check(PIXELS)
    with pytest.raises(UserError, match="a noised map; take objective regression"):
        network(backbone, noisy=True)
    with pytest.raises(UserError, match="asks for x0, noise; take objective regression"):
        network(backbone, heads=("x0", "noise"))
    with pytest.raises(UserError, match="3 channels for cells of 4 x 4 pixels; take space pixel"):
        network(backbone, channels=3, factor=4)


@pytest.mark.parametrize(
    ("backbone", "words"),
    [
        (RadioUNetBackbone(width=0), "backbone.width of radiounet is 0"),
        (PMNetBackbone(width=-1), "backbone.width of pmnet is -1"),
        (PMNetBackbone(rates=(1, 2)), "2 rates for backbone.blocks"),
        (PMNetBackbone(blocks=(3, 0, 27, 3)), "give each stage a block"),
        (PMNetBackbone(pyramid_rates=(0,)), "a rate must be at least 1"),
        (PMNetBackbone(momentum=0), "backbone.momentum of pmnet is 0"),
    ],
)
def test_settings_of_no_network_are_refused(backbone, words):
    with pytest.raises(UserError, match=words):
        backbone.check(PIXELS)
