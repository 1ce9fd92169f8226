"""Which images have a value: one bit for each image of a block of them, the first the lowest, packed by zlib."""

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from catalog.words import key

BLOCK = 1 << 16
"""Images of a release that share a bitmap: 8 kB at most, and what is held of a release while it is read stays small."""


class Values:
    """The labels and values of attributes of a release's images, gathered as they are read, in the order of their positions."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self._images: Counter[tuple[str, str]] = Counter()
        self._block, self._places, self._rows = 0, defaultdict(list), []

    def add(self, position: int, label: str, attributes: Mapping[str, Any]) -> None:
        block, place = divmod(position, BLOCK)
        if block != self._block:
            self._end_block()
            self._block = block
        words = {("label", key(label))}
        for name, value in attributes.items():
            words.update((name, key(str(word))) for word in (value if isinstance(value, list) else [value]))
        for word in words:
            self._places[word].append(place)

    def bitmaps(self, last: bool = False) -> list[dict[str, Any]]:
        """Rows of value_bitmaps of the blocks that ended since the last call, or with `last`, of all that is left."""
        if last:
            self._end_block()
        rows, self._rows = self._rows, []
        return rows

    def counts(self) -> list[dict[str, Any]]:
        """Rows of value_counts, of the blocks that ended."""
        return [self._row(*word) | {"images": images} for word, images in sorted(self._images.items())]

    def _end_block(self) -> None:
        for word, places in sorted(self._places.items()):
            self._images[word] += len(places)
            self._rows.append(self._row(*word) | {"block": self._block, "bitmap": pack(places)})
        self._places.clear()

    def _row(self, attribute: str, word: str) -> dict[str, Any]:
        return {"release": self.tag, "attribute": attribute, "key": word}


def pack(places: Sequence[int]) -> bytes:
    """`places`: rising, from 0 to BLOCK - 1."""
    import numpy as np

    bits = np.zeros(places[-1] + 1, bool)
    bits[places] = True
    return zlib.compress(np.packbits(bits, bitorder="little").tobytes(), 1)


def unpack(bitmap: bytes) -> int:
    """The bits as a number: `&` and `|` of such are of their images."""
    return int.from_bytes(zlib.decompress(bitmap), "little")


def places(bits: int) -> Iterator[int]:
    """Where the bits are, the lowest first."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
