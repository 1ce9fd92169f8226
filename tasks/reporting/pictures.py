"""Images for the pages, as PNG data URIs: contact sheets by class, and the closest pairs. No real image is among the public ones."""

import base64
import math
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from schema.record import encode_png
from tasks.gates import Images
from tasks.reporting.gather import Workspace
from tasks.reporting.nearest import TAILS, Closest

SAMPLES = 480_000
"""How many pixel values the contact sheets may have in all, and the pairs: keeps a page under 2 MB whatever the image size."""

COLUMNS = 6
TILES = (6, 36)
"""Fewest and most images a class on a contact sheet."""

WANTED_SIDE = 96
"""A sheet shows fewer images rather than make large ones smaller than this."""


@dataclass(frozen=True)
class Picture:
    """A PNG as a data URI, with its size in pixels of the file."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Sheet:
    """The first images of one class; `real` is None in the public edition."""

    label: str
    synthetic: Picture
    real: Picture | None = None


@dataclass(frozen=True)
class Pictures:
    """`pairs` and `null_pairs`: (image, nearest training image) in the order of the facts. `reduced`: some are smaller than they were."""

    reduced: bool
    sheets: list[Sheet]
    pairs: list[tuple[Picture, Picture]] = field(default_factory=list)
    null_pairs: list[tuple[Picture, Picture]] = field(default_factory=list)


def internal_pictures(workspace: Workspace, closest: Closest) -> Pictures:
    """Real images beside synthetic ones, and the closest pairs."""
    labels, shown = workspace.ingest["labels"], workspace.params.report.pairs
    tiles, side = _grid(workspace.train, 2 * len(labels))
    pair_side = _side(workspace.train, 4 * shown)
    sheets = [
        Sheet(label, *(_sheet(images, _of_class(images, label), side, tiles) for images in (workspace.synthetic, workspace.train)))
        for label in labels
    ]
    pairs, null_pairs = (_pairs(workspace, closest, which, shown, pair_side) for which in ("synthetic", "holdout"))
    return Pictures(min(side, pair_side) < _longest(workspace.train), sheets, pairs, null_pairs)


def public_pictures(workspace: Workspace, closest: Closest) -> Pictures:
    """Synthetic images alone, without those that lie as close to a training image as the closest 1 % of the holdout do.

    A generator's copy of a training image is a real image: it must not be published by way of the report.
    """
    labels, images = workspace.ingest["labels"], workspace.synthetic
    tiles, side = _grid(images, len(labels))
    far = closest.synthetic.distance > closest.threshold(TAILS[-1])
    sheets = [Sheet(label, _sheet(images, index[far[index]], side, tiles)) for label in labels for index in [_of_class(images, label)]]
    return Pictures(side < _longest(images), sheets)


def _grid(images: Images, sheets: int) -> tuple[int, int]:
    """How many images each of `sheets` contact sheets holds, in whole rows, and the longest side in pixels that they may have."""
    wanted = min(_longest(images), WANTED_SIDE)
    least, most = TILES
    fitting = SAMPLES // (wanted**2 * images.pixels.shape[3] * sheets)
    tiles = max(least, min(most, fitting // COLUMNS * COLUMNS))
    return tiles, _side(images, tiles * sheets)


def _of_class(images: Images, label: str) -> np.ndarray:
    return np.flatnonzero(images.labels == images.classes.index(label)) if label in images.classes else np.array([], dtype=np.int64)


def _longest(images: Images) -> int:
    return max(images.pixels.shape[1:3])


def _side(images: Images, count: int) -> int:
    """The longest side in pixels that `count` images may have within the budget; never more than they have."""
    return min(_longest(images), max(16, math.isqrt(SAMPLES // (count * images.pixels.shape[3]))))


def _shown(image: np.ndarray, side: int) -> np.ndarray:
    longest = max(image.shape[:2])
    if longest <= side:
        return image
    height, width = (max(1, round(edge * side / longest)) for edge in image.shape[:2])
    reduced = np.asarray(Image.fromarray(image.squeeze()).resize((width, height), Image.Resampling.BOX))
    return reduced.reshape(height, width, image.shape[2])


def _picture(image: np.ndarray) -> Picture:
    encoded = base64.b64encode(encode_png(image)).decode("ascii")
    return Picture(f"data:image/png;base64,{encoded}", image.shape[1], image.shape[0])


def _sheet(images: Images, index: np.ndarray, side: int, tiles: int) -> Picture:
    """A grid, white where images run out, with a pixel of white between them."""
    rows = math.ceil(tiles / COLUMNS)
    height, width, channels = _shown(images.pixels[0], side).shape
    sheet = np.full((rows * (height + 1) - 1, COLUMNS * (width + 1) - 1, channels), 255, dtype=np.uint8)
    for place, i in enumerate(index[:tiles]):
        top, left = (place // COLUMNS) * (height + 1), (place % COLUMNS) * (width + 1)
        sheet[top : top + height, left : left + width] = _shown(images.pixels[i], side)
    return _picture(sheet)


def _pairs(workspace: Workspace, closest: Closest, which: str, shown: int, side: int) -> list[tuple[Picture, Picture]]:
    images, found = getattr(workspace, which), getattr(closest, which)
    pairs = []
    for i in closest.order(which)[:shown]:
        neighbour = workspace.train.pixels[found.index[i]]
        if found.mirrored[i]:
            neighbour = neighbour[:, ::-1]
        pairs.append((_picture(_shown(images.pixels[i], side)), _picture(_shown(np.ascontiguousarray(neighbour), side))))
    return pairs
