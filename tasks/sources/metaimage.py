"""MetaImage (.mha, .mhd), sliced: `datasets.<name>.ingest.source: {kind: metaimage, folder: ct, images: {image: "*.mha"}, label: head}`.

The header is text, `key = value` a line, up to ElementDataFile, which says where the voxels are (itk.org/Wiki/MetaIO/Documentation).
It is read here rather than by ITK, as it decides which file is opened and how much is allocated, and since ITK takes seconds to start in
every process. Of its keys those of FIELDS are looked at; all others, which may name a patient, are passed over.
"""

import os
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

import numpy as np

from tasks.sources._decode import Unreadable
from tasks.sources._scans import Scans
from tasks.sources._scans_config import ScansConfig
from tasks.sources._volume import Volume, check_size, fill, place

MAX_HEADER = 2**16

TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
"""MET_LONG has 32 bits in files, whatever the compiler made of it."""

SYNONYMS = {
    "Position": "Offset",
    "Origin": "Offset",
    "Rotation": "TransformMatrix",
    "Orientation": "TransformMatrix",
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
}

FIELDS = frozenset(
    [
        *SYNONYMS.values(),
        *("ObjectType", "NDims", "DimSize", "ElementType", "ElementNumberOfChannels", "ElementSpacing", "ElementSize"),
        *("ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset"),
        *("BinaryData", "CompressedData", "HeaderSize", "ElementDataFile"),
    ]
)

LINE = re.compile(r"([\w| -]*\w)\s*=\s*(.*)", re.ASCII)

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK's space has x to the patient's left and y to the back."""


@dataclass(frozen=True)
class Header:
    """`shape`: I x J x K, K = 1 in 2D. `data`: name of the file of voxels beside the header, None where they follow it at `start`.
    `start` is None where they are the file's last bytes. `affine`: 4 x 4, voxel indices to mm, RAS+."""

    shape: tuple[int, ...]
    dtype: np.dtype
    affine: np.ndarray
    slope: float
    inter: float
    packed: bool
    data: str | None
    start: int | None


class Plugin(Scans):
    kind = "metaimage"
    suffixes = (".mha", ".mhd")

    class Config(ScansConfig):
        kind: Literal["metaimage"]

    def companions(self, path: Path) -> list[Path]:
        """The file of voxels of an .mhd; none where the header is at fault, which reading it will tell."""
        try:
            with path.open("rb") as stream:
                data = _header(stream).data
        except (Unreadable, OSError):
            return []
        return [path.parent / data] if data and (path.parent / data).is_file() else []

    def load(self, path: Path, files: tuple[Path, ...]) -> Volume:
        try:
            with path.open("rb") as stream:
                header = _header(stream)
                if header.data is None:
                    return _voxels(stream, header)
            beside = path.parent / header.data
            if beside not in files:
                raise Unreadable("missing file")
            with beside.open("rb") as stream:
                return _voxels(stream, header)
        except FileNotFoundError:
            raise Unreadable("missing file") from None
        except EOFError:
            raise Unreadable("truncated volume") from None
        except zlib.error:
            raise Unreadable("corrupt volume") from None
        except OSError:
            raise Unreadable("file that cannot be opened") from None


def _header(stream: IO[bytes]) -> Header:
    """The checked header. Raises Unreadable for what is not plain, and for voxels that are not beside it or below."""
    fields, end = _fields(stream.read(MAX_HEADER))
    try:
        return _understood(fields, end)
    except (ValueError, OverflowError):  # a number that is none
        raise Unreadable("broken header") from None


def _fields(raw: bytes) -> tuple[dict[str, str], int]:
    """The header's lines up to ElementDataFile, and where the bytes after it start. Raises Unreadable, also for a key that comes twice."""
    if not raw:
        raise Unreadable("zero-byte file")
    if not raw.lstrip().startswith((b"ObjectType", b"NDims", b"Comment", b"ObjectSubType")):
        raise Unreadable("not a readable MetaImage")
    fields: dict[str, str] = {}
    end = 0
    for line in raw.split(b"\n"):
        end += len(line) + 1
        text = line.decode("latin-1").strip()
        if not text:
            continue
        match = LINE.fullmatch(text)
        if not match:
            raise Unreadable("broken header")
        key = SYNONYMS.get(match[1], match[1])
        if key in FIELDS:
            if key in fields:
                raise Unreadable("broken header")
            fields[key] = match[2].strip()
        if key == "ElementDataFile":
            return fields, end
    raise Unreadable("broken header")


def _understood(fields: dict[str, str], end: int) -> Header:
    count = int(fields.get("NDims", "0"))
    if count not in (2, 3):
        raise Unreadable("neither 2 nor 3 dimensions")
    if fields.get("ObjectType", "Image") != "Image":
        raise Unreadable("not a readable MetaImage")
    if not _flag(fields, "BinaryData", "True"):
        raise Unreadable("voxels written as text")
    if int(fields.get("ElementNumberOfChannels", "1")) != 1:
        raise Unreadable("colour voxels")
    if fields.get("ElementType") not in TYPES:
        raise Unreadable("voxels of an unknown kind")
    shape = tuple(int(word) for word in fields.get("DimSize", "").split())
    if len(shape) != count:
        raise Unreadable("broken header")
    order = ">" if _flag(fields, "BinaryDataByteOrderMSB", "False") else "<"
    data = _beside(fields["ElementDataFile"])
    skipped = int(fields.get("HeaderSize", "0"))
    if skipped < -1 or (skipped and data is None):
        raise Unreadable("broken header")
    return Header(
        shape=(*shape, 1)[:3],
        dtype=np.dtype(order + TYPES[fields["ElementType"]]),
        affine=_affine(fields, count),
        slope=_number(fields, "ElementToIntensityFunctionSlope", 1.0),
        inter=_number(fields, "ElementToIntensityFunctionOffset", 0.0),
        packed=_flag(fields, "CompressedData", "False"),
        data=data,
        start=end if data is None else None if skipped == -1 else skipped,
    )


def _beside(name: str) -> str | None:
    """The file of voxels by its path from the header's folder; None for LOCAL. Raises Unreadable for any that leads out of it."""
    if name.upper() == "LOCAL":
        return None
    if name.upper().startswith("LIST") or "%" in name:
        raise Unreadable("voxels in several files")
    if not name or "\\" in name or "\0" in name or ":" in name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise Unreadable("voxels in a file outside its folder")
    return name


def _flag(fields: dict[str, str], key: str, default: str) -> bool:
    word = fields.get(key, default).lower()
    if word not in ("true", "false", "1", "0"):
        raise Unreadable("broken header")
    return word in ("true", "1")


def _number(fields: dict[str, str], key: str, default: float) -> float:
    value = float(fields.get(key, default))
    if not np.isfinite(value) or (key.endswith("Slope") and value == 0):
        raise Unreadable("broken header")
    return value


def _affine(fields: dict[str, str], count: int) -> np.ndarray:
    """Each row of TransformMatrix is the direction of one axis. In 2D the image is taken for an axial slice, 1 mm thick."""

    def numbers(key: str, default: np.ndarray) -> np.ndarray:
        values = np.array([float(word) for word in fields[key].split()]) if key in fields else default
        return values.reshape(default.shape)

    affine = np.eye(4)
    spacing = numbers("ElementSpacing", numbers("ElementSize", np.ones(count)))
    affine[:count, :count] = numbers("TransformMatrix", np.eye(count)).T * spacing
    affine[:count, 3] = numbers("Offset", np.zeros(count))
    return LPS_TO_RAS @ affine


def _voxels(stream: IO[bytes], header: Header) -> Volume:
    available = os.fstat(stream.fileno()).st_size
    size = int(np.prod(header.shape, dtype=object)) * header.dtype.itemsize
    start = max(0, available - size) if header.start is None else header.start
    check_size(header.shape, size, available - start, header.packed)
    stream.seek(start)
    if not header.packed:
        voxels = fill(stream.readinto, header.shape, header.dtype)
    else:
        readinto = _inflating(stream)
        voxels = fill(readinto, header.shape, header.dtype)
        if readinto(memoryview(bytearray(1))):
            raise Unreadable("corrupt volume")  # it holds more than its header says
    return place(voxels, header.affine, header.slope, header.inter)


def _inflating(stream: IO[bytes]) -> Callable[[memoryview], int]:
    """`readinto` of a stream in zlib's or gzip's format: 0 at its end, where its checksum is compared. Raises EOFError before it."""
    inflate = zlib.decompressobj(wbits=47)  # 32 + 15: either format, by its first bytes

    def readinto(view: memoryview) -> int:
        while not inflate.eof:
            packed = inflate.unconsumed_tail or stream.read(1 << 16)
            data = inflate.decompress(packed, len(view))
            if data:
                view[: len(data)] = data
                return len(data)
            if not packed and not inflate.eof:
                raise EOFError("the stream ended early")
        return 0

    return readinto
