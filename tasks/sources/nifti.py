"""NIfTI volumes, sliced: `datasets.<name>.ingest.source: {kind: nifti, folder: heads, images: {image: "*_t1.nii.gz", pd: "*_PD.nii.gz"}}`.

Reads NIfTI-1 and NIfTI-2 in one file (.nii, .nii.gz), of either byte order. Of the header, only shape, type, scale and orientation are
looked at: its texts and extensions, which may name a patient, are passed over unread.
"""

import gzip
import os
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from tasks.sources._decode import Unreadable
from tasks.sources._scans import Scans
from tasks.sources._scans_config import ScansConfig
from tasks.sources._volume import Volume, check_size, fill, place

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

MAX_OFFSET = 2**26
"""Bytes before the voxels: what a header's extensions may take."""


class Plugin(Scans):
    kind = "nifti"
    suffixes = (".nii", ".nii.gz")

    class Config(ScansConfig):
        kind: Literal["nifti"]
        volume: int = Field(default=0, ge=0, description="which volume of a file in 4D (a time, a direction), from 0")

    def load(self, path: Path, files: tuple[Path, ...]) -> Volume:
        try:
            with path.open("rb") as raw:
                packed = raw.read(2) == b"\x1f\x8b"
                raw.seek(0)
                size = os.fstat(raw.fileno()).st_size
                if not size:
                    raise Unreadable("zero-byte file")
                with gzip.GzipFile(fileobj=raw) if packed else raw as stream:
                    return self._read(stream, size, packed)
        except FileNotFoundError:
            raise Unreadable("missing file") from None
        except EOFError:
            raise Unreadable("truncated volume") from None
        except (gzip.BadGzipFile, zlib.error):
            raise Unreadable("corrupt volume") from None
        except OSError:
            raise Unreadable("file that cannot be opened") from None

    def _read(self, stream: IO[bytes], size: int, packed: bool) -> Volume:
        header = _header(stream)
        shape, count = _shape(header)
        dtype = _dtype(header)
        if self.config.volume >= count:
            raise Unreadable(f"no volume {self.config.volume}")
        wanted = int(np.prod(shape, dtype=object)) * dtype.itemsize
        start = _offset(header) + self.config.volume * wanted
        check_size(shape, start + wanted, size, packed)
        affine, slope, inter = _placement(header)
        stream.seek(start)
        voxels = fill(stream.readinto, shape, dtype)
        if count == 1:
            stream.read(1 << 20)  # gzip compares the checksum once the end is reached
        return place(voxels, affine, slope, inter)


def _header(stream: IO[bytes]) -> "Nifti1Header":
    """The fixed part of the header, in its own byte order."""
    from nibabel import Nifti1Header, Nifti2Header

    raw = stream.read(348)
    length = {int.from_bytes(raw[:4], "little"), int.from_bytes(raw[:4], "big")}
    if 540 in length:
        raw += stream.read(540 - 348)
    elif 348 not in length:
        raise Unreadable("not a readable NIfTI")
    if len(raw) not in length:
        raise EOFError("the header ended early")
    header = (Nifti1Header if len(raw) == 348 else Nifti2Header)(raw, check=False)
    magic = bytes(header["magic"])[:3]
    if magic in (b"ni1", b"ni2"):
        raise Unreadable("NIfTI in two files: join .hdr and .img to .nii")
    if magic not in (b"n+1", b"n+2"):
        raise Unreadable("not a readable NIfTI")
    return header


def _shape(header: "Nifti1Header") -> tuple[tuple[int, ...], int]:
    """The shape of one volume, and how many there are."""
    dims: list[int] = [int(length) for length in header["dim"]]
    if not 1 <= dims[0] <= 7:
        raise Unreadable("broken header")
    shape = [*dims[1 : dims[0] + 1], 1, 1, 1][: max(3, dims[0])]
    if min(shape) < 1:
        raise Unreadable("broken header")
    if any(length > 1 for length in shape[4:]):
        raise Unreadable("vectors in place of intensities")
    return tuple(shape[:3]), shape[3] if len(shape) > 3 else 1


def _dtype(header: "Nifti1Header") -> np.dtype:
    from nibabel.spatialimages import HeaderDataError

    try:
        dtype = header.get_data_dtype()
    except (HeaderDataError, KeyError):
        raise Unreadable("voxels of an unknown kind") from None
    if dtype.names:
        raise Unreadable("colour voxels")
    if dtype.kind == "c":
        raise Unreadable("complex voxels")
    if dtype.kind not in "iuf" or dtype.itemsize not in (1, 2, 4, 8):
        raise Unreadable("voxels of an unknown kind")
    return dtype


def _offset(header: "Nifti1Header") -> int:
    """Where the voxels start. The standard asks for 352 or 544 at least; 0 is written by some and means just that."""
    given, least = float(header["vox_offset"]), 352 if len(header.binaryblock) == 348 else 544
    if given == 0:
        return least
    if not least <= given <= MAX_OFFSET:
        raise Unreadable("broken header")
    return int(given)


def _placement(header: "Nifti1Header") -> tuple[np.ndarray, Any, Any]:
    """The affine (sform, else qform, else voxel sizes alone), and the scale: none where scl_slope is 0 or not finite."""
    from nibabel.spatialimages import HeaderDataError

    try:
        with np.errstate(all="ignore"):
            affine = header.get_best_affine()
            slope, inter = header.get_slope_inter()
    except (HeaderDataError, ValueError, np.linalg.LinAlgError):
        raise Unreadable("broken header") from None
    return affine, 1.0 if slope is None else float(slope), 0.0 if inter is None else float(inter)
