"""Copies among the images: exact ones by digest, near ones by a perceptual hash and then by their pixels.

One image of each set of copies stays, that with the smallest keyed id: which one does not depend on what came first.
"""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from PIL import Image

from schema.params import Duplicates

SIDE = 32
"""Height and width of a thumbnail: what the perceptual hash is computed from."""
BLOCK, PAIRS = 256, 4096
"""Hashes and pairs that are compared at once."""
WITHIN = "copy of another image of the same patient"
ACROSS = "copy of another patient's image"


@dataclass
class Copies:
    """`aside`: {index of a row that is not to stay: the reason}. The counts are of sets of copies; `images` of the images in them."""

    aside: dict[int, str] = field(default_factory=dict)
    within: int = 0
    across: int = 0
    images: int = 0
    labels_differ: int = 0


def thumbnail(pixels: np.ndarray) -> bytes:
    """SIDE x SIDE grey levels of uint8 pixels, H x W or H x W x 3: each the mean of the pixels that it stands for."""
    return Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX).tobytes()


def perceptual_hash(small: bytes) -> str:
    """64 bits, in hexadecimal, of the lowest frequencies of a thumbnail's cosine transform, by imagehash (Zauner 2010, section 3.2)."""
    import imagehash

    return str(imagehash.phash(Image.frombytes("L", (SIDE, SIDE), small)))


def find_copies(rows: Sequence[dict], thumbnails: Sequence[bytes], config: Duplicates, gone: Container[str] = ()) -> Copies:
    """`rows`: facts with id, patient, label, hash and the digests of the native and of the fitted pixels; `thumbnails` of the same.
    `gone`: keyed patients who were withdrawn: of a set with an image of theirs, no other patient's stays."""
    sets = _Sets(len(rows))
    for key in ("native", "sha256"):
        first: dict[str, int] = {}
        for index, row in enumerate(rows):
            sets.join(index, first.setdefault(row[key], index))
    hashes = np.array([int(row["hash"], 16) for row in rows], dtype=np.uint64)
    pixels = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(len(rows), SIDE * SIDE)
    for a, b in near_pairs(hashes, config.hash_distance):
        for at in range(0, len(a), PAIRS):
            _join_alike(sets, pixels, a[at : at + PAIRS], b[at : at + PAIRS], config.grey_distance)
    copies = Copies()
    for members in sets.several():
        _settle(copies, sorted(members, key=lambda index: (rows[index]["patient"] not in gone, rows[index]["id"])), rows, config)
    return copies


def _settle(copies: Copies, members: list[int], rows: Sequence[dict], config: Duplicates) -> None:
    patients = {rows[index]["patient"] for index in members}
    copies.images += len(members)
    copies.labels_differ += len({rows[index]["label"] for index in members}) > 1
    copies.across += len(patients) > 1
    copies.within += len(patients) == 1
    for index in members[1:]:
        if rows[index]["patient"] != rows[members[0]]["patient"]:
            copies.aside[index] = ACROSS
        elif config.within == "quarantine":
            copies.aside[index] = WITHIN


def near_pairs(hashes: np.ndarray, distance: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of indices whose 64-bit hashes differ in at most `distance` bits, the smaller first: two arrays at a time. Each such pair comes
    at least once.

    Two such hashes agree in one of `distance` + 1 bands of bits at least, so only those that share a band are compared (Manku, Jain,
    Sarma, "Detecting near-duplicates for web crawling", WWW 2007, section 3).
    """
    edges = np.linspace(0, 64, distance + 2).astype(int)
    for low, high in pairwise(edges):
        band = hashes >> np.uint64(low) & np.uint64(2 ** int(high - low) - 1)
        order = np.argsort(band, kind="stable")
        bounds = np.flatnonzero(np.diff(band[order])) + 1
        for members in np.split(order, bounds):
            for start in range(0, len(members) - 1, BLOCK):
                mine = members[start : start + BLOCK]
                apart = np.bitwise_count(hashes[mine, None] ^ hashes[None, members[start:]])
                row, column = np.nonzero(apart <= distance)
                yield mine[row[row < column]], members[start + column[row < column]]


def grey_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Root mean square difference, in grey levels, of thumbnails N x SIDE^2 and their partners, each two brought to the same mean and to
    the smaller of their contrasts; the larger contrast itself where one of them has none."""
    a, b = (of - of.mean(axis=1, keepdims=True) for of in (a.astype(np.float32), b.astype(np.float32)))
    contrasts = a.std(axis=1), b.std(axis=1)
    low, high = np.minimum(*contrasts), np.maximum(*contrasts)
    scaled = [of / np.maximum(contrast, 1e-9)[:, None] for of, contrast in zip((a, b), contrasts, strict=True)]
    return np.where(low > 0, low * np.sqrt(np.mean((scaled[0] - scaled[1]) ** 2, axis=1)), high)


def _join_alike(sets: "_Sets", pixels: np.ndarray, a: np.ndarray, b: np.ndarray, most: float) -> None:
    """Joins those of the pairs that are at most so far apart. Pairs of one set already are passed over: a thousand copies of one image make
    half a million pairs."""
    roots = sets.roots()
    apart = roots[a] != roots[b]
    a, b = a[apart], b[apart]
    for index in np.flatnonzero(grey_distances(pixels[a], pixels[b]) <= most):
        sets.join(int(a[index]), int(b[index]))


class _Sets:
    """Disjoint sets of indices, joined two by two; the smallest index of a set is its root."""

    def __init__(self, n: int) -> None:
        self._parent = np.arange(n)

    def join(self, a: int, b: int) -> None:
        low, high = sorted((self._root(a), self._root(b)))
        self._parent[high] = low

    def _root(self, index: int) -> int:
        while self._parent[index] != index:
            index = int(self._parent[index])
        return index

    def roots(self) -> np.ndarray:
        """The root of each index; every path is made one step long on the way."""
        while True:
            further = self._parent[self._parent]
            if np.array_equal(further, self._parent):
                return self._parent.copy()
            self._parent = further

    def several(self) -> list[list[int]]:
        """The sets of more than one."""
        members: dict[int, list[int]] = {}
        for index, root in enumerate(self.roots().tolist()):
            members.setdefault(root, []).append(index)
        return [found for found in members.values() if len(found) > 1]
