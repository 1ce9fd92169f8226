"""A DICOM file as its header (the elements asked for) and the place of its pixel data, for bytes of any kind and without printing any.

Nothing larger than the file itself is ever allocated, whatever the lengths in it claim.
"""

import io
import logging
import os
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from tasks.sources._decode import Unreadable

MOST_INFLATED = 1 << 28
"""Bytes that a deflated data set may inflate to: 256 MiB, an uncompressed image of the largest size that is read."""

PIXELS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
UNDEFINED = 0xFFFFFFFF
DIRECTORY = "1.2.840.10008.1.3.10"
"""SOP class of a DICOMDIR (PS3.4 Annex B)."""

for _name in ("pydicom", "pylibjpeg", "openjpeg"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)  # their messages quote values of the header


class LeftOut(Unreadable):
    """Unreadable, and no fault: the params ask for it, or nobody would call it an image."""


@dataclass
class DicomFile:
    """`header`: the top-level elements asked for. The value of the pixel data is `length` bytes of `stream` from `start` on;
    `length` is None where the file does not say (encapsulated, PS3.5 A.4), `keyword` where there is none."""

    header: Dataset
    stream: BinaryIO
    syntax: UID
    size: int
    keyword: str | None = None
    vr: str | None = None
    start: int = 0
    length: int | None = None
    cut: bool = False
    """Whether the file ends inside an element."""


@contextmanager
def silent() -> Iterator[None]:
    """pydicom warns with the values that it doubts: none of it reaches stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def open_dicom(path: Path, tags: Iterable[int]) -> Iterator[DicomFile]:
    """The file with the elements of `tags`. Raises Unreadable, LeftOut for what is no DICOM or a DICOMDIR."""
    try:
        raw = path.open("rb", buffering=0)
    except FileNotFoundError:
        raise Unreadable("missing file") from None
    except OSError:
        raise Unreadable("file that cannot be opened") from None
    with raw, _Bytes(raw) as stream:
        with silent():
            found = _read(stream, [*tags])
        yield found


class _Deflated(Exception):
    """pydicom asks for all the rest of a file at once for one reason alone: to inflate it, however large it becomes."""


class _Bytes(io.BufferedReader):
    def __init__(self, raw: io.FileIO) -> None:
        super().__init__(raw, buffer_size=1 << 16)
        self.size = os.fstat(raw.fileno()).st_size
        self.cut = False

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            raise _Deflated
        wanted = size
        if size > 1 << 16:  # the standard library allocates what is asked for before it looks at the file
            size = min(size, max(0, self.size - self.tell()))
        data = super().read(size)
        # An element's head is asked for as eight bytes: none of them is the end, and anything less than asked for is a cut.
        if len(data) < wanted and (data or wanted > 8):
            self.cut = True
        return data


def _read(stream: _Bytes, tags: list[int]) -> DicomFile:
    _refuse_others(stream)
    try:
        header = read_partial(stream, stop_when=_at_pixels, force=True, specific_tags=tags)
    except _Deflated:
        return _read_deflated(stream, tags)
    if header.file_meta.get("MediaStorageSOPClassUID") == DIRECTORY:
        raise LeftOut("DICOMDIR")
    implicit, little = header.original_encoding
    guessed = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    syntax = UID(header.file_meta.get("TransferSyntaxUID") or guessed)
    cut = stream.cut or stream.tell() > stream.size
    if cut and not syntax.is_transfer_syntax:
        raise Unreadable("truncated image")
    if syntax.is_private or not syntax.is_transfer_syntax:
        raise Unreadable("unsupported transfer syntax: a private one")
    return _locate(DicomFile(header, stream, syntax, stream.size, cut=cut))


def _refuse_others(stream: _Bytes) -> None:
    """Part 10 files have `DICM` at byte 128; a bare data set starts with an element of group 0002 or 0008, in either byte order."""
    if not stream.size:
        raise Unreadable("zero-byte file")
    head = stream.read(132)
    stream.seek(0)
    stream.cut = False
    bare = head[:2] in (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08") and len(head) > 8
    if head[128:] != b"DICM" and not bare:
        raise LeftOut("not DICOM")


def _at_pixels(tag: int, vr: str | None, length: int) -> bool:
    return tag in PIXELS


def _read_deflated(stream: _Bytes, tags: list[int]) -> DicomFile:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    deflated = stream.read(stream.size - stream.tell())
    inflated = inflater.decompress(deflated, MOST_INFLATED)
    if inflater.unconsumed_tail:
        raise Unreadable("decompression bomb")
    bytes_ = io.BytesIO(inflated)
    header = read_dataset(bytes_, False, True, stop_when=_at_pixels, specific_tags=tags)
    found = DicomFile(header, bytes_, ExplicitVRLittleEndian, len(inflated), cut=not inflater.eof)
    return _locate(found)


def _locate(found: DicomFile) -> DicomFile:
    """Reads the head of the pixel data's element, where the reader stopped (PS3.5 7.1)."""
    head = found.stream.read(8)
    if len(head) < 8:
        return found
    order = "little" if found.syntax.is_little_endian else "big"
    group, element = int.from_bytes(head[:2], order), int.from_bytes(head[2:4], order)
    found.keyword = PIXELS.get(group << 16 | element)
    explicit = head[4:6] in (b"OB", b"OW", b"OF", b"OD", b"UN")
    found.vr = head[4:6].decode() if explicit else None
    length = int.from_bytes(found.stream.read(4) if explicit else head[4:], order)
    found.start = found.stream.tell()
    found.length = None if length == UNDEFINED else length
    return found
