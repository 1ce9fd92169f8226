"""Text burned into pixels: where it is, and how it is painted over.

A name that a scanner drew into an image outlives the removal of every header. DICOM PS3.15, Clean Pixel Data Option (E.3.1), asks that
such text be removed; PS3.3 C.7.6.1.1.5 has an attribute that only says whether there is any, and only where somebody filled it in.

The text detector is PP-OCRv6's small one, a differentiable binarisation network (Liao et al., "Real-time scene text detection with
differentiable binarization", AAAI 2020). Ventricles, sinuses and lungs look like large letters to it, so what is large or doubtful is also
read by PP-OCRv6's small recogniser, and counts only where that can make out characters. The rapidocr package carries both networks:
nothing is downloaded. What they find and miss is measured in docs/burned-in-text.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from schema.errors import SynthmillError

DETECTOR, RECOGNISER = "PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx"
STRIDE = 32
"""The network halves its input five times: heights and widths are multiples of this."""
TILE, OVERLAP = 1024, 160
"""Larger images are looked at in tiles, so that memory does not grow with them. The overlap holds the largest letters looked for."""
SURE = ((20, 0.0), (32, 0.7), (60, 0.85), (110, 0.94))
"""Short sides of a box up to, in pixels of an image of up to 512 pixels, in larger ones as much more; and the score from which the detector
is taken at its word about a box so large. Below it the text must be legible. Capitals of 16 pixels make boxes of some 30, of 48 some 90.

The recogniser reads Latin, Greek, Chinese and Japanese letters, upright or turned by 90 degrees; what scores this much needs no reading, so
that Cyrillic, Hebrew, Arabic and upside-down lines, which score 0.85 to 0.97, are mostly kept. Real heads score up to 0.83 between 32 and
60 pixels and 0.91 above; drawn ones reach 0.94 at both, and some stay flagged, because a higher score would lose half of the large Arabic
lines. The smallest boxes are never read: letters too small to read are letters still."""
LARGEST = SURE[-1][0]
"""Nothing larger is called text: whole heads, lungs and eyes look like one letter."""
LEGIBLE, LEGIBLE_ALONE = 0.8, 0.9
"""The mean confidence that the characters of a text must reach, and that of a single one. Where a box was in doubt, 94 % of the texts of
several letters were read with 0.8 and more (92 % on the other half), and nothing without letters was (0.64 and less, one 0.797). Single
characters are read into anatomy with up to 0.98, most often lying on their side: one must be upright and no wider than a letter."""
LINE, READ = 48, 20
"""The recogniser's input is this many rows, and at most so many times as wide: the beginning of a longer text tells enough."""
FLAT = 12
"""Images whose pixels differ by less hold no text that anybody can read."""


@dataclass(frozen=True)
class Box:
    """A place of text: left, top, right, bottom in pixels of the image, right and bottom not included; `score` from 0 to 1."""

    left: int
    top: int
    right: int
    bottom: int
    score: float


class TextFinder:
    """`threshold`: how sure the detector must be of a pixel; `min_score`: of a text on average.

    Runs on one thread, so the same image gives the same boxes. Raises SynthmillError where a network's file is missing.
    """

    def __init__(self, threshold: float = 0.3, min_score: float = 0.6) -> None:
        self.threshold, self.min_score = threshold, min_score
        self._detector, self._recogniser = _open(DETECTOR), _open(RECOGNISER)

    def find(self, image: np.ndarray) -> list[Box]:
        """The boxes of text in an image (uint8, H x W, H x W x 1 or H x W x 3 in RGB), from top to bottom; empty where there is none.

        Raises ValueError for another shape or type.
        """
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)) or not image.size:
            raise ValueError(f"an image must be uint8, H x W or H x W x 3, not {image.dtype} {image.shape}")
        if int(image.max()) - int(image.min()) < FLAT:
            return []
        # The networks were trained on what OpenCV reads: blue, green, red.
        pixels = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2) if image.ndim == 2 or image.shape[2] == 1 else image[..., ::-1]
        height, width = image.shape[:2]
        found = [box for scale in scales(height, width) for box in self._at(pixels, scale)]
        clipped = [
            Box(max(0, int(left)), max(0, int(top)), min(width, int(np.ceil(right))), min(height, int(np.ceil(bottom))), score)
            for left, top, right, bottom, score in found
        ]
        unit = max(1.0, max(height, width) / 512)
        return merge([box for box in clipped if not _doubtful(box, unit) or self._legible(pixels, box)])

    def mask(self, image: np.ndarray, rounds: int = 3) -> tuple[np.ndarray, list[Box]]:
        """The image with its text painted over, and every box that was painted: looked at again after each coat, up to `rounds` coats.

        What a first look took for one text may leave the end of a line standing. The image itself where there is no text.
        """
        painted: list[Box] = []
        for _ in range(rounds):
            boxes = self.find(image)
            if not boxes:
                break
            image = paint_over(image, boxes)
            painted += boxes
        return image, painted

    def _legible(self, pixels: np.ndarray, box: Box) -> bool:
        """Whether characters can be made out in the box, read from left to right and, unless it is wide, upwards and downwards."""
        crop = pixels[box.top : box.bottom, box.left : box.right]
        turns = (0,) if crop.shape[1] > 1.5 * crop.shape[0] else (0, 1, 3)
        return any(self._reads(np.rot90(crop, turn)) for turn in turns)

    def _reads(self, line: np.ndarray) -> bool:
        """Whether the recogniser is confident of what it reads in one line. One character alone must also have the shape of one."""
        import cv2

        height, width = line.shape[0], min(line.shape[1], READ * line.shape[0])
        way = cv2.INTER_AREA if height > LINE else cv2.INTER_CUBIC
        resized = cv2.resize(np.ascontiguousarray(line[:, :width]), (max(LINE // 3, -(-LINE * width // height)), LINE), interpolation=way)
        batch = np.ascontiguousarray((resized.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None])
        confidences = characters(self._recogniser.run(None, {self._recogniser.get_inputs()[0].name: batch})[0][0])
        if len(confidences) == 1:
            return width <= 1.2 * height and confidences[0] >= LEGIBLE_ALONE
        return len(confidences) > 1 and confidences.mean() >= LEGIBLE

    def _at(self, pixels: np.ndarray, scale: float) -> Iterator[tuple[float, float, float, float, float]]:
        """The boxes seen at one scale, in pixels of the image."""
        import cv2

        height, width = (max(1, round(size * scale)) for size in pixels.shape[:2])
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        resized = cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=way) if scale != 1 else pixels
        for top in _starts(height):
            for left in _starts(width):
                tile = resized[top : top + TILE, left : left + TILE]
                for box in self._in_tile(tile, scale * max(1.0, max(pixels.shape[:2]) / 512)):
                    yield ((left + box[0]) / scale, (top + box[1]) / scale, (left + box[2]) / scale, (top + box[3]) / scale, box[4])

    def _in_tile(self, tile: np.ndarray, unit: float) -> Iterator[tuple[float, float, float, float, float]]:
        """The boxes in one tile, in its pixels; `unit` is how many of them are one pixel of SURE."""
        import cv2

        height, width = tile.shape[:2]
        below, beside = -height % STRIDE, -width % STRIDE
        padded = cv2.copyMakeBorder(np.ascontiguousarray(tile), 0, below, 0, beside, cv2.BORDER_REPLICATE)
        batch = np.ascontiguousarray((padded.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None])
        sure = self._detector.run(None, {self._detector.get_inputs()[0].name: batch})[0][0, 0, :height, :width]
        count, names, stats, _ = cv2.connectedComponentsWithStats((sure > self.threshold).astype(np.uint8), connectivity=8)
        for name in range(1, count):
            left, top, wide, high = (int(value) for value in stats[name, :4])
            inside = np.s_[top : top + high, left : left + wide]
            score = float(sure[inside][names[inside] == name].mean())
            # The network marks a text shrunken in proportion to its area over its perimeter (section 3.4 of the paper): let out again.
            out = 1.6 * wide * high / (2 * (wide + high)) + 1
            short = (min(wide, high) + 2 * out) / unit
            if min(wide, high) >= 3 and score >= self.min_score and short <= LARGEST:
                yield left - out, top - out, left + wide + out, top + high + out, score


def characters(probabilities: np.ndarray) -> np.ndarray:
    """The confidence of each character on the best path through a recogniser's output (steps x classes), its blanks and spaces left out.

    Class 0 is the blank and the last one the space; a class that repeats without a blank between is one character (Graves et al.,
    "Connectionist temporal classification", ICML 2006, section 3.1).
    """
    path = probabilities.argmax(axis=1)
    starts = (path != np.concatenate([[0], path[:-1]])) & (path != 0) & (path != probabilities.shape[1] - 1)
    return probabilities.max(axis=1)[starts]


def scales(height: int, width: int) -> list[float]:
    """The sizes at which an image is looked at, as factors of its own: the first shows the smallest letters, each next half of it.

    Small images are enlarged, because letters of 10 pixels are at the edge of what the network sees.
    """
    side = max(height, width)
    first = 2.0 if side <= 128 else 1.5 if side <= 400 else 1.25 if side <= 640 else 1.0
    return [first / 2**step for step in range(8) if step < 2 or side * first / 2**step >= 512]


def grow(box: Box, height: int, width: int) -> Box:
    """The box with a rim of a sixth of its short side and 2 pixels more, inside the image: what is painted."""
    rim = 2 + min(box.right - box.left, box.bottom - box.top) // 6
    return Box(max(0, box.left - rim), max(0, box.top - rim), min(width, box.right + rim), min(height, box.bottom + rim), box.score)


def paint_over(image: np.ndarray, boxes: list[Box]) -> np.ndarray:
    """A copy with every box, grown, of one colour: the median of a ring around it that no box covers, or zero where nothing is left."""
    height, width = image.shape[:2]
    places = [grow(box, height, width) for box in boxes]
    covered = np.zeros((height, width), bool)
    for place in places:
        covered[place.top : place.bottom, place.left : place.right] = True
    painted = image.copy()
    for place in places:
        reach = max(3, min(place.right - place.left, place.bottom - place.top) // 4)
        near = np.s_[max(0, place.top - reach) : place.bottom + reach, max(0, place.left - reach) : place.right + reach]
        ring = image[near][~covered[near]]
        painted[place.top : place.bottom, place.left : place.right] = np.median(ring, axis=0).astype(np.uint8) if len(ring) else 0
    return painted


def merge(boxes: list[Box]) -> list[Box]:
    """The boxes, those that share more than half of the smaller one made one, sorted from top to bottom and left to right."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda of: (of.right - of.left) * (of.bottom - of.top)):
        for other in [of for of in kept if _shared(of, box) > 0.5]:
            kept.remove(other)
            box = Box(
                min(box.left, other.left),
                min(box.top, other.top),
                max(box.right, other.right),
                max(box.bottom, other.bottom),
                max(box.score, other.score),
            )
        kept.append(box)
    return sorted(kept, key=lambda of: (of.top, of.left, of.bottom, of.right))


def _shared(one: Box, other: Box) -> float:
    """Area in both, as a share of the smaller."""
    wide = min(one.right, other.right) - max(one.left, other.left)
    high = min(one.bottom, other.bottom) - max(one.top, other.top)
    areas = [(of.right - of.left) * (of.bottom - of.top) for of in (one, other)]
    return max(wide, 0) * max(high, 0) / max(min(areas), 1)


def _doubtful(box: Box, unit: float) -> bool:
    """Whether the box must be read; `unit` is how many pixels of the image are one of SURE."""
    short = min(box.right - box.left, box.bottom - box.top) / unit
    return box.score < next((score for side, score in SURE if short <= side), SURE[-1][1])


def _starts(size: int) -> list[int]:
    """Where tiles begin along a side: at equal steps, none of them leaving less than OVERLAP to its neighbour."""
    count = 1 if size <= TILE else -(-(size - OVERLAP) // (TILE - OVERLAP))
    return [round(number * (size - TILE) / (count - 1)) for number in range(count)] if count > 1 else [0]


def _open(name: str) -> Any:
    """A network that rapidocr carries, on one thread. rapidocr itself is not imported: it would log, and download what it misses."""
    import onnxruntime

    package = find_spec("rapidocr")
    path = Path(package.origin).parent / "models" / name if package and package.origin else None
    if path is None or not path.is_file():
        raise SynthmillError(f"the text detector {name} is missing from the package rapidocr: install what requirements.lock names again")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
