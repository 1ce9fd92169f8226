"""Text burned into real images, so that a search for it can be judged: every letter drawn is known to the pixel.

Sizes are heights of a capital H as it was rasterised, in pixels: rows that hold at least half of its
fullest ink. A contrast is the
difference between the ink and the mean of what the text's own box showed before.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

FONTS = {
    "DejaVu Sans": "DejaVuSans.ttf",
    "DejaVu Sans Bold": "DejaVuSans-Bold.ttf",
    "DejaVu Sans Mono": "DejaVuSansMono.ttf",
    "DejaVu Serif": "DejaVuSerif.ttf",
    "STIX": "STIXGeneral.ttf",
    "Aileron": None,
    "Hershey Simplex": cv2.FONT_HERSHEY_SIMPLEX,
    "Hershey Plain": cv2.FONT_HERSHEY_PLAIN,
    "Hershey Duplex": cv2.FONT_HERSHEY_DUPLEX,
}
"""matplotlib's TrueType files, Pillow's own font (None), and OpenCV's stroked ones."""

STYLES = ("full", "grey 80", "grey 40", "translucent", "outlined", "plate")
"""White or black, whichever is farther; 80 or 40 grey levels off; white or black at half opacity; white with a black edge; on a bar."""

PLACES = ("corner", "edge", "inside")

NAMES = ("DOE JOHN", "Maria Schmidt", "O'Brien, Kate", "MUELLER^HANS", "Nguyen Thi Lan", "GARCIA LOPEZ, ANA", "Smith", "KOWALSKI")
SHORT = ("L 12:40", "AP", "ID 7", "R 08:15", "No 31", "M 54Y", "ERECT", "F/62")


@dataclass(frozen=True)
class Drawn:
    """One text in one image. `box`: left, top, right, bottom; `ink`: bool H x W, where a letter covers half a pixel or more;
    `contrast`: mean grey levels, without sign, between the ink and what the box showed before; `texture`: that one's standard deviation."""

    text: str
    font: str
    height: int
    style: str
    place: str
    turned: bool
    box: tuple[int, int, int, int]
    ink: np.ndarray
    contrast: float
    texture: float


def draw(
    image: np.ndarray,
    rng: np.random.Generator,
    height: int,
    style: str,
    *,
    fonts: tuple[str, ...] = tuple(FONTS),
    text: str | None = None,
    place: str | None = None,
    turned: bool | None = None,
) -> tuple[np.ndarray, Drawn]:
    """A copy of the image (uint8, H x W or H x W x 3) with text of `height` pixels, and what was drawn. What is not given is random.

    Raises ValueError for a text that does not fit into the image.
    """
    place = place or str(rng.choice(PLACES))
    turned = bool(rng.random() < 0.2) if turned is None else turned
    for _ in range(200):
        said, font = text or compose(rng), str(rng.choice(fonts))
        mask = rasterise(said, font, height)
        if turned:
            mask = np.rot90(mask, rng.choice([1, 3]))
        pad = max(1, height // 6) if style in ("plate", "outlined") else 0
        mask = np.pad(mask, pad)
        if mask.shape[0] <= image.shape[0] and mask.shape[1] <= image.shape[1]:
            break
    else:
        raise ValueError(f"no text of {height} pixels fits into an image of {image.shape[1]} x {image.shape[0]}")
    top, left = _corner(rng, place, image.shape[:2], mask.shape)
    window = np.s_[top : top + mask.shape[0], left : left + mask.shape[1]]
    before = image[window].astype(np.float32)
    burned = image.copy()
    burned[window] = np.rint(_burn(before, mask, style, height, rng)).clip(0, 255)
    ink = np.zeros(image.shape[:2], bool)
    ink[window] = mask >= 0.5
    contrast = abs(float(burned[ink].mean()) - float(burned[window][mask < 0.1].mean() if style == "plate" else before.mean()))
    box = (left + pad, top + pad, left + mask.shape[1] - pad, top + mask.shape[0] - pad)
    return burned, Drawn(said, font, height, style, place, turned, box, ink, contrast, 0.0 if style == "plate" else float(before.std()))


def compose(rng: np.random.Generator) -> str:
    """A name, a date, a number of a patient or a study, two of these on a line, or something short."""
    day, month, year = rng.integers(1, 29), rng.integers(1, 13), rng.integers(1930, 2025)
    kinds = (
        lambda: str(rng.choice(NAMES)),
        lambda: str(
            rng.choice([f"{day:02d}.{month:02d}.{year}", f"{year}-{month:02d}-{day:02d}", f"DOB {day:02d}/{month:02d}/{year % 100:02d}"])
        ),
        lambda: f"ID: {rng.integers(10**6, 10**8)}",
        lambda: f"{rng.choice(NAMES)}  {day:02d}/{month:02d}/{year}",
        lambda: str(rng.choice(SHORT)),
    )
    return kinds[rng.integers(len(kinds))]()


def rasterise(text: str, font: str, height: int) -> np.ndarray:
    """float32 coverage 0 to 1 of the text, cut to its ink; a capital H of it is `height` rows."""
    return _trim(_render(text, font, _scale(font, height)))


@cache
def _scale(font: str, height: int) -> float:
    """The size of the font, in its own units, at which a capital H has `height` rows, or the most below that where hinting skips it.

    The middle one of those that do: never larger, so that no font flatters the recall.
    """
    stroked = isinstance(FONTS[font], int)
    start, step = (height / 25, 0.01) if stroked else (height, 0.25)
    sizes = [start + step * number for number in range(int(2.2 * start / step))]
    heights = [capital_height(_render("H", font, size)) for size in sizes]
    best = max(of for of in heights if of <= height)
    fit = [size for size, of in zip(sizes, heights, strict=True) if of == best]
    return fit[len(fit) // 2]


def capital_height(mask: np.ndarray) -> int:
    return int((mask.max(axis=1) >= mask.max() / 2).sum())


def _render(text: str, font: str, size: float) -> np.ndarray:
    kind = FONTS[font]
    if isinstance(kind, int):
        thickness = max(1, round(size * 25 / 12))
        (width, rise), below = cv2.getTextSize(text, kind, size, thickness)
        canvas = np.zeros((rise + 2 * below + 4 * thickness + 4, width + 4 * thickness + 8), np.uint8)
        cv2.putText(canvas, text, (2 * thickness + 2, rise + 2 * thickness + 2), kind, size, 255, thickness, cv2.LINE_AA)
        return canvas.astype(np.float32) / 255
    face = _face(kind, size)
    left, top, right, bottom = face.getbbox(text)
    canvas = Image.new("L", (int(right - left) + 8, int(bottom - top) + 8))
    ImageDraw.Draw(canvas).text((4 - left, 4 - top), text, fill=255, font=face)
    return np.asarray(canvas, np.float32) / 255


@cache
def _face(file: str | None, size: float) -> ImageFont.FreeTypeFont:
    if file is None:
        return ImageFont.load_default(size)
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / file), size)


def _trim(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero((mask > 0.1).any(axis=1)), np.flatnonzero((mask > 0.1).any(axis=0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _corner(rng: np.random.Generator, place: str, image: tuple[int, int], text: tuple[int, int]) -> tuple[int, int]:
    """Top and left of the text: within 6 pixels of a corner, within 2 of one side, or anywhere."""
    free = [image[0] - text[0], image[1] - text[1]]
    anywhere = [int(rng.integers(size + 1)) for size in free]
    near = [int(rng.integers(7 if place == "corner" else 3)) for _ in free]
    pinned = [min(gap, size) if rng.random() < 0.5 else max(size - gap, 0) for gap, size in zip(near, free, strict=True)]
    if place == "corner":
        return pinned[0], pinned[1]
    if place == "edge":
        side = rng.integers(2)
        anywhere[side] = pinned[side]
    return anywhere[0], anywhere[1]


def _burn(before: np.ndarray, mask: np.ndarray, style: str, height: int, rng: np.random.Generator) -> np.ndarray:
    """What the window shows with the text in it, float."""
    mean = float(before.mean())
    alpha = mask[..., None] if before.ndim == 3 else mask
    far = 255.0 if mean < 127.5 else 0.0
    if style == "full":
        ink = far
    elif style.startswith("grey"):
        step = float(style.split()[1])
        # Each side that has room for the whole step; there always is one.
        ink = mean + step * rng.choice([sign for sign in (-1, 1) if 0 <= mean + sign * step <= 255])
    elif style == "translucent":
        ink, alpha = far, alpha / 2
    elif style == "outlined":
        edge = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(1, height // 12) + 1,) * 2))
        before, ink = before * (1 - (edge[..., None] if before.ndim == 3 else edge)), 255.0
    elif style == "plate":
        ink = float(rng.choice([0, 255]))
        before = np.full_like(before, 255 - ink)
    else:
        raise ValueError(f"a text cannot be {style!r}: the styles are {', '.join(STYLES)}")
    return before * (1 - alpha) + ink * alpha
