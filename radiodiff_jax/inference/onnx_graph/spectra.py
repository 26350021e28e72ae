"""Fourier transforms of images, and products with their spectra, as real matrix products: ONNX has no complex numbers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jax.extend.core import JaxprEqn

from radiodiff_jax.inference.onnx_graph.operations import untranslated
from radiodiff_jax.inference.onnx_graph.writer import Value, Writer

REAL_TO_COMPLEX, COMPLEX_TO_REAL = 2, 3


class Complex(NamedTuple):
    """A complex value as two real ones of the same shape."""

    real: Value
    imaginary: Value


def is_complex(equation: JaxprEqn) -> bool:
    """Whether complex numbers come in or go out."""
    return any(np.issubdtype(atom.aval.dtype, np.complexfloating) for atom in (*equation.invars, *equation.outvars))


def spectral(writer: Writer, equation: JaxprEqn, inputs: list[Any]) -> Any:
    """What an equation with complex numbers answers. Raises UserError for one that no network here has."""
    name = equation.primitive.name
    if name not in SPECTRA:
        raise untranslated(f"'{name}' of complex numbers")
    return SPECTRA[name](writer, equation, *inputs)


def _waves(length: int, frequencies: int) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of 2 pi n k / length, [length, frequencies], float32."""
    angle = 2 * np.pi * (np.outer(np.arange(length), np.arange(frequencies)) % length) / length
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


def _transform(writer: Writer, equation: JaxprEqn, x: Any) -> Any:
    """Of the last two axes, forth from real numbers or back to them."""
    kind, lengths = int(equation.params["fft_type"]), equation.params["fft_lengths"]
    if kind not in (REAL_TO_COMPLEX, COMPLEX_TO_REAL) or len(lengths) != 2:
        raise untranslated("another Fourier transform than that of real images")
    height, width = map(int, lengths)
    cosine, sine = _waves(height, height)
    across, beside = _waves(width, width // 2 + 1)

    def times(left: Value, right: Value) -> Value:
        return writer.add("MatMul", left, right)

    if kind == REAL_TO_COMPLEX:
        real, imaginary = times(x, across), times(x, -beside)
        return Complex(
            writer.add("Add", times(cosine, real), times(sine, imaginary)),
            writer.add("Sub", times(cosine, imaginary), times(sine, real)),
        )
    # Every frequency but the first and, of an even width, the last stands for two that are conjugate.
    twice = np.full(width // 2 + 1, 2 / (height * width), np.float32)
    twice[0] /= 2
    if width % 2 == 0:
        twice[-1] /= 2
    real = writer.add("Sub", times(cosine, x.real), times(sine, x.imaginary))
    imaginary = writer.add("Add", times(cosine, x.imaginary), times(sine, x.real))
    return writer.add("Sub", times(real, (across * twice).T.copy()), times(imaginary, (beside * twice).T.copy()))


def _product(writer: Writer, equation: JaxprEqn, x: Any, y: Any) -> Complex:
    """(a + ib) (c + id), where one of the two is known beforehand."""
    if isinstance(x, np.ndarray):
        x, y = y, x
    if not isinstance(x, Complex) or not isinstance(y, np.ndarray):
        raise untranslated("products of two spectra")
    real, imaginary = (np.asarray(part, np.float32) for part in (y.real, y.imag))
    if not imaginary.any():
        return Complex(*(writer.add("Mul", part, real) for part in x))
    return Complex(
        writer.add("Sub", writer.add("Mul", x.real, real), writer.add("Mul", x.imaginary, imaginary)),
        writer.add("Add", writer.add("Mul", x.real, imaginary), writer.add("Mul", x.imaginary, real)),
    )


def _transpose(writer: Writer, equation: JaxprEqn, x: Complex) -> Complex:
    order = list(map(int, equation.params["permutation"]))
    return Complex(*(writer.add("Transpose", part, perm=order) for part in x))


def _pad(writer: Writer, equation: JaxprEqn, x: Complex, filling: Value) -> Complex:
    if any(any(amounts) for amounts in equation.params["padding_config"]):
        raise untranslated("a spectrum made larger")
    return x


SPECTRA: dict[str, Callable[..., Any]] = {"fft": _transform, "mul": _product, "transpose": _transpose, "pad": _pad}
