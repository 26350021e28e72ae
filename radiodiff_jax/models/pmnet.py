"""PMNet: a residual network, atrous convolutions of several rates on its smallest map, and a decoder with skips.

Lee, Serbetci, Selvam, Molisch, "PMNet: Robust Pathloss Map Prediction via Supervised Learning", Globecom 2023, arXiv
2211.10527; their code, github.com/abman23/pmnet, models/pmnet_v1.py (output stride 16, as in their archived
code of this paper) and pmnet_v3.py (8; on their maps RMSE 0.0106 in the place of 0.0126, says their README). Side of the
maps for an image of 256 pixels, with stride 8 in brackets:

    stem      7x7 convolution, stride 2; maximum of 2 x 2 pixels, padding 1        64 channels    65
    stage 1    3 bottlenecks (1x1, 3x3, 1x1; 1/4 of the channels inside)           256            65
    stage 2    3 bottlenecks, after a 1x1 convolution                              512            33
    stage 3   27 bottlenecks                                                       512            17 (33, rate 2)
    stage 4    3 bottlenecks of rates 2, 4, 8 (4, 8, 16)                           1024           17 (33)
    pyramid   1x1; 3x3 of rates 6, 12, 18; mean of the map; then 1x1               5 x 256, 512   17 (33)
    decoder   five 3x3 with ReLU, joined with stages 3, 2, 1 (after and before     512, 512, 256  17, 33, 65, 65, 65
              its 1x1) and the stem; doubling ones are transposed (33 = 2 17 - 1)  256, 256
              3x3, ReLU; bilinear to full size; joined with the scene              128            256
              two 3x3 with batch norm and ReLU, then 3x3                           64, 64, 1      256

Convolutions up to the decoder have no bias and are batch-normalised. Parameters at published widths, for two features:
33 340 353 for either stride, as many as the authors' code has (they print no number). Where ours differs: the
pooling window has 2 pixels a side whatever the number of features (in the code as many as there are features, two in
all their trainings). The output is not clipped, as in theirs while training.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from radiodiff_jax import bounds
from radiodiff_jax.errors import UserError
from radiodiff_jax.models.backbone import Answers, Coordinates, Features
from radiodiff_jax.models.initialisers import fan_in_uniform, zeros
from radiodiff_jax.models.layers import Convolution, DType, add_everywhere, rematerialised, space_to_depth
from radiodiff_jax.models.normalisation import BatchNorm
from radiodiff_jax.models.radiounet import (
    TransposedConvolution,
    check_pixels,
    check_regression,
    check_width,
    pool,
    scaled,
)
from radiodiff_jax.settings import STRICT, PrecisionConfig

STRIDES_AND_RATES = {8: ((1, 2, 1, 1), (1, 1, 2, 4)), 16: ((1, 2, 2, 1), (1, 1, 1, 2))}  # of the four stages
STAGE_CHANNELS = (256, 512, 512, 1024)
EPSILON = 1e-5  # of batch norms
OUTPUT_MOMENTUM = 0.1  # of the two batch norms at full size, PyTorch's default


@dataclass(frozen=True)
class PMNetBackbone:
    """Settings of `PMNetNetwork`; `width` multiplies the channels of every layer."""

    __pydantic_config__ = STRICT
    name: Literal["pmnet"] = "pmnet"  # which network: PMNet's
    output_stride: Literal[8, 16] = 16  # image pixels a pixel of the encoder's last map, along one axis
    # bottlenecks of each stage
    blocks: tuple[bounds.Layers, bounds.Layers, bounds.Layers, bounds.Layers] = (3, 3, 27, 3)
    rates: tuple[bounds.Rate, ...] = (1, 2, 4)  # atrous rates of the last stage's bottlenecks, times that of the stage
    pyramid_rates: tuple[bounds.Rate, ...] = (6, 12, 18)  # atrous rates of the pyramid
    # weight of a new batch in the running mean and variance: thousands of updates to forget
    momentum: bounds.Momentum = 0.001
    width: bounds.Width = 1.0  # factor of the channels of every layer

    def build(self, answers: Answers, precision: PrecisionConfig) -> "PMNetNetwork":
        """The network."""
        self.check(answers)
        check_pixels(self.name, answers)
        return PMNetNetwork(self, answers, precision)

    def multiple(self, factor: int) -> int:
        """Both sides of an image must be multiples of this: strides must leave no rest, and patches must fit."""
        return math.lcm(self.output_stride, factor)

    def check(self, answers: Answers) -> None:
        """Raise UserError for settings of no network, and for any objective but regression."""
        check_width(self.name, self.width)
        if min(self.blocks) < 1 or len(self.rates) != self.blocks[3]:
            raise UserError(
                f"backbone.rates of pmnet has {len(self.rates)} rates for backbone.blocks {list(self.blocks)}; "
                "give each stage a block at least, and one rate for each block of the last stage"
            )
        if min(*self.rates, *self.pyramid_rates, 1) < 1:
            raise UserError("backbone.rates and backbone.pyramid_rates of pmnet: a rate must be at least 1")
        if not 0 < self.momentum <= 1:
            raise UserError(f"backbone.momentum of pmnet is {self.momentum}: it is a weight, above 0 and at most 1")
        check_regression(self.name, answers)


class AtrousConvolution(Convolution):
    """Convolution whose kernel sees every `rate`-th pixel; with the default padding the map keeps its size."""

    rate: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch rows columns features"]:
        kernel, bias = self.parameters(x.shape[-1])
        around, numbers = self.kernel_size // 2 * self.rate, ("NHWC", "HWIO", "NHWC")
        y = lax.conv_general_dilated(
            x.astype(self.dtype), kernel, (self.stride, self.stride), ((around, around),) * 2,
            rhs_dilation=(self.rate, self.rate), dimension_numbers=numbers,
        )  # fmt: skip
        return y if bias is None else add_everywhere(y, bias)


class NormalisedConvolution(nn.Module):
    """Convolution without bias, batch norm, and a ReLU where `active`."""

    features: int
    kernel_size: int
    momentum: float
    stride: int = 1
    rate: int = 1
    active: bool = True
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"], train: bool) -> Float[Array, "batch rows columns features"]:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype, "use_bias": False}
        if self.rate == 1:
            h = Convolution(self.features, self.kernel_size, self.stride, **types, name="convolution")(x)
        else:
            h = AtrousConvolution(self.features, self.kernel_size, self.stride, rate=self.rate, **types, name="convolution")(x)
        h = BatchNorm(self.momentum, EPSILON, self.dtype, self.param_dtype, name="norm")(h, train)
        return nn.relu(h) if self.active else h


class Bottleneck(nn.Module):
    """ReLU(shortcut + 1x1, 3x3, 1x1); the first 1x1 has the stride and a quarter of the channels."""

    features: int
    momentum: float
    stride: int = 1
    rate: int = 1
    project: bool = False
    """Whether the shortcut is a 1x1 convolution, and not the input as it is."""
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"], train: bool) -> Float[Array, "batch rows columns features"]:
        more = {"momentum": self.momentum, "dtype": self.dtype, "param_dtype": self.param_dtype}
        inside = max(1, self.features // 4)
        h = NormalisedConvolution(inside, 1, stride=self.stride, **more, name="reduce")(x, train)
        h = NormalisedConvolution(inside, 3, rate=self.rate, **more, name="middle")(h, train)
        h = NormalisedConvolution(self.features, 1, active=False, **more, name="increase")(h, train)
        if self.project:
            x = NormalisedConvolution(self.features, 1, stride=self.stride, active=False, **more, name="shortcut")(x, train)
        return nn.relu(x + h)


class PMNetNetwork(nn.Module):
    """The backbone `pmnet` (see `backbone.Network`); running means and variances in the collection "batch_stats"."""

    config: PMNetBackbone
    answers: Answers
    precision: PrecisionConfig = PrecisionConfig()

    def setup(self):
        config = self.config
        types = {"dtype": jnp.dtype(self.precision.compute), "param_dtype": jnp.dtype(self.precision.parameters)}
        more = types | {"momentum": config.momentum}
        bottleneck = rematerialised(Bottleneck, self.precision.remat, 2)
        c64, c128, c256, c512 = (scaled(config.width, channels) for channels in (64, 128, 256, 512))
        self.stem = NormalisedConvolution(c64, 7, stride=2, **more)
        stages = []
        for stage, (channels, count) in enumerate(zip(STAGE_CHANNELS, config.blocks, strict=True)):
            width = scaled(config.width, channels)
            stride, rate = (values[stage] for values in STRIDES_AND_RATES[config.output_stride])
            rates = [rate * factor for factor in (config.rates if stage == 3 else (1,) * count)]
            first = bottleneck(width, stride=stride, rate=rates[0], project=True, **more)
            stages.append([first, *(bottleneck(width, rate=rate, **more) for rate in rates[1:])])
        self.stage_1, self.stage_2, self.stage_3, self.stage_4 = stages
        self.after_stage_1 = NormalisedConvolution(c256, 1, **more)
        self.pyramid = [
            NormalisedConvolution(c256, 1, **more),
            *(NormalisedConvolution(c256, 3, rate=rate, **more) for rate in config.pyramid_rates),
        ]
        self.pyramid_mean = NormalisedConvolution(c256, 1, **more)
        self.after_pyramid = NormalisedConvolution(c512, 1, **more)
        doubled = TransposedConvolution if config.output_stride == 16 else Convolution
        self.decoder = [
            Convolution(c512, **types),
            doubled(c512, padding=1, **types),
            TransposedConvolution(c256, padding=1, **types),
            Convolution(c256, **types),
            Convolution(c256, **types),
        ]
        self.last_coarse = Convolution(c128, **types)
        self.full_size = [Convolution(c64, **types) for _ in range(2)]
        self.full_size_norm = [BatchNorm(OUTPUT_MOMENTUM, EPSILON, **types) for _ in range(2)]
        zero = {"kernel_init": zeros, "bias_init": zeros}
        self.output = Convolution(1, **types, **(zero if self.answers.start_at_zero else {"kernel_init": fan_in_uniform}))

    def encode_condition(self, features: Features, train: bool = False) -> Features:
        """The features as they are."""
        return features

    def encode(self, scene: Array, train: bool) -> tuple[Array, list[Array]]:
        """(the coarsest map, what the decoder's five layers are joined with, in their order)."""
        h = self.stem(scene, train)
        maps = [pool(jnp.pad(h, ((0, 0), (1, 1), (1, 1), (0, 0))))]  # zeros around do not matter after a ReLU
        for number, stage in enumerate((self.stage_1, self.stage_2, self.stage_3, self.stage_4)):
            h = maps[-1]
            for block in stage:
                h = block(h, train)
            maps.append(h)
            if number == 0:
                maps.append(self.after_stage_1(h, train))
        h = maps.pop()
        branches = [branch(h, train) for branch in self.pyramid]
        mean = self.pyramid_mean(h.astype(jnp.float32).mean((1, 2), keepdims=True), train)
        h = jnp.concatenate([*branches, jnp.broadcast_to(mean, branches[0].shape)], -1)
        return self.after_pyramid(h, train), maps[::-1]

    def decode(self, h: Array, skips: list[Array], scene: Array, train: bool) -> Array:
        """[batch, height, width, 1] at the size of the scene."""
        for layer, skip in zip(self.decoder, skips, strict=True):
            h = jnp.concatenate([nn.relu(layer(h)), skip], -1)
        h = nn.relu(self.last_coarse(h)).astype(jnp.float32)
        h = jax.image.resize(h, (*scene.shape[:3], h.shape[-1]), "linear")  # as PyTorch's, corners not aligned
        h = jnp.concatenate([h.astype(scene.dtype), scene], -1)
        for layer, norm in zip(self.full_size, self.full_size_norm, strict=True):
            h = nn.relu(norm(layer(h), train))
        return self.output(h)

    def denoise(
        self, x: None, t: None, condition: Features, train: bool = False, wanted: Sequence[str] | None = None
    ) -> dict[str, Coordinates]:
        """See `backbone.Network.denoise`."""
        scene = condition.astype(jnp.dtype(self.precision.compute))
        h = self.decode(*self.encode(scene, train), scene, train)
        return {"x0": space_to_depth(h.astype(jnp.float32), self.answers.factor)}

    def __call__(self, x: None, t: None, features: Features, train: bool = False) -> dict[str, Coordinates]:
        """The map."""
        return self.denoise(x, t, self.encode_condition(features, train), train)
