"""Single 8-bit grey images and masks: PNG files and bytes in, arrays out, and back.

A mask pixel is set where it is not 0, whatever the other level is; masks are written as 0 and 255.
"""

import io
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_whole

Grey = UInt8[np.ndarray, "height width"]
Mask = Bool[np.ndarray, "height width"]
Size = tuple[int, int]
"""(height, width) in pixels."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
EIGHT_BIT_GREY = b"\x08\x00\x00\x00\x00"  # of the header: bits, colours, and no interlacing
UNFILTERED = b"IDAT\x78\xda"  # zlib from level 7 on, as `encode_unfiltered` writes and Pillow by itself does not


class LoadedImage(NamedTuple):
    """An image file: its grey levels, and its pixel mode in Pillow's words ("L" is 8-bit grey)."""

    grey: Grey
    mode: str


def load_grey(path: Path) -> LoadedImage:
    """Read an image file. Raises UserError if it is missing, damaged or not 8-bit grey.

    1-bit, palette and colour images are taken where every pixel is grey; transparency is ignored.
    """
    try:
        with Image.open(path) as image:
            mode = image.mode
            image.load()
            return LoadedImage(to_grey(image), mode)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; restore it or remove the files that belong to it") from error
    except NotGreyError as error:
        raise UserError(f"{path} {error}; save it as an 8-bit grey PNG") from error
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error and more for damaged files
        raise UserError(f"{path} cannot be read as an image; the file is damaged, so copy or make it again") from error


def read_grey(path: Path) -> Grey:
    """The grey levels of an image file. Raises UserError as `load_grey` does."""
    return load_grey(path).grey


def write_grey(path: Path, grey: Grey) -> None:
    """Write an 8-bit grey PNG, whole or not at all."""
    write_whole(path, lambda temporary: temporary.write_bytes(encode_grey(grey)))


def write_mask(path: Path, mask: Mask) -> None:
    """Write a mask as an 8-bit grey PNG of 0 and 255, whole or not at all."""
    write_grey(path, mask_to_grey(mask))


def mask_to_grey(mask: Mask) -> Grey:
    """255 where a mask is set, else 0."""
    return mask.astype(np.uint8) * np.uint8(255)


def encode_grey(grey: Grey) -> bytes:
    """Grey levels -> an encoded 8-bit grey PNG, the same bytes for the same pixels."""
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, format="PNG")
    return buffer.getvalue()


def encode_unfiltered(grey: Grey) -> bytes:
    """As `encode_grey`, but with rows stored as they are: some 10 % larger, and decoded in less than half the time.

    PNG's row filters, which Pillow has no switch for, must be undone pixel by pixel: 0.35 of 0.65 ms at 256 x 256.
    """
    height, width = grey.shape
    rows = np.zeros((height, 1 + width), np.uint8)  # every row begins with the number of its filter: 0, none
    rows[:, 1:] = grey
    header = struct.pack(">II", width, height) + EIGHT_BIT_GREY
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 7)), (b"IEND", b""))
    parts = (struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks)
    return PNG_SIGNATURE + b"".join(parts)


def decode_grey(png: bytes) -> Grey:
    """The grey levels of an encoded 8-bit grey PNG, read-only and not always contiguous."""
    if png[24:29] == EIGHT_BIT_GREY and png[37:43] == UNFILTERED:
        width, height, length = (int.from_bytes(png[at : at + 4]) for at in (16, 20, 33))
        rows = np.frombuffer(zlib.decompress(png[41 : 41 + length], bufsize=height * (1 + width) + 1), np.uint8)
        if rows.size == height * (1 + width) and not (rows := rows.reshape(height, 1 + width))[:, 0].any():
            return rows[:, 1:]
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        return np.asarray(image)


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
