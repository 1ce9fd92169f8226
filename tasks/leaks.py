"""The last look for anything of the real data in what is about to leave: exact copies, ids, and images on the report's pictures."""

import base64
import binascii
import io
import re
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from schema.digest import sha256_file, sha256_pixels
from schema.errors import GateFailed, IntegrityError
from schema.record import decode_png
from tasks.reporting import sheets

PICTURE = re.compile(rb"data:image/[a-z+.-]+;base64,([A-Za-z0-9+/=\s]+)")
IDENTIFIER = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{16}(?![0-9A-Za-z])")


class RealData:
    """What must not be found outside: the sha256 of the pixels of every real image of every split, and all ids and patients."""

    def __init__(self, folder: Path, manifest: dict) -> None:
        """Raises IntegrityError for a shard that is missing or not what ingest wrote."""
        self.shards = [folder / entry["file"] for entry in manifest["shards"]]
        self.shape = tuple(manifest["image"][edge] for edge in ("height", "width", "channels"))
        self.side = sheets.grid(self.shape, len(manifest["labels"]))[1]
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
        """Raises GateFailed if a file of the public report shows a real image, as a picture or on a contact sheet, as it is, mirrored
        or reduced as sheets are; if it names a real record or patient; or if it has a picture that cannot be looked into."""
        data = path.read_bytes()
        pictures = PICTURE.findall(data)
        if len(pictures) != data.count(b"data:image/"):
            raise GateFailed(f"nothing is released: the public report {path} has a picture that is not base64, so it cannot be looked into")
        shown = sum(len(self.known & self.seen(path, picture)) for picture in pictures)
        named = len(self.names.intersection(IDENTIFIER.findall(data.decode("utf-8", errors="replace"))))
        if shown or named:
            raise GateFailed(f"nothing is released: the public report {path} shows {shown} real images and names {named} real ids")

    @cached_property
    def known(self) -> set[str]:
        """Digests of the real images as they are, and reduced to the size that the public sheets show, if that is smaller."""
        if self.side >= max(self.shape[:2]):
            return self.pixels
        images = (image["bytes"] for path in self.shards for image in pq.read_table(path, columns=["image"])["image"].to_pylist())
        return self.pixels | {sha256_pixels(sheets.reduced(decode_png(data), self.side)) for data in images}

    def seen(self, path: Path, encoded: bytes) -> set[str]:
        """Digests of what an embedded picture shows: the whole of it, and each image on it if it is a sheet; mirrored too.

        An area of one value shows nothing of anybody: it is where a sheet's images ran out.
        """
        try:
            picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
            pixels = np.asarray(picture.convert("L" if self.shape[2] == 1 else "RGB"))
        except (OSError, binascii.Error) as error:
            raise GateFailed(
                f"nothing is released: the public report {path} has a picture that cannot be looked into ({error}): embed PNGs only"
            ) from None
        tiles = [tile for size in {self.shape[:2], sheets.reduced_size(self.shape, self.side)} for tile in sheets.cut(pixels, *size)]
        areas = [area for area in (pixels, *tiles) if area.min() != area.max()]
        return {sha256_pixels(area[:, ::step]) for area in areas for step in (1, -1)}
