"""Features of real images, kept by digest: a gate that meets the same images again does not compute them again."""

import io
from collections.abc import Callable

import numpy as np

from schema.digest import sha256_bytes, sha256_json, write_bytes
from schema.images import Images
from schema.settings import root
from tasks.progress import ticking

DIGEST = 64
"""Length of a sha256 in hexadecimal, which each file begins with."""


def kept_features(pixels: np.ndarray, extractor: dict[str, str], compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Features, N x D, of uint8 pixels: those under data/scratch/features, or computed and put there.

    `extractor` says all that decides them beside the pixels: the digests of weights and code, the precision, the device. A file whose
    bytes are not those that were written is computed again. Features of real images are as private as these, and stay here likewise.
    """
    name = sha256_json({"pixels": sha256_bytes(pixels.tobytes()), "shape": list(pixels.shape), **extractor})
    path = root() / "data" / "scratch" / "features" / f"{name[:32]}.features"
    if path.is_file():
        kept = path.read_bytes()
        if kept[:DIGEST] == sha256_bytes(kept[DIGEST:]).encode():
            return np.load(io.BytesIO(kept[DIGEST:]), allow_pickle=False)
    features = compute()
    stream = io.BytesIO()
    np.save(stream, features, allow_pickle=False)
    write_bytes(path, sha256_bytes(stream.getvalue()).encode() + stream.getvalue())
    return features


def features_of(
    stage: str, what: str, sets: list[Images], extractor: dict[str, str], compute: Callable[[np.ndarray, Callable[[int], None]], np.ndarray]
) -> list[np.ndarray]:
    """Features of synthetic images, the first of the sets, and of real ones, the others, which are kept for the next time.
    `compute` takes pixels and a ticker."""
    synthetic, *real = sets
    with ticking(stage, what, sum(map(len, sets)), "image") as ticker:
        found = [compute(synthetic.pixels, ticker.update)]
        for images in real:
            found.append(kept_features(images.pixels, extractor, lambda of=images: compute(of.pixels, lambda _: None)))
            ticker.update(len(images))
    return found
