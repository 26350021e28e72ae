"""RadioUNet: two U-Nets, the second on the scene and on the first one's map.

Levie, Yapar, Kutyniok, Caire, "RadioUNet: Fast Radio Map Estimation with Convolutional Neural Networks", IEEE
Transactions on Wireless Communications 2021, arXiv 1911.09002; their code, github.com/RonLevie/RadioUNet, class
RadioWNet. Layers of either U-Net, and the map's size after each, in parts of the image:

    encoder  3x3  5x5   5x5   5x5   5x5   3x3   5x5   5x5   5x5     convolution, ReLU, maximum of 2 x 2 pixels or not
              1   1/2   1/4   1/4   1/8   1/8   1/16  1/32  1/64
    decoder  4x4  4x4   4x4   3x3   6x6   5x5   6x6   6x6   5x5     convolution, transposed where the size doubles, ReLU
             1/32 1/16  1/8   1/8   1/4   1/4   1/2    1     1
    output   5x5

Each layer of the decoder but the last is joined with the encoder's output of its size, and both at the end with the
scene itself. Parameters at published widths: 13 274 031 for two features, 13 275 315 for three and 13 282 747 for four,
as many as the authors' notebooks print. Where ours differs:

- The paper trains the first U-Net, freezes it and trains the second. Here both learn at once and no gradient flows from
  the second into the first, so that each has the gradients it has there at the same weights; the loss is the sum over
  both answers. Until the first has settled, the second meets a first that still changes.
- No ReLU after the output: what is answered are coordinates, or a correction of an estimate, of either sign.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from radiodiff_jax import bounds
from radiodiff_jax.errors import UserError
from radiodiff_jax.models.backbone import Answers, Coordinates, Features
from radiodiff_jax.models.convolution import convolve
from radiodiff_jax.models.initialisers import fan_in_uniform, uniform, zeros
from radiodiff_jax.models.layers import (
    Convolution,
    DType,
    add_everywhere,
    depth_to_space,
    rematerialised,
    space_to_depth,
)
from radiodiff_jax.settings import STRICT, PrecisionConfig

ENCODER = ((3, False), (5, True), (5, True), (5, False), (5, True), (3, False), (5, True), (5, True), (5, True))
"""Kernel size of each layer, and whether it halves the map."""
DECODER = ((4, True), (4, True), (4, True), (3, False), (6, True), (5, False), (6, True), (6, True), (5, False))
"""Kernel size of each layer, and whether it doubles the map."""
FIRST = (6, 40, 50, 60, 100, 100, 150, 300, 500), (300, 150, 100, 100, 60, 50, 40, 20, 20)
SECOND = (20, 30, 40, 50, 60, 70, 90, 110, 150), (110, 90, 70, 60, 50, 40, 30, 20, 20)
"""Channels of the encoder and of the decoder."""
INPUT_WIDTH_OF_MANY = 10  # of the first U-Net's first layer, in the place of 6, for more than three features


@dataclass(frozen=True)
class RadioUNetBackbone:
    """Settings of `RadioUNetNetwork`; `width` multiplies the channels of every layer."""

    __pydantic_config__ = STRICT
    name: Literal["radiounet"] = "radiounet"  # which network: RadioUNet's
    width: bounds.Width = 1.0  # factor of the channels of every layer

    def build(self, answers: Answers, precision: PrecisionConfig) -> "RadioUNetNetwork":
        """The network."""
        self.check(answers)
        check_pixels(self.name, answers)
        return RadioUNetNetwork(self, answers, precision)

    def multiple(self, factor: int) -> int:
        """Both sides of an image must be multiples of this: six layers halve the map, and patches must fit."""
        return math.lcm(2 ** sum(halves for _, halves in ENCODER), factor)

    def check(self, answers: Answers) -> None:
        """Raise UserError for widths of nothing, and for any objective but regression."""
        check_width(self.name, self.width)
        check_regression(self.name, answers)


def check_width(name: str, width: float) -> None:
    """Raise UserError unless the factor of all widths is positive."""
    if width <= 0:
        raise UserError(f"backbone.width of {name} is {width}: it multiplies all widths and must be positive; 1 is as published")


def check_regression(name: str, answers: Answers) -> None:
    """Raise UserError unless the map is asked for, from the scene alone."""
    if answers.noisy or answers.heads != ("x0",):
        raise UserError(
            f"backbone {name} answers a map from the scene alone, but the objective asks for {', '.join(answers.heads)}"
            f"{' of a noised map' if answers.noisy else ''}; take objective regression without error_scale, or another backbone"
        )


def check_pixels(name: str, answers: Answers) -> None:
    """Raise UserError unless a cell of the space is a patch of pixels."""
    if answers.channels != answers.factor**2:
        raise UserError(
            f"backbone {name} answers in pixels, but the space has {answers.channels} channels for cells of "
            f"{answers.factor} x {answers.factor} pixels; take space pixel or another backbone"
        )


def scaled(width: float, channels: int) -> int:
    """`width` times as many channels, at least one."""
    return max(1, round(width * channels))


class TransposedConvolution(Convolution):
    """Transposed convolution of stride 2, as PyTorch counts its padding: y[2 i + k - padding] += x[i] W[k].

    The output has 2 (size - 1) - 2 padding + kernel_size pixels a side. Even and odd pixels each see every other row and
    column of the kernel, so these are four plain convolutions of the input, with no zeros between its pixels (measured
    on CPUs, 6x6, 80 to 20 channels: gradients in 0.12 s, where XLA's dilated convolution needs 3 s).
    """

    padding: int = 1

    def parameters(self, channels: int) -> tuple[Array, Array]:
        """(kernel HWIO in `dtype`, bias), drawn as PyTorch does: its fan in counts the features, not the channels."""
        size, features = self.kernel_size, self.features
        start = uniform(1 / math.sqrt(size * size * features))
        kernel = self.param("kernel", start, (size, size, channels, features), self.param_dtype)
        return kernel.astype(self.dtype), self.param("bias", start, (features,), self.param_dtype)

    def taps(self, phase: int) -> tuple[slice, tuple[int, int]]:
        """What the pixels 2 m + phase see: rows of the kernel, backwards, and the padding around the input."""
        first = (phase + self.padding) % 2
        last = self.kernel_size - 1 - (self.kernel_size - 1 - first) % 2
        before, after = (last - phase - self.padding) // 2, (phase + self.padding - first) // 2
        return slice(last, first - 1 if first else None, -2), (before, after)

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch rows columns features"]:
        kernel, bias = self.parameters(x.shape[-1])
        x = x.astype(self.dtype)
        taps = [(rows, columns) for rows in map(self.taps, range(2)) for columns in map(self.taps, range(2))]
        kernels = [kernel[rows, columns] for (rows, _), (columns, _) in taps]
        windows = [(above, beside) for (_, above), (_, beside) in taps]
        if len(set(windows)) == 1:  # as for 6x6: all four see the same pixels, and one convolution makes them
            y = convolve(x, jnp.concatenate(kernels, -1), 1, windows[0])
        else:
            phases = [convolve(x, phase, 1, window) for phase, window in zip(kernels, windows, strict=True)]
            y = jnp.concatenate(phases, -1)
        y = depth_to_space(y, 2)
        height, width = (2 * (side - 1) - 2 * self.padding + self.kernel_size for side in x.shape[1:3])
        return add_everywhere(y[:, :height, :width], bias)


def pool(x: Float[Array, "batch height width channels"]) -> Float[Array, "batch rows columns channels"]:
    """The maximum of each 2 x 2 pixels. Its gradient is shared among equal ones; XLA's pooling, whose first one takes all,
    needs 7 times as long for the way back on CPUs."""
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).max((2, 4))


class UNet(nn.Module):
    """One of the two U-Nets: images at full size -> one map, [batch, height, width, 1]."""

    encoder: Sequence[int]
    decoder: Sequence[int]
    start_at_zero: bool = False
    dtype: DType = jnp.float32
    param_dtype: DType = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channels"]) -> Float[Array, "batch height width 1"]:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = h = x.astype(self.dtype)
        skips = []
        for number, ((size, halves), width) in enumerate(zip(ENCODER, self.encoder, strict=True)):
            h = nn.relu(Convolution(width, size, **types, name=f"down_{number}")(h))
            h = pool(h) if halves else h
            skips.append(h)
        skips.pop()
        for number, ((size, doubles), width) in enumerate(zip(DECODER, self.decoder, strict=True)):
            if doubles:
                layer = TransposedConvolution(width, size, padding=size // 2 - 1, **types, name=f"up_{number}")
            else:
                layer = Convolution(width, size, **types, name=f"up_{number}")
            skip = [skips.pop()] if skips else []
            scene = [] if skips else [x]  # at full size only, that is from the first layer's skip on
            h = jnp.concatenate([nn.relu(layer(h)), *skip, *scene], -1)
        start = {"kernel_init": zeros, "bias_init": zeros} if self.start_at_zero else {"kernel_init": fan_in_uniform}
        return Convolution(1, 5, **types, **start, name="output")(h)


class RadioUNetNetwork(nn.Module):
    """The backbone `radiounet` (see `backbone.Network`)."""

    config: RadioUNetBackbone
    answers: Answers
    precision: PrecisionConfig = PrecisionConfig()

    @nn.compact
    def stages(self, features: Features) -> tuple[Array, Array]:
        """(map of the first U-Net, map of the second), [batch, height, width, 1] each."""
        types = {"dtype": jnp.dtype(self.precision.compute), "param_dtype": jnp.dtype(self.precision.parameters)}
        unet, zero = rematerialised(UNet, self.precision.remat), self.answers.start_at_zero
        encoder, decoder = self.widths(FIRST)
        if features.shape[-1] > 3:
            encoder = (scaled(self.config.width, INPUT_WIDTH_OF_MANY), *encoder[1:])
        first = unet(encoder, decoder, zero, **types, name="first")(features)
        inputs = jnp.concatenate([lax.stop_gradient(first), features.astype(first.dtype)], -1)
        return first, unet(*self.widths(SECOND), zero, **types, name="second")(inputs)

    def widths(self, published: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
        """Channels of an encoder and a decoder."""
        return [tuple(scaled(self.config.width, channels) for channels in side) for side in published]

    def encode_condition(self, features: Features, train: bool = False) -> Features:
        """The features as they are."""
        return features

    def denoise(
        self, x: None, t: None, condition: Features, train: bool = False, wanted: Sequence[str] | None = None
    ) -> dict[str, Coordinates]:
        """See `backbone.Network.denoise`: "x0" of the second U-Net, and "x0_first" for the loss or where all is wanted."""
        first, second = self.stages(condition)
        answers = {"x0": second, "x0_first": first}
        heads = tuple(answers) if train or wanted is None else wanted
        return {head: space_to_depth(answers[head].astype(jnp.float32), self.answers.factor) for head in heads}

    def __call__(self, x: None, t: None, features: Features, train: bool = False) -> dict[str, Coordinates]:
        """Both maps."""
        return self.denoise(x, t, self.encode_condition(features, train), train)
