"""Digests by the million: the same as the plain ways give, in less memory."""

import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from schema.digest import Digests, sha256_pixels, sha256_set
from schema.record import decode_png, encode_png, has_pixels


def digest(k: int) -> str:
    return hashlib.sha256(str(k).encode()).hexdigest()


@pytest.mark.parametrize("n", [0, 1, 4096, 4097, 10_000])
def test_the_digest_of_a_multiset_is_that_of_its_sorted_lines(n):
    many = [digest(k // 2) for k in range(n)]
    assert Digests(many).sha256() == Digests(many[::-1]).sha256() == sha256_set(many)
    assert len(Digests(many)) == n


def test_zeros_at_either_end_of_a_digest_count():
    odd = ["00" * 32, "00" * 31 + "01", "01" + "00" * 31, "0100" + "00" * 29 + "01", "ff" * 32, "7f" + "00" * 31]
    assert Digests(odd).sha256() == sha256_set(odd)
    assert not Digests(odd[:2]).contains(Digests(odd[2:3]))


def test_contains_counts():
    once, twice = Digests([digest(1), digest(2)]), Digests([digest(2), digest(1), digest(2)])
    assert twice.contains(once)
    assert not once.contains(twice)
    assert once.contains(Digests())
    assert not Digests().contains(once)
    twice.add(bytes.fromhex(digest(3)))
    assert twice.contains(Digests([digest(3)]))


@pytest.mark.parametrize("shape", [(5, 7), (28, 28, 1), (9, 4, 3), (1, 1)])
def test_pixels_are_told_by_their_digest(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    png = encode_png(image, synthetic=True)
    assert has_pixels(png, sha256_pixels(image))
    assert not has_pixels(png, sha256_pixels(255 - image))


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "1"])
def test_a_png_of_another_kind_shows_what_pillow_says(mode):
    stream = io.BytesIO()
    grey = np.random.default_rng(0).integers(0, 2, (6, 8), dtype=np.uint8) * 255
    Image.fromarray(grey).convert(mode).save(stream, format="PNG")
    shown = decode_png(stream.getvalue()).astype(np.uint8)
    if mode == "1":
        with pytest.raises(ValueError, match="pixels must be uint8"):
            has_pixels(stream.getvalue(), sha256_pixels(shown))
    else:
        assert has_pixels(stream.getvalue(), sha256_pixels(shown))
        assert not has_pixels(stream.getvalue(), sha256_pixels(255 - shown))


def test_a_transparent_colour_changes_no_pixel():
    image = np.random.default_rng(0).integers(0, 256, (6, 8), dtype=np.uint8)
    png, body = encode_png(image), b"tRNS" + struct.pack(">H", int(image[0, 0]))
    chunk = struct.pack(">I", 2) + body + struct.pack(">I", zlib.crc32(body))
    assert has_pixels(png[:33] + chunk + png[33:], sha256_pixels(image))
