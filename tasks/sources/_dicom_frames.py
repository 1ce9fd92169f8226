"""Frames of a DICOM file as the modality stored them: decoded, sign and colour space set right, one at a time."""

from collections.abc import Iterable, Iterator
from math import ceil

import numpy as np
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import JPEG2000TransferSyntaxes, JPEGExtended12Bit, RLELossless

from tasks.sources._decode import Unreadable
from tasks.sources._dicom_file import DicomFile, silent

MOST_PIXELS = 89_478_485
"""Pixels of one frame: where Pillow warns of a decompression bomb, and where the sources of image files stop."""

MOST_PIXELS_OF_A_FILE = 48 * MOST_PIXELS

NEEDED = ("Rows", "Columns", "BitsAllocated", "PhotometricInterpretation")


def count_frames(found: DicomFile) -> int:
    """How many frames the header claims. Raises Unreadable where there is no image, or one too large to be true."""
    header = found.header
    if found.keyword is None:
        raise Unreadable("truncated image")
    if any(header.get(keyword) in (None, "") for keyword in NEEDED):
        raise Unreadable("header without the size of the image")
    frames = int(header.get("NumberOfFrames") or 1)
    rows, columns = int(header.Rows), int(header.Columns)
    if rows < 1 or columns < 1 or frames < 1:
        raise Unreadable("header without the size of the image")
    if rows * columns > MOST_PIXELS or rows * columns * frames > MOST_PIXELS_OF_A_FILE:
        raise Unreadable("decompression bomb")
    return frames


def decode_frames(found: DicomFile, frames: int, wanted: Iterable[int]) -> Iterator[tuple[int, np.ndarray, str]]:
    """(index from 0, pixels H x W or H x W x 3, photometric interpretation) of each wanted frame, in order; YBR has become RGB.

    Raises Unreadable where one cannot be had, and with it all that follow.
    """
    try:
        decoder = get_decoder(found.syntax)
    except NotImplementedError:
        raise Unreadable(f"unsupported transfer syntax: {found.syntax.name}") from None
    if not decoder.is_available:
        raise Unreadable(f"no decoder for {found.syntax.name}: install {', '.join(decoder.missing_dependencies)}")
    with silent():
        options = as_pixel_options(found.header, number_of_frames=frames, pixel_keyword=found.keyword, transfer_syntax_uid=found.syntax)
    options.setdefault("samples_per_pixel", 1)
    if found.keyword == "PixelData":
        options.setdefault("bits_stored", options["bits_allocated"])
        options.setdefault("pixel_representation", 0)
    if options["samples_per_pixel"] > 1:
        options.setdefault("planar_configuration", 0)
    if found.vr:
        options["pixel_vr"] = found.vr
    read = _encapsulated if found.syntax.is_encapsulated else _native
    yield from read(found, decoder, options, sorted(wanted))


def _native(found: DicomFile, decoder, options: dict, wanted: list[int]) -> Iterator[tuple[int, np.ndarray, str]]:
    bits = options["rows"] * options["columns"] * options["samples_per_pixel"] * options["bits_allocated"]
    if options["photometric_interpretation"] == "YBR_FULL_422":
        bits = bits * 2 // 3
    held = found.size - found.start
    held = held if found.length is None else min(held, found.length)
    for index in wanted:
        if ceil(bits * (index + 1) / 8) > held:
            raise Unreadable("truncated image")
        found.stream.seek(found.start)
        with silent():
            pixels, described = decoder.as_array(found.stream, index=index, view_only=True, **options)
        yield index, pixels, described["photometric_interpretation"]


def _encapsulated(found: DicomFile, decoder, options: dict, wanted: list[int]) -> Iterator[tuple[int, np.ndarray, str]]:
    found.stream.seek(found.start)
    offsets = options.pop("extended_offsets", None)
    frames = generate_frames(found.stream, number_of_frames=options["number_of_frames"], extended_offsets=offsets)
    options = {**options, "number_of_frames": 1}
    waiting = set(wanted)
    for index in range(max(waiting, default=-1) + 1):
        with silent():
            frame = next(frames, None)
        if frame is None:
            raise Unreadable("truncated image")
        if index in waiting:
            _check_frame(frame, found, options)
            with silent():
                pixels, described = decoder.as_array(encapsulate([frame]), index=0, **options)
            yield index, pixels, described["photometric_interpretation"]


def _check_frame(frame: bytes, found: DicomFile, options: dict) -> None:
    """A decoder believes the size that stands in the compressed frame, not the header's."""
    expected = options["rows"] * options["columns"]
    if found.syntax == RLELossless:
        # A byte of RLE holds at most one pixel's byte and a 128th more (PS3.5 G.3), so more than that is no honest frame.
        if len(frame) > 2 * expected * options["samples_per_pixel"] * options["bits_allocated"] // 8 + 1024:
            raise Unreadable("decompression bomb")
        return
    claimed, bits = (_jpeg2000_size(frame), None) if found.syntax in JPEG2000TransferSyntaxes else _jpeg_size(frame)
    if claimed is not None and claimed > max(4 * expected, 1 << 20):
        raise Unreadable("decompression bomb")
    if bits == 12 and found.syntax == JPEGExtended12Bit:
        raise Unreadable("no decoder for JPEG Extended of 12 bits: pylibjpeg-libjpeg (GPL) has one")


def _jpeg2000_size(frame: bytes) -> int | None:
    """Pixels of a JPEG 2000 codestream by its SIZ marker (ISO/IEC 15444-1 A.5.1), None without one."""
    start = frame[:4096].find(b"\xff\x4f\xff\x51")
    if start < 0 or len(frame) < start + 24:
        return None
    right, bottom, left, top = (int.from_bytes(frame[start + at : start + at + 4], "big") for at in (8, 12, 16, 20))
    return max(0, right - left) * max(0, bottom - top)


def _jpeg_size(frame: bytes) -> tuple[int | None, int | None]:
    """Pixels and bits of a JPEG or JPEG-LS stream by its start of frame (ISO/IEC 10918-1 B.2.2, 14495-1 C.2.2), None without one."""
    at = 2
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            return int.from_bytes(frame[at + 5 : at + 7], "big") * int.from_bytes(frame[at + 7 : at + 9], "big"), frame[at + 4]
        at += 1 if marker == 0xFF else 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return None, None
