"""Images for the pages, as PNG data URIs: contact sheets by class, and the closest pairs. No real image is among the public ones."""

import base64
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from schema.images import Images
from schema.record import encode_png
from tasks.reporting import sheets
from tasks.reporting.gather import Workspace
from tasks.reporting.nearest import TAILS, Closest


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
class Named:
    """One image that a gate's evidence names: where it belongs, its class, and what it looks like."""

    split: str
    label: str
    picture: Picture


@dataclass(frozen=True)
class EvidencePair:
    """An entry of a gate's evidence `pairs` by its `place` there: the `names` of images that are in it, and these images."""

    place: int
    names: list[str]
    pictures: list[Named]


@dataclass(frozen=True)
class Pictures:
    """`pairs` and `null_pairs`: (image, nearest training image) in the order of the facts. `gate_pairs`: what gates found, by the place
    of the gate. `reduced`: some are smaller than they were."""

    reduced: bool
    sheets: list[Sheet]
    pairs: list[tuple[Picture, Picture]] = field(default_factory=list)
    null_pairs: list[tuple[Picture, Picture]] = field(default_factory=list)
    gate_pairs: dict[int, list[EvidencePair]] = field(default_factory=dict)


def internal_pictures(workspace: Workspace, closest: Closest) -> Pictures:
    """Real images beside synthetic ones, and the closest pairs."""
    labels, shown, shape = workspace.ingest["labels"], workspace.params.report.pairs, workspace.train.pixels.shape[1:]
    tiles, side = sheets.grid(shape, 2 * len(labels))
    gate_pairs = _evidence_pairs(workspace, shown, shape)
    pair_side = sheets.side_within(shape, 4 * shown)
    drawn = [
        Sheet(label, *(_sheet(images, _of_class(images, label), side, tiles) for images in (workspace.synthetic, workspace.train)))
        for label in labels
    ]
    pairs, null_pairs = (_pairs(workspace, closest, which, shown, pair_side) for which in ("synthetic", "holdout"))
    return Pictures(min(side, pair_side) < max(shape[:2]), drawn, pairs, null_pairs, gate_pairs)


def public_pictures(workspace: Workspace, closest: Closest) -> Pictures:
    """Synthetic images alone, without those that lie as close to a training image as the closest 1 % of the holdout do.

    A generator's copy of a training image is a real image: it must not be published by way of the report.
    """
    labels, images = workspace.ingest["labels"], workspace.synthetic
    shape = images.pixels.shape[1:]
    tiles, side = sheets.grid(shape, len(labels))
    far = closest.synthetic.distance > closest.threshold(TAILS[-1])
    drawn = [
        Sheet(label, _sheet(images, index[far[index]], side, tiles, synthetic=True))
        for label in labels
        for index in [_of_class(images, label)]
    ]
    return Pictures(side < max(shape[:2]), drawn)


def _of_class(images: Images, label: str) -> np.ndarray:
    return np.flatnonzero(images.labels == images.classes.index(label)) if label in images.classes else np.array([], dtype=np.int64)


def _picture(image: np.ndarray, synthetic: bool = False) -> Picture:
    encoded = base64.b64encode(encode_png(image, synthetic)).decode("ascii")
    return Picture(f"data:image/png;base64,{encoded}", image.shape[1], image.shape[0])


def _sheet(images: Images, index: np.ndarray, side: int, tiles: int, synthetic: bool = False) -> Picture:
    """A grid, white where images run out, with a pixel of white between them; marked where they are all synthetic."""
    drawn = [sheets.reduced(images.pixels[i], side) for i in index[:tiles]]
    return _picture(sheets.draw(drawn, tiles, images.pixels.shape[1:], side), synthetic)


def _pairs(workspace: Workspace, closest: Closest, which: str, shown: int, side: int) -> list[tuple[Picture, Picture]]:
    images, found = getattr(workspace, which), getattr(closest, which)
    pairs = []
    for i in closest.order(which)[:shown]:
        neighbour = workspace.train.pixels[found.index[i]]
        if found.mirrored[i]:
            neighbour = neighbour[:, ::-1]
        pairs.append((_picture(sheets.reduced(images.pixels[i], side)), _picture(sheets.reduced(np.ascontiguousarray(neighbour), side))))
    return pairs


def _evidence_pairs(workspace: Workspace, shown: int, shape: tuple[int, int, int]) -> dict[int, list[EvidencePair]]:
    """The first entries of each gate's evidence `pairs` that name images which are here, whatever the names stand under."""
    found = {
        place: [(number, names) for number, entry in enumerate(said) if (names := _names(workspace, entry))][:shown]
        for place, verdict in enumerate(workspace.verdicts.values())
        if verdict is not None and isinstance(said := verdict.evidence.get("pairs"), list)
    }
    count = sum(len(names) for entries in found.values() for _, names in entries)
    side = sheets.side_within(shape, max(1, count))
    return {
        place: [EvidencePair(number, names, [_named(*workspace.find(name), side) for name in names]) for number, names in some]
        for place, some in found.items()
        if some
    }


def _names(workspace: Workspace, entry: Any) -> list[str]:
    """The images that an entry names."""
    return [value for value in entry.values() if isinstance(value, str) and workspace.find(value)] if isinstance(entry, dict) else []


def _named(split: str, images: Images, row: int, side: int) -> Named:
    return Named(split, images.classes[images.labels[row]], _picture(sheets.reduced(images.pixels[row], side)))
