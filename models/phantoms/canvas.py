"""What phantoms in colour share: a grid of pixels, random textures, strokes of round section, and light that tissue absorbs.

Lengths in mm, x to the right and y downwards in the patient's own frame. The camera has three bands, red, green and blue.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import fft, ndimage

OXYGENATED = np.array([3200.0, 53236.0, 44480.0])
DEOXYGENATED = np.array([14677.0, 46592.0, 23389.0])
"""Molar extinction of haemoglobin, 1/(cm M), at 600, 540 and 460 nm, the middle of the camera's bands (S. Prahl, Optical absorption of
hemoglobin, Oregon Medical Laser Center, 1999)."""
MELANIN = ((np.array([600.0, 540.0, 460.0]) / 600.0) ** -3.33).astype(np.float32)
"""Absorption by melanin as a share of that in red: it goes with the wavelength to the power of -3.33 (S. L. Jacques, Optical properties
of biological tissues, Phys. Med. Biol. 58, 2013, R37)."""


def blood(saturation: float) -> np.ndarray:
    """Absorption of whole blood, 1/mm in the three bands, at 150 g of haemoglobin (64 500 g/mol) a litre."""
    return (np.log(10) * (saturation * OXYGENATED + (1 - saturation) * DEOXYGENATED) * 150 / 64500 / 10).astype(np.float32)


HAEMOGLOBIN = blood(0.8) / blood(0.8)[1]
"""Absorption by the blood of a capillary bed as a share of that in green."""


@dataclass(frozen=True)
class Canvas:
    """Patient coordinates of the pixels' centres, H x W, and how wide a pixel is. `mirror` is -1 where x runs leftwards in the image."""

    x: np.ndarray
    y: np.ndarray
    pixel: float
    turn: float
    centre: tuple[float, float]
    mirror: int

    @classmethod
    def of(cls, height: int, width: int, field: float, centre: tuple[float, float], turn: float = 0.0, mirror: int = 1) -> "Canvas":
        """A picture whose shorter side is `field` mm, with `centre` in its middle, turned by `turn` radians in the image plane."""
        pixel = field / min(height, width)
        down, across = (pixel * (np.arange(n) + 0.5 - n / 2) for n in (height, width))
        down, across = down[:, None], across[None, :]
        cos, sin = np.cos(turn), np.sin(turn)
        x, y = mirror * (across * cos + down * sin) + centre[0], down * cos - across * sin + centre[1]
        return cls(x.astype(np.float32), y.astype(np.float32), pixel, turn, centre, mirror)

    def place(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Column and row of points: the pixel in row r and column c covers c to c + 1 and r to r + 1."""
        height, width = self.x.shape
        x, y = self.mirror * (np.asarray(x) - self.centre[0]), np.asarray(y) - self.centre[1]
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        return (x * cos - y * sin) / self.pixel + width / 2, (x * sin + y * cos) / self.pixel + height / 2

    def point(self, x: float, y: float) -> list[float]:
        """The same for the truth: [column, row] as plain numbers."""
        return [plain(value) for value in self.place(x, y)]

    def size(self, length: float) -> float:
        return plain(length / self.pixel)

    def box(self, x: float, y: float, reach: float) -> tuple[slice, slice]:
        """The rows and columns within `reach` mm of a point: what is small is worked out there alone."""
        column, row = self.place(x, y)
        pixels = reach / self.pixel + 1
        return tuple(slice(max(0, int(at - pixels)), max(0, int(at + pixels) + 1)) for at in (row, column))

    def cover(self, inside: np.ndarray) -> np.ndarray:
        """How much of a pixel (0 to 1) lies within an edge that is `inside` mm away."""
        return np.clip(inside / self.pixel + 0.5, 0.0, 1.0)

    def spot(self, spot: "Spot", reach: float = 1.0) -> tuple[tuple[slice, slice], np.ndarray]:
        """A box of pixels that holds a spot `reach` times its size, and how far each is from its centre: 1 on its outline."""
        box = self.box(spot.x, spot.y, reach * spot.extent + self.pixel)
        dx, dy = self.x[box] - spot.x, self.y[box] - spot.y
        cos, sin = np.cos(spot.angle), np.sin(spot.angle)
        along, across = (dx * cos + dy * sin) / spot.squash, (dy * cos - dx * sin) * spot.squash
        bearing = np.arctan2(across, along)
        edge = 1 + spot.waves[0] * np.cos(2 * bearing + spot.waves[1]) + spot.waves[2] * np.cos(3 * bearing + spot.waves[3])
        return box, np.hypot(along, across) / (edge * spot.radius)

    def filled(self, far: np.ndarray, radius: float) -> np.ndarray:
        """How much of each pixel a spot covers. One smaller than a pixel covers what its area does."""
        return self.cover((1 - far) * radius) * min(1.0, np.pi * (radius / self.pixel) ** 2)


@dataclass(frozen=True)
class Spot:
    """An ellipse with a wavy edge: `radius` is that of the circle of its area (mm), `squash` squared the ratio of its axes, the first of
    which lies at `angle`; `waves` are amplitude and phase of the second and third harmonic of its edge; `strength` is about 1."""

    kind: str
    x: float
    y: float
    radius: float
    squash: float
    angle: float
    waves: tuple[float, float, float, float]
    strength: float

    @property
    def extent(self) -> float:
        """The farthest that its edge lies from its centre."""
        return self.radius * max(self.squash, 1 / self.squash) * (1 + self.waves[0] + self.waves[2])


class Texture:
    """A random pattern that repeats after `period` mm, mean 0 and deviation 1, whose power falls with frequency to the power of
    -2 `slope`. It holds nothing finer than `pixel` mm, so that it looks the same at every size."""

    def __init__(self, rng: np.random.Generator, period: float, pixel: float, slope: float = 1.5, knots: int = 256) -> None:
        self.period = period
        rows, columns = np.fft.fftfreq(knots)[:, None], np.fft.rfftfreq(knots)[None, :]
        frequency = np.hypot(rows, columns) * knots / period
        shape = np.maximum(frequency, 4 / period) ** -slope * (frequency > 0)
        waves = fft.rfft2(rng.standard_normal((knots, knots), dtype=np.float32)) * shape
        spread = fft.irfft2(waves, (knots, knots)).std()
        waves *= np.exp(-((frequency * pixel) ** 2)) / spread
        self.tile = fft.irfft2(waves, (knots, knots)).astype(np.float32)

    def at(self, x: np.ndarray, y: np.ndarray, zoom: float = 1.0, shift: float = 0.0) -> np.ndarray:
        """The pattern at points, made `zoom` times finer and moved by `shift` of its period, so that one tile gives several."""
        scale = zoom * len(self.tile) / self.period
        away = shift * len(self.tile)
        return ndimage.map_coordinates(self.tile, [y * scale + away, x * scale + 0.7 * away], order=1, mode="grid-wrap")


def strokes(canvas: Canvas, x: np.ndarray, y: np.ndarray, radius: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Curves of round section, N x S points of each with `radius` and whether it is `drawn`: the chord through the curve along the line
    of sight (mm, mean over the pixel's width), and the radius of the curve there, both H x W and 0 elsewhere.

    Where curves cross, the longer chord counts. A curve thinner than a pixel keeps its mean.
    """
    chord, wide = np.zeros((2, canvas.x.size), np.float32)
    columns, rows = canvas.place(x, y)
    ends = drawn[:, 1:] & drawn[:, :-1]
    from_x, from_y = columns[:, :-1][ends], rows[:, :-1][ends]
    step_x, step_y = columns[:, 1:][ends] - from_x, rows[:, 1:][ends] - from_y
    size = radius[:, 1:][ends] / canvas.pixel
    height, width = canvas.x.shape
    seen = (from_x > -4) & (from_x < width + 4) & (from_y > -4) & (from_y < height + 4)
    from_x, from_y, step_x, step_y, size = (each[seen] for each in (from_x, from_y, step_x, step_y, size))
    length = np.hypot(step_x, step_y) + 1e-9
    pieces = max(1, int(np.ceil(length.max(initial=0.0))))
    share = (np.arange(pieces) + 0.5) / pieces
    middle_x, middle_y = (from_x[:, None] + step_x[:, None] * share).ravel(), (from_y[:, None] + step_y[:, None] * share).ravel()
    ahead_x, ahead_y, size, half = (np.repeat(each, pieces) for each in (step_x / length, step_y / length, size, length / pieces / 2))
    reaches = np.ceil(size + 0.5).astype(int)
    for reach in np.unique(reaches):
        of = reaches == reach
        down, across = (each.ravel()[:, None] for each in np.mgrid[-reach : reach + 1, -reach : reach + 1])
        column, row = np.floor(middle_x[of]).astype(int) + across, np.floor(middle_y[of]).astype(int) + down
        dx, dy = column + 0.5 - middle_x[of], row + 0.5 - middle_y[of]
        off, along = np.abs(dy * ahead_x[of] - dx * ahead_y[of]), np.abs(dx * ahead_x[of] + dy * ahead_y[of])
        inside = (along < half[of] + 0.6) & (off < size[of] + 0.5) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        r = np.broadcast_to(size[of], off.shape)[inside]
        value = _segment(off[inside] + 0.5, r) - _segment(off[inside] - 0.5, r)
        where = (row * width + column)[inside]
        np.maximum.at(chord, where, (value * canvas.pixel).astype(np.float32))
        np.maximum.at(wide, where, (r * canvas.pixel).astype(np.float32))
    return chord.reshape(height, width), wide.reshape(height, width)


def _segment(t: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Integral from 0 to t of the chord 2 sqrt(r^2 - t^2) of a circle."""
    t = np.clip(t, -r, r)
    return t * np.sqrt(np.maximum(r * r - t * t, 0.0)) + r * r * np.arcsin(t / r)


def photograph(light: np.ndarray, noise: np.ndarray, strength: float) -> np.ndarray:
    """uint8 sRGB (IEC 61966-2-1) of linear light in which 1 is white, H x W x 3, with photon noise, whose variance goes with the light."""
    light = np.clip(light + strength * np.sqrt(np.maximum(light, 0.0) + 1e-4) * noise, 0.0, 1.0)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.power(np.maximum(light, 1e-6), 1 / 2.4) - 0.055)
    return np.rint(255 * encoded).astype(np.uint8)


def plain(value: Any) -> float:
    return round(float(value), 4)
