"""Pictures are PNG files, looked at before they are decoded."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from radiodiff_jax.errors import UserError
from radiodiff_jax.images import (
    PNG_SIGNATURE,
    chunk,
    decode_grey,
    encode_unfiltered,
    open_png,
    png_size,
    read_png,
    write_grey,
)

ROWS = bytes(32 * 33)


def png(width=32, height=32, rows=ROWS, bits=8, colours=0, interlaced=0):
    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, interlaced)
    return PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def picture(kind, mode="L"):
    buffer = io.BytesIO()
    Image.new(mode, (32, 32)).save(buffer, kind)
    return buffer.getvalue()


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n"
LARGE = {"large": png(20_000, 20_000, b"0"), "wide": png(2**31 - 1, 1, b"0"), "tall": png(1, 8193, b"0")}
DAMAGED = {
    "more rows than its header says": png(rows=bytes(10**7)), "narrower than its rows": png(16, 32),
    "lower than its rows": png(32, 8), "fewer rows": png(rows=b"0"), "a large header": png(8192, 8192, b"0"),
    "no pixels": png(0, 32, b""), "odd bits": png(bits=3), "odd colours": png(colours=5), "cut": png()[:50],
    "no data": png()[:33], "bad header": png().replace(b"\x08\0", b"\x08\x01", 1), "eps": EPS, "jpeg": picture("JPEG"),
    "gif": picture("GIF"), "tiff": picture("TIFF"), "bmp": picture("BMP"), "nothing": b"", "text": b"hello",
    "signature": PNG_SIGNATURE,
}  # fmt: skip


@pytest.mark.parametrize("name", [*LARGE, *DAMAGED])
def test_a_picture_that_is_none_is_one_sentence_at_once(name, tmp_path):
    path = tmp_path / "0.png"
    path.write_bytes((LARGE | DAMAGED)[name])
    start = time.monotonic()
    with pytest.raises(UserError, match="0.png .*8192; cut it" if name in LARGE else "0.png cannot be read as an image") as caught:
        read_png(path)
    assert time.monotonic() - start < 5 and "\n" not in str(caught.value)
    with pytest.raises(Exception):  # noqa: B017 (any, for whoever reads packed records catches them all)
        decode_grey(path.read_bytes())


def test_no_plug_in_is_asked_for_another_format(tmp_path, monkeypatch):
    (tmp_path / "0.png").write_bytes(EPS)
    monkeypatch.setattr("PIL.Image.preinit", lambda: pytest.fail("Pillow looks for plug-ins"))
    with pytest.raises(UserError, match="cannot be read as an image"):
        read_png(tmp_path / "0.png")


def test_the_size_is_that_of_the_header(tmp_path):
    write_grey(tmp_path / "0.png", np.zeros((64, 32), np.uint8))
    assert png_size(tmp_path / "0.png") == (64, 32)


def test_rows_in_many_parts_and_in_steps_are_read():
    grey = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in grey))
    parts = b"".join(chunk(b"IDAT", data[place : place + 7]) for place in range(0, len(data), 7))
    whole = png()[:33] + chunk(b"tEXt", b"a\0b") + parts + chunk(b"IEND", b"")
    np.testing.assert_array_equal(np.asarray(open_png(whole)), grey)
    flipped = bytearray(encode_unfiltered(grey))
    flipped[500] ^= 1
    with pytest.raises(zlib.error):
        decode_grey(bytes(flipped))
