"""A synthetic image says so, and shows what it showed."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from schema.marking import DIGITAL_SOURCE_TYPE, XMP, is_marked, mark_png
from schema.record import decode_png, encode_png


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """(type, data) of each chunk, its checksum compared (PNG specification, 5.3)."""
    found, at = [], 8
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        kind, data, checksum = png[at + 4 : at + 8], png[at + 8 : at + 8 + size], png[at + 8 + size : at + 12 + size]
        assert struct.unpack(">I", checksum)[0] == zlib.crc32(kind + data)
        found.append((kind, data))
        at += 12 + size
    return found


@pytest.mark.parametrize("shape", [(5, 7), (28, 28, 1), (9, 4, 3)])
def test_one_chunk_is_added_and_every_other_stays(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    plain, marked = encode_png(image), encode_png(image, synthetic=True)
    assert [kind for kind, _ in chunks(marked)][:2] == [b"IHDR", b"iTXt"]
    assert [chunk for chunk in chunks(marked) if chunk[0] != b"iTXt"] == chunks(plain)
    assert (is_marked(plain), is_marked(marked)) == (False, True)
    np.testing.assert_array_equal(decode_png(marked), decode_png(plain))
    assert mark_png(plain) == mark_png(marked) == marked


def test_other_programs_find_the_packet_under_its_name():
    info = Image.open(io.BytesIO(encode_png(np.zeros((3, 3), np.uint8), synthetic=True))).info
    assert info["XML:com.adobe.xmp"] == XMP.decode()
    assert f'Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE_TYPE}"' in info["XML:com.adobe.xmp"]


def test_what_is_no_png_is_refused():
    with pytest.raises(ValueError, match="not a PNG"):
        mark_png(b"\xff\xd8\xff\xe0 a JPEG")
