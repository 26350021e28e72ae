"""Single 8-bit grey images: PNG files and bytes in, uint8 arrays out, and back."""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_whole

Grey = UInt8[np.ndarray, "height width"]
Mask = Bool[np.ndarray, "height width"]


class LoadedImage(NamedTuple):
    """An image file: its grey levels, and how it is stored."""

    grey: Grey
    content: bytes
    """The file as it is."""
    kind: tuple[str, str]
    """Format and pixel mode in Pillow's words; ("PNG", "L") is an 8-bit grey PNG."""

    @property
    def png(self) -> bytes:
        """The image as an encoded 8-bit grey PNG: the file's own bytes where it is one."""
        return self.content if self.kind == ("PNG", "L") else encode_grey(self.grey)


def load_grey(path: Path) -> LoadedImage:
    """Read an image file. Raises UserError if it is missing, damaged or not 8-bit grey.

    1-bit, palette and colour images are taken where every pixel is grey; transparency is ignored.
    """
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            kind = image.format, image.mode
            image.load()
            return LoadedImage(to_grey(image), content, kind)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; restore it or remove the files that belong to it") from error
    except NotGreyError as error:
        raise UserError(f"{path} {error}; save it as an 8-bit grey PNG") from error
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error and more for damaged files
        raise UserError(f"{path} cannot be read as an image; the file is damaged, so copy or make it again") from error


def read_grey(path: Path) -> Grey:
    """The grey levels of an image file. Raises UserError as `load_grey` does."""
    return load_grey(path).grey


def decode_grey(png: bytes) -> Grey:
    """The grey levels of an encoded 8-bit grey PNG."""
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image)


def encode_grey(grey: Grey) -> bytes:
    """Grey levels -> an encoded 8-bit grey PNG, the same bytes for the same pixels."""
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, format="PNG")
    return buffer.getvalue()


def decode_mask(png: bytes) -> Mask:
    """The mask in an encoded 8-bit grey PNG: set where it is not 0."""
    return decode_grey(png) != 0


def encode_mask(mask: Mask) -> bytes:
    """A mask -> an encoded 8-bit grey PNG of 0 and 255."""
    return encode_grey(mask.view(np.uint8) * np.uint8(255))


def write_grey(path: Path, grey: Grey) -> None:
    """Write an 8-bit grey PNG, whole or not at all."""
    write_whole(path, lambda temporary: temporary.write_bytes(encode_grey(grey)))


class NotGreyError(ValueError):
    """The image is no 8-bit grey image."""


def to_grey(image: Image.Image) -> Grey:
    """Grey levels of a loaded Pillow image. Raises NotGreyError if it has colours or more than 8 bits."""
    if image.mode in ("L", "1"):
        return np.array(image.convert("L"))
    if image.mode == "LA":
        return np.array(image.getchannel("L"))
    if image.mode not in ("P", "PA", "RGB", "RGBA"):
        raise NotGreyError(f"has pixels of Pillow mode '{image.mode}', not 8-bit grey")
    colours = np.array(image.convert("RGB"))
    if (colours != colours[..., :1]).any():
        raise NotGreyError("is a colour image")
    return np.ascontiguousarray(colours[..., 0])
