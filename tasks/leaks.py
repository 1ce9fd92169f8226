"""The last look for anything of the real data in what is about to leave: exact copies, ids, and pictures inside the report."""

import base64
import binascii
import io
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, UnidentifiedImageError

from schema.digest import sha256_file, sha256_pixels
from schema.errors import GateFailed, IntegrityError

PICTURE = re.compile(rb"data:image/[a-z+.-]+;base64,([A-Za-z0-9+/=\s]+)")
IDENTIFIER = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{16}(?![0-9A-Za-z])")


class RealData:
    """What must not be found outside: the sha256 of the pixels of every real image of every split, and all ids and patients."""

    def __init__(self, folder: Path, manifest: dict) -> None:
        """Raises IntegrityError for a shard that is missing or not what ingest wrote."""
        self.pixels: set[str] = set()
        self.names: set[str] = set()
        for entry in manifest["shards"]:
            path = folder / entry["file"]
            if not path.is_file() or sha256_file(path) != entry["sha256"]:
                raise IntegrityError(f"{path} is missing or its bytes have changed since ingest wrote it: run ingest again")
            table = pq.read_table(path, columns=["id", "patient", "sha256"])
            self.pixels.update(table["sha256"].to_pylist())
            self.names.update(table["id"].to_pylist(), table["patient"].to_pylist())

    def refuse_copies(self, dataset: str, released: set[str]) -> None:
        """Raises GateFailed if a released image is, pixel for pixel, a real one."""
        copies = len(released & self.pixels)
        if copies:
            raise GateFailed(
                f"{dataset} is not released: {copies} synthetic image{'s are' if copies > 1 else ' is'} pixel for pixel a real image. "
                "The generator has memorised: train it shorter or on more images, or draw with another sample.base_seed"
            )

    def refuse_report(self, path: Path) -> None:
        """Raises GateFailed if a file of the public report shows a real image as it is, or names a real record or patient."""
        data = path.read_bytes()
        shown = sum(pixels in self.pixels for pixels in map(_pixels, PICTURE.findall(data)) if pixels)
        named = len(self.names.intersection(IDENTIFIER.findall(data.decode("utf-8", errors="replace"))))
        if shown or named:
            raise GateFailed(f"nothing is released: the public report {path} shows {shown} real images and names {named} real ids")


def _pixels(encoded: bytes) -> str | None:
    """Digest of an embedded picture's pixels; None for one that is not of the form real images have (vector graphics, a palette)."""
    try:
        image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    except (UnidentifiedImageError, binascii.Error):
        return None
    return sha256_pixels(np.asarray(image)) if image.mode in ("L", "RGB") else None
