"""The published baselines RadioUNet and PMNet: what their authors' code computes, and the backbone's promises."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.models.backbone import Answers
from radiodiff_jax.models.initialisers import first_values
from radiodiff_jax.models.layers import depth_to_space, space_to_depth
from radiodiff_jax.models.pmnet import PMNetBackbone
from radiodiff_jax.models.radiounet import RadioUNetBackbone, TransposedConvolution, pool
from radiodiff_jax.settings import PrecisionConfig

PIXELS = Answers(("x0",), channels=4, factor=2, noisy=False)
RADIOUNET = RadioUNetBackbone(width=0.05)
PMNET = PMNetBackbone(blocks=(1, 1, 1, 2), rates=(1, 2), pyramid_rates=(2, 3), width=1 / 16)
SIZE = (64, 128)


def network(backbone, precision=None, **answers):
    return backbone.build(Answers(**(vars(PIXELS) | answers)), precision or PrecisionConfig())


def start(module, size=SIZE):
    """(variables, features of two maps)."""
    features = jax.random.uniform(jax.random.key(1), (2, *size, 3))
    return first_values(module, jax.random.key(0), None, None, features), features


def count(tree) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def shapes(backbone, features: int, size=(256, 256)):
    image = jnp.zeros((1, *size, features))
    return jax.eval_shape(network(backbone).init, jax.random.key(0), None, None, image)


@pytest.mark.parametrize(("features", "number"), [(2, 13_274_031), (3, 13_275_315), (4, 13_282_747)])
def test_radiounet_has_as_many_parameters_as_published(features, number):
    """The numbers that torchsummary prints in the authors' three notebooks."""
    variables = shapes(RadioUNetBackbone(), features)
    assert set(variables) == {"params"}
    assert count(variables) == number


@pytest.mark.parametrize("stride", [8, 16])
def test_pmnet_has_as_many_parameters_as_the_code_of_its_authors(stride):
    variables = shapes(PMNetBackbone(output_stride=stride), 2)
    assert count(variables["params"]) == 33_340_353
    assert count(shapes(PMNetBackbone(output_stride=stride), 3)["params"]) == 33_340_353 + 64 * (7 * 7 + 3 * 3)


# Golden vectors: every tensor in PyTorch's order is a sine of its index, weights divided by the root of what they sum
# over, so that the authors' code could be given the same parameters. Stated are numbers that it answered (PyTorch 2.14).


def wave(shape) -> np.ndarray:
    return np.sin(np.arange(math.prod(shape))).reshape(shape).astype(np.float32)


def as_the_authors(path, leaf):
    """Value of one of our variables, drawn in PyTorch's order."""
    names = [part.key for part in path]
    if leaf.ndim == 4:
        rows, columns, channels, features = leaf.shape
        transposed = rows in (4, 6) or names[-2] in ("decoder_1", "decoder_2")
        shape = (channels, features, rows, columns) if transposed else (features, channels, rows, columns)
        values = wave(shape) * np.float32((3 / math.prod(shape[1:])) ** 0.5)
        return values.transpose((2, 3, 0, 1) if transposed else (2, 3, 1, 0))
    if names[-1] == "variance":
        return 1 + wave(leaf.shape) / 2
    return (names[-1] == "scale") + wave(leaf.shape) / 10


def golden_image():
    return jnp.asarray((1 + wave((2, *SIZE, 2))) / 2)


def summary(answer) -> list[float]:
    image = np.asarray(depth_to_space(answer, 2))[..., 0]
    return [image.mean(), image.std(), image[0, 10, 20], image[1, 63, 127]]


def test_radiounet_computes_what_the_code_of_its_authors_does():
    variables = jax.tree_util.tree_map_with_path(as_the_authors, shapes(RadioUNetBackbone(), 2, SIZE))
    for stage in ("first", "second"):
        variables["params"][stage]["output"]["bias"] += 1  # where their last ReLU does nothing
    answers = jax.jit(network(RadioUNetBackbone()).apply)(variables, None, None, golden_image())
    np.testing.assert_allclose(summary(answers["x0_first"]), [1.00224805, 0.10901923, 0.87953925, 0.62519366], rtol=2e-6)
    np.testing.assert_allclose(summary(answers["x0"]), [0.99879229, 0.10146641, 0.88986242, 0.66748601], rtol=2e-6)


@pytest.mark.parametrize(
    ("stride", "expected", "moments"),
    [
        (16, [0.05627612, 0.12828707, 0.04200770, -0.04971949], [0.17917359, 512.404541, 57.6469307]),
        (8, [0.05629275, 0.12831607, 0.06013303, -0.04953163], [0.17911890, 512.414063, 57.6469269]),
    ],
)
def test_pmnet_computes_what_the_code_of_its_authors_does(stride, expected, moments):
    backbone = PMNetBackbone(output_stride=stride, blocks=(1, 1, 1, 2), rates=(1, 2))
    variables = jax.tree_util.tree_map_with_path(as_the_authors, shapes(backbone, 2, SIZE))
    apply = jax.jit(lambda v, image: network(backbone).apply(v, None, None, image, True, mutable="batch_stats"))
    answers, after = apply(variables, golden_image())
    np.testing.assert_allclose(summary(answers["x0"]), expected, atol=2e-5)
    pyramid, full = after["batch_stats"]["after_pyramid"]["norm"], after["batch_stats"]["full_size_norm_0"]
    sums = [pyramid["mean"].sum(), pyramid["variance"].sum(), full["variance"].sum()]
    np.testing.assert_allclose(sums, moments, rtol=2e-5)


@pytest.mark.parametrize(("size", "padding"), [(3, 1), (4, 1), (6, 2)])
def test_transposed_convolution_spreads_each_pixel(size, padding):
    layer = TransposedConvolution(2, size, padding=padding)
    x = jax.random.normal(jax.random.key(0), (1, 4, 5, 3))
    variables = first_values(layer, jax.random.key(1), x)
    kernel, bias = (np.asarray(variables["params"][name], np.float64) for name in ("kernel", "bias"))
    whole = np.zeros((1, 2 * 3 + size, 2 * 4 + size, 2)) + bias
    for row in range(4):
        for column in range(5):
            spread = np.einsum("bc,ijcf->bijf", x[:, row, column], kernel)
            whole[:, 2 * row : 2 * row + size, 2 * column : 2 * column + size] += spread
    cut = whole[:, padding : whole.shape[1] - padding, padding : whole.shape[2] - padding]
    np.testing.assert_allclose(layer.apply(variables, x), cut, atol=1e-5)


def test_pooling_takes_the_maximum_and_shares_its_gradient():
    x = jnp.array([[1.0, 3.0, 2.0, 2.0], [0.0, 3.0, 1.0, 0.0]])[None, :, :, None]
    np.testing.assert_array_equal(pool(x)[0, :, :, 0], [[3, 2]])
    np.testing.assert_array_equal(jax.grad(lambda x: pool(x).sum())(x)[0, :, :, 0], [[0, 0.5, 0.5, 0.5], [0, 0.5, 0, 0]])


def test_radiounet_answers_both_stages_in_training_and_the_second_for_a_sampler():
    module = network(RADIOUNET)
    variables, features = start(module)

    @jax.jit
    def answers(variables, features):
        condition = module.apply(variables, features, method="encode_condition")
        arguments = [(False, None), (True, ("x0",)), (False, ("x0",))]
        return [module.apply(variables, None, None, condition, *a, method="denoise") for a in arguments]

    everything, training, sampling = answers(variables, features)
    assert set(everything) == set(training) == {"x0", "x0_first"}
    assert set(sampling) == {"x0"}
    for answer in everything.values():
        assert (answer.shape, answer.dtype) == ((2, 32, 64, 4), jnp.float32)
    np.testing.assert_array_equal(everything["x0"], sampling["x0"])
    assert jnp.abs(everything["x0"] - everything["x0_first"]).max() > 1e-3


@pytest.mark.parametrize("remat", [False, True])
def test_radiounet_trains_each_stage_on_its_own_answer(remat):
    module = network(RADIOUNET, PrecisionConfig(remat=remat))
    variables, features = start(module)

    @jax.jit
    def gradients(variables):
        def loss(variables, head):
            return jnp.square(module.apply(variables, None, None, features, True)[head] - 1).mean()

        return {head: jax.grad(loss)(variables, head)["params"] for head in ("x0_first", "x0")}

    of = gradients(variables)
    size = {head: {stage: max(float(abs(g).max()) for g in jax.tree.leaves(of[head][stage])) for stage in of[head]} for head in of}
    assert size["x0"]["first"] == 0 < size["x0"]["second"]
    assert size["x0_first"]["second"] == 0 < size["x0_first"]["first"]


@pytest.mark.parametrize("remat", [False, True])
def test_pmnet_moves_its_batch_statistics_in_training_only(remat):
    module = network(PMNET, PrecisionConfig(remat=remat))
    variables, features = start(module)

    @jax.jit
    def run(variables):
        trained, moved = module.apply(variables, None, None, features, True, mutable="batch_stats")
        tested, kept = module.apply(variables, None, None, features, False, mutable="batch_stats")
        return trained["x0"], tested["x0"], moved["batch_stats"], kept["batch_stats"]

    trained, tested, moved, kept = run(variables)
    before = variables["batch_stats"]
    jax.tree.map(np.testing.assert_array_equal, kept, before)
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), moved, before)))
    assert jnp.abs(trained - tested).max() > 1e-4
    stem = 0.999 + 0.001 * 2 * 32 * 64 / (2 * 32 * 64 - 1) * 0  # of a map without variance
    assert float(moved["stem"]["norm"]["variance"].min()) > stem


@pytest.mark.parametrize(
    ("backbone", "multiple"), [(RADIOUNET, 64), (PMNET, 16), (PMNetBackbone(output_stride=8, width=1 / 16), 8)]
)
def test_sizes_are_those_of_rectangles_and_of_odd_patches(backbone, multiple):
    assert [backbone.multiple(factor) for factor in (1, 2, 3)] == [multiple, multiple, 3 * multiple]
    for size, factor in (((multiple, 2 * multiple), 2), ((3 * multiple, 6 * multiple), 3)):
        module = network(backbone, channels=factor**2, factor=factor)
        image = jnp.zeros((2, *size, 3))
        answers = jax.eval_shape(lambda m=module, i=image: m.init_with_output(jax.random.key(0), None, None, i)[0])
        assert answers["x0"].shape == (2, size[0] // factor, size[1] // factor, factor**2)


@pytest.mark.parametrize("backbone", [RADIOUNET, PMNET])
def test_a_network_that_starts_at_zero_answers_zero_and_learns(backbone):
    module = network(backbone, start_at_zero=True)
    variables, features = start(module)

    def loss(params):
        answers, _ = module.apply(variables | {"params": params}, None, None, features, True, mutable="batch_stats")
        return sum(jnp.square(answer - 1).mean() for answer in answers.values())

    value, gradient = jax.jit(jax.value_and_grad(loss))(variables["params"])
    assert float(value) == (2 if backbone is RADIOUNET else 1)
    output = gradient["second"]["output"] if backbone is RADIOUNET else gradient["output"]
    assert jnp.abs(output["kernel"]).max() > 0


@pytest.mark.parametrize("backbone", [RADIOUNET, PMNET])
def test_half_precision_computes_and_answers_float32(backbone):
    module = network(backbone, PrecisionConfig(compute="bfloat16"))
    variables, features = start(module)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    halves = jax.jit(module.apply)(variables, None, None, features)
    full = jax.jit(network(backbone).apply)(variables, None, None, features)
    for head, answer in halves.items():
        assert answer.dtype == jnp.float32
        error = jnp.abs(answer - full[head]).max()
        assert 0 < error < 0.05 * max(1, jnp.abs(full[head]).max())


@pytest.mark.parametrize("backbone", [RADIOUNET, PMNET])
def test_only_regression_in_pixels_is_taken(backbone):
    backbone.check(PIXELS)
    with pytest.raises(UserError, match="a noised map; take objective regression"):
        network(backbone, noisy=True)
    with pytest.raises(UserError, match="asks for x0, noise; take objective regression"):
        network(backbone, heads=("x0", "noise"))
    with pytest.raises(UserError, match="3 channels for cells of 4 x 4 pixels; take space pixel"):
        network(backbone, channels=3, factor=4)


def test_settings_of_no_network_are_refused():
    for backbone, words in [
        (RadioUNetBackbone(width=0), "backbone.width of radiounet is 0"),
        (PMNetBackbone(width=-1), "backbone.width of pmnet is -1"),
        (PMNetBackbone(rates=(1, 2)), "2 rates for backbone.blocks"),
        (PMNetBackbone(blocks=(3, 0, 27, 3)), "give each stage a block"),
        (PMNetBackbone(pyramid_rates=(0,)), "a rate must be at least 1"),
        (PMNetBackbone(momentum=0), "backbone.momentum of pmnet is 0"),
    ]:
        with pytest.raises(UserError, match=words):
            backbone.check(PIXELS)


def test_patches_are_those_of_the_pixel_space():
    """The map of a network whose output is the third feature, as the space would cut it."""
    module = network(RADIOUNET, start_at_zero=True)
    variables, features = start(module)
    kernel = variables["params"]["second"]["output"]["kernel"]
    variables["params"]["second"]["output"]["kernel"] = kernel.at[2, 2, -1].set(1)
    answer = jax.jit(module.apply)(variables, None, None, features)["x0"]
    np.testing.assert_allclose(answer, space_to_depth(features[..., 2:], 2), atol=1e-6)
