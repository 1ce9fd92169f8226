"""How an image says by itself, to machines, that no camera and no scanner took it.

PNG and JPEG carry an XMP packet (ISO 16684-1) with `Iptc4xmpExt:DigitalSourceType` (IPTC Photo Metadata Standard) set to
`trainedAlgorithmicMedia` of IPTC's NewsCodes: "created using a model derived from sampled content". Pixels are not touched.
"""

import struct
import zlib

DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"

XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
).encode()
"""The packet, read-only and without padding, as XMP Specification part 3 (2020), 1.1.5, asks for in PNG. Its id is that of all packets."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEYWORD = b"XML:com.adobe.xmp"
HEAD = len(PNG_SIGNATURE) + 25
"""The bytes of a PNG up to the end of its first chunk, IHDR, which is 13 bytes long in every PNG."""


def mark_png(png: bytes) -> bytes:
    """The same PNG with the packet in an iTXt chunk after IHDR; one that is marked already comes back as it is.

    Raises ValueError for what is not a PNG.
    """
    if not png.startswith(PNG_SIGNATURE) or png[12:16] != b"IHDR":
        raise ValueError("not a PNG")
    if is_marked(png):
        return png
    # PNG specification (third edition), 11.3.3.4: keyword, null, not compressed, method 0, no language, no translated keyword.
    body = b"iTXt" + KEYWORD + b"\0\0\0\0\0" + XMP
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:HEAD] + chunk + png[HEAD:]


def is_marked(image: bytes) -> bool:
    """Whether a PNG or JPEG carries the packet that `mark_png` and JPEG's APP1 segment are given."""
    return XMP in image
