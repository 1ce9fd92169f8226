"""Digests, and writing a file so that it is either whole or not there."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Digest of a JSON value in canonical form (sorted keys, no spaces): equal values, equal digests."""
    return sha256_bytes(canonical_json(value).encode())


def canonical_json(value: Any) -> str:
    return _CANONICAL(value)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def sha256_pixels(image: "np.ndarray") -> str:
    """Digest of an image's shape and pixels, whatever file format carried them. `image`: uint8, H x W or H x W x C."""
    if image.dtype.char != "B":
        raise ValueError(f"pixels must be uint8, not {image.dtype}")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    head = "x".join(map(str, image.shape)).encode()
    return sha256_bytes(head + b":" + image.tobytes())


def sha256_set(digests: Iterable[str]) -> str:
    """Digest of a multiset of digests: the order does not matter, the count does."""
    return sha256_bytes("\n".join(sorted(digests)).encode())


class Digests:
    """A multiset of sha256 digests that takes 32 bytes each, for as many as there are images."""

    def __init__(self, digests: Iterable[str] = ()) -> None:
        self._raw = bytearray()
        for digest in digests:
            self.add(bytes.fromhex(digest))

    def add(self, raw: bytes) -> None:
        """One digest or more, 32 bytes each."""
        self._raw += raw

    def __len__(self) -> int:
        return len(self._raw) // 32

    def sha256(self) -> str:
        """The same as `sha256_set` of them in hexadecimal."""
        self._sorted()
        found = hashlib.sha256()
        for start in range(0, len(self._raw), 32 * 4096):
            lines = self._raw[start : start + 32 * 4096].hex("\n", 32)
            found.update(f"\n{lines}".encode() if start else lines.encode())
        return found.hexdigest()

    def contains(self, other: "Digests") -> bool:
        """Whether every digest of the other is here, and as often."""
        import numpy as np

        here, (names, counts) = self._sorted(), np.unique(other._sorted(), return_counts=True)
        return bool((np.searchsorted(here, names, "right") - np.searchsorted(here, names, "left") >= counts).all())

    def _sorted(self) -> "np.ndarray":
        import numpy as np

        array = np.frombuffer(self._raw, dtype="S32")
        array.sort()
        return array


def write_bytes(path: Path, data: bytes) -> None:
    """Writes to a temporary name, flushes to the disk, then renames: a reader sees the whole file or none.

    Raises OSError (a full disk, say) with nothing left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def settle_file(temporary: Path, path: Path) -> str:
    """Flushes a finished temporary file to the disk and renames it to `path`; its sha256."""
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    digest = sha256_file(temporary)
    os.replace(temporary, path)
    return digest


def write_json(path: Path, value: Any) -> None:
    """Writes readable JSON with a final newline, atomically. NaN and infinity are refused with ValueError."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
