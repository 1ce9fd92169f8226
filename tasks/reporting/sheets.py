"""The layout of contact sheets: how many images of what size, and where. The report draws by it; the release stage looks by it for real
images on the sheets that are about to leave. Shapes are (height, width, channels)."""

import math
from collections.abc import Iterator

import numpy as np
from PIL import Image

SAMPLES = 480_000
"""How many pixel values the contact sheets may have in all, and the pairs: keeps a page under 2 MB whatever the image size."""

COLUMNS = 6
TILES = (6, 36)
"""Fewest and most images a class on a contact sheet."""

WANTED_SIDE = 96
"""A sheet shows fewer images rather than make large ones smaller than this."""


def grid(shape: tuple[int, int, int], count: int) -> tuple[int, int]:
    """How many images each of `count` contact sheets holds, in whole rows, and the longest side in pixels that they may have."""
    wanted = min(max(shape[:2]), WANTED_SIDE)
    least, most = TILES
    fitting = SAMPLES // (wanted**2 * shape[2] * count)
    tiles = max(least, min(most, fitting // COLUMNS * COLUMNS))
    return tiles, side_within(shape, tiles * count)


def side_within(shape: tuple[int, int, int], count: int) -> int:
    """The longest side in pixels that `count` images may have within the budget; never more than they have."""
    return min(max(shape[:2]), max(16, math.isqrt(SAMPLES // (count * shape[2]))))


def reduced_size(shape: tuple[int, int, int], side: int) -> tuple[int, int]:
    """Height and width with no side longer than `side`."""
    longest = max(shape[:2])
    return shape[:2] if longest <= side else tuple(max(1, round(edge * side / longest)) for edge in shape[:2])


def reduced(image: np.ndarray, side: int) -> np.ndarray:
    """The image, H x W x C, with no side longer than `side`: the mean over boxes; as it is where it fits."""
    height, width = reduced_size(image.shape, side)
    if (height, width) == image.shape[:2]:
        return image
    small = np.asarray(Image.fromarray(image.squeeze()).resize((width, height), Image.Resampling.BOX))
    return small.reshape(height, width, image.shape[2])


def draw(images: list[np.ndarray], tiles: int, shape: tuple[int, int, int], side: int) -> np.ndarray:
    """A sheet with room for `tiles` images of `shape` reduced to `side`: white where they run out, a pixel of white between them."""
    height, width = reduced_size(shape, side)
    rows = math.ceil(tiles / COLUMNS)
    sheet = np.full((rows * (height + 1) - 1, COLUMNS * (width + 1) - 1, shape[2]), 255, dtype=np.uint8)
    for tile, image in zip(cut(sheet, height, width), images, strict=False):
        tile[:] = image
    return sheet


def cut(sheet: np.ndarray, height: int, width: int) -> Iterator[np.ndarray]:
    """Views of a sheet's images, each `height` x `width`, row by row."""
    for top in range(0, sheet.shape[0] - height + 1, height + 1):
        for left in range(0, sheet.shape[1] - width + 1, width + 1):
            yield sheet[top : top + height, left : left + width]
