"""Image files of every kind as uint8 pixels, and what is said of those that cannot be."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

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


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, kind: int, pixels: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """A PNG by hand (PNG specification, 5 and 11.2), for heads that Pillow does not write, with chunks before and after the pixels."""
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + chunk(b"IDAT", zlib.compress(pixels)) + after + chunk(b"IEND", b"")


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


LINES = b"".join(b"\0" + bytes(line) for line in GREY)
QUARTER_TURN = UPRIGHT_IS_A_QUARTER_TURN_RIGHT.tobytes()
XMP = b'XML:com.adobe.xmp\0<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
CHUNKS = {
    "gamma": chunk(b"gAMA", struct.pack(">I", 100000)),
    "significant bits": chunk(b"sBIT", b"\x04"),
    "background": chunk(b"bKGD", b"\0\x04"),
    "words": chunk(b"tEXt", b"Software\0scanner"),
    "one grey transparent": chunk(b"tRNS", b"\0" + bytes([GREY[0, 0]])),
    "turned by EXIF": chunk(b"eXIf", QUARTER_TURN.removeprefix(b"Exif\0\0")),
    "turned by XMP": chunk(b"tEXt", XMP),
    "turned by a raw profile": chunk(b"tEXt", b"Raw profile type exif\0\nexif\n%8d\n" % len(QUARTER_TURN) + QUARTER_TURN.hex().encode()),
    "unheard of": chunk(b"abCd", b"?"),
}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("extra", CHUNKS.values(), ids=CHUNKS)
def test_a_png_with_anything_beside_its_pixels_is_read_as_pillow_reads_it(tmp_path, extra, place):
    (tmp_path / "one.png").write_bytes(png(17, 12, 8, 0, LINES, **{place: extra}))
    with Image.open(tmp_path / "one.png") as image:
        image.load()
        upright = ImageOps.exif_transpose(image).convert("RGBA")
        expected = Image.alpha_composite(Image.new("RGBA", upright.size, (0, 0, 0, 255)), upright).getchannel("R")
    np.testing.assert_array_equal(decode(tmp_path / "one.png"), np.asarray(expected))


def test_the_wrong_bit_is_found_wherever_it_is_and_said_to_nobody_else(tmp_path, capfd):
    """One flipped bit in each byte of a small PNG: Pillow's verdict, the same pixels where it has none, and nothing on stderr."""
    whole = png(17, 12, 8, 0, LINES)
    for at in range(8, len(whole)):
        (tmp_path / "one.png").write_bytes(flipped(whole, at))
        try:
            with Image.open(tmp_path / "one.png") as image:
                expected = np.asarray(image.convert("L"))
        except (OSError, SyntaxError, ValueError):
            with pytest.raises(Unreadable):
                decode(tmp_path / "one.png")
        else:
            np.testing.assert_array_equal(decode(tmp_path / "one.png"), expected)
    assert capfd.readouterr().err == ""


def test_an_image_a_million_pixels_wide_is_read_all_the_same(tmp_path):
    (tmp_path / "one.png").write_bytes(png(2**20 + 1, 1, 8, 0, b"\0" + bytes(range(256)) * 4096 + b"\7"))
    assert decode(tmp_path / "one.png").shape == (1, 2**20 + 1)


def smooth(height: int, width: int) -> np.ndarray:
    """Waves of 40 pixels and more, uint8 RGB."""
    y, x = np.mgrid[:height, :width]
    return np.stack([127 + 100 * np.sin(x / 7 + k) * np.cos(y / 9) for k in range(3)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize(
    ("at_least", "shape"),
    [
        (None, (600, 800)),
        ((301, 100), (600, 800)),
        ((200, 300), (600, 800)),
        ((150, 150), (300, 400)),
        ((37, 50), (75, 100)),
        ((1, 1), (75, 100)),
    ],
)
def test_a_jpeg_is_read_smaller_but_never_below_twice_what_is_wanted(tmp_path, at_least, shape):
    Image.fromarray(smooth(600, 800)).save(tmp_path / "one.jpg", quality=95)
    Image.fromarray(smooth(600, 800)).save(tmp_path / "one.png")
    assert decode(tmp_path / "one.jpg", at_least).shape == (*shape, 3)
    assert decode(tmp_path / "one.png", at_least).shape == (600, 800, 3)


def test_a_jpeg_on_its_side_is_measured_upright(tmp_path):
    Image.fromarray(smooth(600, 800)).save(tmp_path / "one.jpg", exif=UPRIGHT_IS_A_QUARTER_TURN_RIGHT)
    assert decode(tmp_path / "one.jpg", (400, 300)).shape == (800, 600, 3)
    assert decode(tmp_path / "one.jpg", (400, 150)).shape == (800, 600, 3)
    assert decode(tmp_path / "one.jpg", (200, 150)).shape == (400, 300, 3)


def test_a_jpeg_read_smaller_is_the_mean_of_its_blocks(tmp_path):
    image = smooth(512, 512)
    Image.fromarray(image).save(tmp_path / "one.jpg", quality=95, subsampling=0)
    means = image.reshape(128, 4, 128, 4, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(decode(tmp_path / "one.jpg", (64, 64)) - means).mean() < 2


def test_half_a_jpeg_is_half_however_small_it_is_wanted(tmp_path):
    whole = encoded(smooth(512, 512), "JPEG")
    (tmp_path / "one.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Unreadable, match="truncated image"):
        decode(tmp_path / "one.jpg", (32, 32))
