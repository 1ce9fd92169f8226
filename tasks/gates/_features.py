"""Features of images: batch by batch where the images are many, and kept by digest where they are real, so that a gate that meets the
same images again does not compute them again."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from schema.digest import sha256_bytes, sha256_json, write_bytes
from schema.images import Images
from schema.settings import root
from tasks.progress import ticking

if TYPE_CHECKING:
    from models.frechet import Moments

DIGEST = 64
"""Length of a sha256 in hexadecimal, which each file begins with."""
BLOCK = 512
"""Images whose features are taken in at once."""
Extract = Callable[[np.ndarray, Callable[[int], None]], np.ndarray]
"""From uint8 pixels, N x H x W x C, and a ticker to features, N x D."""


@dataclass(frozen=True)
class Summary:
    """What is held of the features of a set of images, however many they are: the moments of all, and `few`, float32, M x D, which are
    those of the images at `rows`."""

    moments: "Moments"
    few: np.ndarray
    rows: np.ndarray

    def whose(self, images: Images) -> list[str]:
        """The patients of the few."""
        return [images.patients[row] for row in self.rows]


def summarise(pixels: np.ndarray, rows: np.ndarray, most: int, dimensions: int, extract: Extract, tick: Callable[[int], None]) -> Summary:
    """The summary of the images at `rows`, which are in random order: of the first `most` the features are held."""
    from models.frechet import Moments

    moments = Moments(dimensions)
    few = np.empty((min(len(rows), most), dimensions), dtype=np.float32)
    for start in range(0, len(rows), BLOCK):
        features = extract(pixels[rows[start : start + BLOCK]], tick)
        few[start : start + BLOCK] = features[: max(0, len(few) - start)]
        moments.add(features)
    return Summary(moments, few, rows[: len(few)])


def kept_summary(
    pixels: np.ndarray,
    rows: np.ndarray,
    most: int,
    dimensions: int,
    extractor: dict[str, str],
    extract: Extract,
    tick: Callable[[int], None],
) -> Summary:
    """The same of real images: as it was kept, or computed and kept. `extractor` as of `kept`."""
    from models.frechet import Moments

    def compute() -> dict[str, np.ndarray]:
        found = summarise(pixels, rows, most, dimensions, extract, tick)
        return {"mean": found.moments.mean, "scatter": found.moments.scatter, "few": found.few}

    of = kept(pixels, {**extractor, "rows": sha256_bytes(rows.tobytes()), "most": str(most)}, compute)
    return Summary(Moments.of(len(rows), of["mean"], of["scatter"]), of["few"], rows[: len(of["few"])])


def kept(pixels: np.ndarray, extractor: dict[str, str], compute: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """What `compute` makes of uint8 pixels: arrays by name, those under data/scratch/features, or computed and put there.

    `extractor` says all that decides them beside the pixels: the digests of weights and code, the precision, the device. A file whose
    bytes are not those that were written is computed again. Features of real images are as private as these, and stay here likewise.
    """
    digest = sha256_bytes(np.ascontiguousarray(pixels).data.cast("B"))
    name = sha256_json({"pixels": digest, "shape": list(pixels.shape), **extractor})
    path = root() / "data" / "scratch" / "features" / f"{name[:32]}.features"
    if path.is_file():
        held = path.read_bytes()
        if held[:DIGEST] == sha256_bytes(held[DIGEST:]).encode():
            with np.load(io.BytesIO(held[DIGEST:]), allow_pickle=False) as arrays:
                return dict(arrays)
    found = compute()
    stream = io.BytesIO()
    np.savez(stream, **found)
    write_bytes(path, sha256_bytes(stream.getvalue()).encode() + stream.getvalue())
    return found


def features_of(stage: str, what: str, sets: list[Images], extractor: dict[str, str], extract: Extract) -> list[np.ndarray]:
    """Features of synthetic images, the first of the sets, and of real ones, the others, which are kept for the next time."""
    synthetic, *real = sets
    with ticking(stage, what, sum(map(len, sets)), "image") as ticker:
        found = [extract(synthetic.pixels, ticker.update)]
        for images in real:
            features = kept(images.pixels, extractor, lambda of=images: {"features": extract(of.pixels, lambda _: None)})
            found.append(features["features"])
            ticker.update(len(images))
    return found
