"""Image files of every kind as uint8 pixels, and what is said of those that cannot be."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tasks.sources._decode import Unreadable, decode

RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 256, (12, 17), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (12, 17, 3), dtype=np.uint8)
WIDE = (
    np.concatenate([[0, 128, 129, 257, 32767, 32768, 65406, 65407, 65535], RNG.integers(0, 65536, 195)]).astype(np.uint16).reshape(12, 17)
)
UPRIGHT_IS_A_QUARTER_TURN_RIGHT = Image.Exif()
UPRIGHT_IS_A_QUARTER_TURN_RIGHT[0x0112] = 6


def encoded(pixels, fmt="PNG", mode=None, **options) -> bytes:
    image = Image.fromarray(pixels)
    stream = io.BytesIO()
    (image.convert(mode) if mode else image).save(stream, fmt, **options)
    return stream.getvalue()


def png(width: int, height: int, depth: int, kind: int, pixels: bytes) -> bytes:
    """A PNG by hand (PNG specification, 5 and 11.2), for heads that Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


LOSSLESS = {
    "grey": (encoded(GREY), GREY),
    "colour": (encoded(COLOUR), COLOUR),
    "16-bit grey PNG": (encoded(WIDE), np.floor(WIDE / 257 + 0.5)),
    "16-bit grey TIFF": (encoded(WIDE, "TIFF"), np.floor(WIDE / 257 + 0.5)),
    "16-bit grey PGM": (encoded(WIDE, "PPM"), np.floor(WIDE / 257 + 0.5)),
    "16-bit colour": (png(2, 1, 16, 2, b"\0" + bytes.fromhex("0000 00ff 0100 7fff 8000 ffff")), [[[0, 0, 1], [127, 128, 255]]]),
    "1-bit": (encoded(GREY, mode="1"), np.asarray(Image.fromarray(GREY).convert("1")) * 255),
    "palette": (encoded(GREY, mode="P"), np.repeat(GREY[:, :, None], 3, axis=2)),
    "grey with alpha": (png(2, 1, 8, 4, bytes([0, 200, 255, 200, 0])), [[200, 0]]),
    "colour with alpha": (png(2, 1, 8, 6, bytes([0, 9, 8, 7, 255, 9, 8, 7, 0])), [[[9, 8, 7], [0, 0, 0]]]),
    "turned": (encoded(COLOUR, exif=UPRIGHT_IS_A_QUARTER_TURN_RIGHT), np.rot90(COLOUR, -1)),
    "turned 16-bit": (encoded(WIDE, exif=UPRIGHT_IS_A_QUARTER_TURN_RIGHT), np.rot90(np.floor(WIDE / 257 + 0.5), -1)),
    "BMP": (encoded(COLOUR, "BMP"), COLOUR),
    "WebP": (encoded(COLOUR, "WEBP", lossless=True), COLOUR),
}


@pytest.mark.parametrize(("data", "pixels"), LOSSLESS.values(), ids=LOSSLESS)
def test_every_kind_of_pixel_becomes_uint8(tmp_path, data, pixels):
    (tmp_path / "one").write_bytes(data)
    image = decode(tmp_path / "one")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, pixels)


def test_a_cmyk_jpeg_becomes_rgb(tmp_path):
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[:, :, 1:3] = 255  # magenta and yellow over one another print red
    Image.fromarray(ink, "CMYK").save(tmp_path / "ink.jpg", quality=100)
    np.testing.assert_allclose(decode(tmp_path / "ink.jpg"), np.broadcast_to([255, 0, 0], (16, 16, 3)), atol=3)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def frames(fmt: str) -> bytes:
    return encoded(COLOUR, fmt, save_all=True, append_images=[Image.fromarray(255 - COLOUR)])


UNREADABLE = {
    "half a PNG": (encoded(COLOUR)[:300], "truncated image"),
    "half a JPEG": (encoded(COLOUR, "JPEG")[:-60], "truncated image"),
    "half a BMP": (encoded(COLOUR, "BMP")[:300], "truncated image"),
    "a PNG with one wrong bit": (flipped(encoded(COLOUR), 200), "corrupt image"),
    "nothing": (b"", "zero-byte file"),
    "text": (b"patient: unknown\n" * 9, "not a readable image"),
    "PostScript": (encoded(COLOUR, "EPS"), "not a readable image"),
    "a huge head": (png(20000, 20000, 8, 0, b""), "decompression bomb"),
    "a large head": (png(10000, 10000, 8, 0, b""), "decompression bomb"),
    "an animation": (frames("GIF"), "several frames"),
    "an animated PNG": (frames("PNG"), "several frames"),
    "two pages": (frames("TIFF"), "several frames"),
    "floating point": (encoded(GREY.astype(np.float32), "TIFF"), "32-bit pixels of unknown range"),
}


@pytest.mark.parametrize(("data", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_bytes_that_cannot_be_used_are_given_a_reason(tmp_path, data, reason):
    (tmp_path / "one.png").write_bytes(data)
    with pytest.raises(Unreadable) as caught:
        decode(tmp_path / "one.png")
    assert str(caught.value) == reason
