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
from radiodiff_jax.limits import SIDE
from radiodiff_jax.reading import read_bytes

Grey = UInt8[np.ndarray, "height width"]
Mask = Bool[np.ndarray, "height width"]
Size = tuple[int, int]
"""(height, width) in pixels."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
EIGHT_BIT_GREY = b"\x08\x00\x00\x00\x00"  # of the header: bits, colours, and no interlacing
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the number that a header has for its colours
UNFILTERED = b"IDAT\x78\xda"  # zlib from level 7 on, as `encode_unfiltered` writes and Pillow by itself does not


class LoadedImage(NamedTuple):
    """An image file: its grey levels, and its pixel mode in Pillow's words ("L" is 8-bit grey)."""

    grey: Grey
    mode: str


def read_png(path: Path) -> LoadedImage:
    """Read a PNG file. Raises UserError if it is missing, no PNG, damaged, too large or not 8-bit grey.

    1-bit, palette and colour images are taken where every pixel is grey; transparency is ignored. What the header says is
    looked at before anything is decoded, and no other format is tried.
    """
    content = read_bytes(path, "save it as an 8-bit grey PNG", "restore it or remove the files that belong to it")
    try:
        with open_png(content) as image:
            mode = image.mode
            return LoadedImage(to_grey(image), mode)
    except TooLargeError as error:
        raise UserError(f"{path} {error}; cut it into smaller maps") from error
    except NotGreyError as error:
        raise UserError(f"{path} {error}; save it as an 8-bit grey PNG") from error
    except Exception as error:  # Pillow raises OSError, SyntaxError, struct.error and more for damaged files
        raise UserError(
            f"{path} cannot be read as an image; the file is damaged, so copy or make it again"
        ) from error


def png_size(path: Path) -> Size:
    """(height, width) by the header of a PNG file alone. Raises UserError as `read_png` does, as far as the header goes."""
    try:
        return check_header(read_bytes(path, "save it as an 8-bit grey PNG", "restore it"))
    except ValueError as error:
        raise UserError(f"{path} cannot be read as an image ({error}); save it as an 8-bit grey PNG") from error


def open_png(png: bytes) -> Image.Image:
    """A PNG, decoded. Raises TooLargeError by its header, and one of many exceptions for bytes that are no whole PNG.

    The rows must be just as many as the header says: Pillow leaves what is over in silence.
    """
    check_header(png)
    image = Image.open(io.BytesIO(with_plain_rows(png)), formats=("PNG",))
    image.load()
    return image


def with_plain_rows(png: bytes) -> bytes:
    """The same PNG with its rows unpacked, which Pillow then need not do; an interlaced one as it is.

    Raises ValueError where they are more or fewer than the header says. A small file of endless rows is not unpacked.
    """
    width, height, bits, colours, _, _, interlaced = struct.unpack(">IIBBBBB", png[16:29])
    if interlaced:
        return png
    size = height * (1 + -(-width * bits * CHANNELS[colours] // 8))
    stream, rows, place, head = zlib.decompressobj(), bytearray(), 8, None
    while place + 8 <= len(png) and not stream.eof and len(rows) <= size:
        end = place + 12 + int.from_bytes(png[place : place + 4])
        if png[place + 4 : place + 8] == b"IDAT":
            head = png[:place] if head is None else head
            rows += stream.decompress(png[place + 8 : end - 4], size + 1 - len(rows))
        place = end
    if len(rows) != size or not stream.eof:
        raise ValueError(f"its data are not the {height} x {width} pixels of its header")
    return head + chunk(b"IDAT", zlib.compress(bytes(rows), 0)) + chunk(b"IEND", b"")


def chunk(name: bytes, data: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def check_header(png: bytes) -> Size:
    """(height, width) by the header of a PNG. Raises TooLargeError, and ValueError for what does not begin as a PNG."""
    if png[:8] != PNG_SIGNATURE or png[12:16] != b"IHDR":
        raise ValueError("it is no PNG")
    width, height = struct.unpack(">II", png[16:24])
    if not 0 < max(height, width) <= SIDE:
        raise TooLargeError(f"is {height} x {width} pixels, but the longest side may have {SIDE}")
    return height, width


def read_grey(path: Path) -> Grey:
    """The grey levels of an image file. Raises UserError as `read_png` does."""
    return read_png(path).grey


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
    return PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 7)) + chunk(b"IEND", b"")


def decode_grey(png: bytes) -> Grey:
    """The grey levels of an encoded 8-bit grey PNG, read-only and not always contiguous.

    Raises one of many exceptions for bytes that are none.
    """
    height, width = check_header(png)
    if png[24:29] == EIGHT_BIT_GREY and png[37:43] == UNFILTERED:
        length, size = int.from_bytes(png[33:37]), height * (1 + width)
        stream = zlib.decompressobj()
        rows = np.frombuffer(stream.decompress(png[41 : 41 + length], size + 1), np.uint8)  # a bomb is not unpacked
        if rows.size == size and stream.eof and not (rows := rows.reshape(height, 1 + width))[:, 0].any():
            return rows[:, 1:]
    return to_grey(open_png(png))


class TooLargeError(ValueError):
    """The image has more pixels along a side than are taken."""


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
