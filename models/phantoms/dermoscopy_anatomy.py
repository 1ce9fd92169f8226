"""The anatomy of the dermoscopy phantom: skin, hair, and a lesion whose outline, borders, colours and structures are drawn at random.

Lengths in mm from the lesion's centre. Angles are those of the lesion's own frame.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from models.phantoms.canvas import Spot

COLOURS = ("light-brown", "dark-brown", "black", "blue-grey", "red", "white")
STRUCTURES = ("network", "dots", "globules", "streaks", "structureless")
"""The six colours and five structures that the ABCD rule counts."""
BEARINGS = np.arange(360) * 2 * np.pi / 360
SEGMENTS = 8
"""The ABCD rule looks at the border in eighths."""
ROUND = 0.1
"""Share of its area by which a lesion may miss its mirror image and still count as symmetrical about that axis."""


@dataclass(frozen=True)
class Skin:
    """Pigment and blood as light meets them (absorbance, in red and in green), how uneven they are, and the hairs that lie above."""

    melanin: float
    blood: float
    mottle: float
    furrows: float
    furrow_angle: float
    hair_melanin: float
    hairs_x: np.ndarray  # hairs x points
    hairs_y: np.ndarray
    hair_radius: np.ndarray


@dataclass(frozen=True)
class Lesion:
    """`outline`: distance of the edge from the centre at each degree. `softness`: width (mm) over which pigment ends, at each degree.
    `regions` are areas of a colour of their own; `spots` are dots, globules, cysts and openings."""

    outline: np.ndarray
    softness: np.ndarray
    abrupt: np.ndarray  # of the eighths
    pigment: float
    network: float
    network_spacing: float
    irregular: float  # how warped and uneven the network is
    clumps: float  # how uneven the pigment is
    regions: list[Spot]
    spots: list[Spot]
    colours: tuple[str, ...]
    structures: tuple[str, ...]

    def edge(self, bearing: Any) -> np.ndarray:
        return np.interp(bearing, np.append(BEARINGS, 2 * np.pi), np.append(self.outline, self.outline[0]), period=2 * np.pi)

    @property
    def area(self) -> float:
        return float(0.5 * np.square(self.outline).sum() * 2 * np.pi / 360)

    @property
    def perimeter(self) -> float:
        x, y = self.outline * np.cos(BEARINGS), self.outline * np.sin(BEARINGS)
        return float(np.hypot(x - np.roll(x, 1), y - np.roll(y, 1)).sum())

    @property
    def diameter(self) -> float:
        """The greatest distance between two points of the edge."""
        x, y = self.outline[::2] * np.cos(BEARINGS[::2]), self.outline[::2] * np.sin(BEARINGS[::2])
        return float(np.hypot(x[:, None] - x, y[:, None] - y).max())

    @property
    def mismatch(self) -> tuple[float, float]:
        """Share of the area that misses its mirror image about each of the two `axes`."""
        return self._missed[self.axes[0] // 3], self._missed[self.axes[1] // 3]

    @property
    def axes(self) -> tuple[int, int]:
        """Degrees of the two axes at right angles about which the shape misses its mirror image least, in sum."""
        best = 3 * int(np.add(self._missed[:30], self._missed[30:]).argmin())
        return best, best + 90

    @cached_property
    def _missed(self) -> list[float]:
        """The same for an axis at each third degree: mirrored about that at a degrees, the edge at b degrees is that at 2a - b."""
        square, bearing = np.square(self.outline), np.arange(360)
        return [float(np.abs(square - square[(2 * a - bearing) % 360]).sum() / square.sum() / 2) for a in range(0, 180, 3)]

    @property
    def score(self) -> dict[str, Any]:
        """The ABCD rule of dermoscopy: 1.3 A + 0.1 B + 0.5 C + 0.5 D; below 4.75 benign, above 5.45 highly suspicious of melanoma (W.
        Stolz et al., Eur. J. Dermatol. 4, 1994, 521; F. Nachbar et al., J. Am. Acad. Dermatol. 30, 1994, 551). A counts the axes about
        which either the shape is not symmetrical or the colours are not, because a region lies off the axis."""
        size = np.sqrt(self.area / np.pi)
        a = 0
        for degrees, missed in zip(self.axes, self.mismatch, strict=True):
            sin, cos = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
            a += missed > ROUND or any(abs(region.y * cos - region.x * sin) > 0.25 * size for region in self.regions)
        b, c, d = int(self.abrupt.sum()), len(self.colours), len(self.structures)
        return {"asymmetry": a, "border": b, "colours": c, "structures": d, "total": round(1.3 * a + 0.1 * b + 0.5 * c + 0.5 * d, 1)}


def draw_skin(rng: np.random.Generator) -> Skin:
    """Skin of any of Fitzpatrick's types, pale ones more often, as such clinics see; hair in about four pictures of ten."""
    u = rng.uniform
    melanin = 0.03 * 20 ** (u() ** 1.7)
    count = int(rng.choice([0, 4, 14], p=[0.6, 0.25, 0.15])) and int(rng.integers(2, 22))
    along = np.linspace(-0.5, 0.5, 24)
    comb, n = u(0, np.pi), max(count, 1)
    angle, bend, length = (
        comb + 0.5 * rng.standard_normal((n, 1)),
        u(-0.35, 0.35, size=(n, 1)),
        u(4.0, 16.0, size=(n, 1)),
    )
    x, y = along * length, bend * length * (along**2 - 0.08 * np.cos(9 * along + bend * 20))
    cos, sin = np.cos(angle), np.sin(angle)
    return Skin(
        melanin=melanin,
        blood=u(0.08, 0.32),
        mottle=u(0.5, 1.2),
        furrows=u(0.0, 0.08),
        furrow_angle=u(0, np.pi),
        hair_melanin=u(0.6, 4.0),
        hairs_x=(x * cos - y * sin + u(-8, 8, size=(n, 1)))[:count],
        hairs_y=(x * sin + y * cos + u(-8, 8, size=(n, 1)))[:count],
        hair_radius=(u(0.028, 0.055, size=(n, 1)) * (1 - 0.5 * (along + 0.5)))[:count],
    )


@dataclass(frozen=True)
class Kind:
    """What tells one diagnosis from another: ranges to draw from."""

    radius: tuple[float, float]
    length: tuple[float, float]  # long over short axis
    rough: tuple[float, float]  # of the outline
    abrupt: tuple[int, int]  # eighths of the border
    pigment: tuple[float, float]
    network: tuple[float, float]
    irregular: float
    clumps: tuple[float, float]
    globules: tuple[int, int]
    extra: tuple[int, int]  # colours beside the brown


KINDS = {
    "naevus": Kind((1.6, 3.4), (1.0, 1.4), (0.1, 0.4), (0, 3), (0.35, 0.8), (0.2, 0.6), 0.15, (0.05, 0.15), (0, 14), (0, 1)),
    "melanoma": Kind((2.3, 4.4), (1.0, 1.6), (0.6, 1.1), (3, 8), (0.5, 1.1), (0.3, 0.9), 0.9, (0.2, 0.4), (6, 26), (2, 4)),
    "seborrhoeic-keratosis": Kind((2.0, 4.2), (1.0, 1.5), (0.2, 0.6), (7, 8), (0.3, 0.7), (0.0, 0.0), 0.5, (0.1, 0.3), (0, 0), (0, 1)),
}


def draw_lesion(rng: np.random.Generator, label: str) -> Lesion:
    """A lesion: naevi score below 4.75 by the ABCD rule, melanomas above 5.45; the rule is not made for keratoses."""
    while True:
        lesion = _draw(rng, label, KINDS[label])
        total = lesion.score["total"]
        if label not in ("naevus", "melanoma") or (total < 4.75 if label == "naevus" else total > 5.45):
            return lesion


def _draw(rng: np.random.Generator, label: str, kind: Kind) -> Lesion:
    u = rng.uniform
    outline, streaks = _outline(rng, label, kind)
    abrupt = np.zeros(SEGMENTS, bool)
    abrupt[(np.arange(rng.integers(kind.abrupt[0], kind.abrupt[1] + 1)) + rng.integers(SEGMENTS)) % SEGMENTS] = True
    width = np.where(abrupt, 0.05, u(0.24, 0.45) * np.sqrt(outline.mean() / 2.5))
    softness = np.interp(BEARINGS, (np.arange(SEGMENTS) + 0.5) * 2 * np.pi / SEGMENTS, width, period=2 * np.pi)
    pigment, network = u(*kind.pigment), u(*kind.network)
    regions = _regions(rng, label, int(rng.integers(kind.extra[0], kind.extra[1] + 1)), outline)
    spots = _spots(rng, label, int(rng.integers(kind.globules[0], kind.globules[1] + 1)), outline)
    colours = {"light-brown", *(region.kind for region in regions)}
    if pigment > 0.5 or label == "melanoma":
        colours.add("dark-brown")
    seen = {"network": network > 0.25, "globules": any(s.kind == "globule" for s in spots), "dots": any(s.kind == "dot" for s in spots)}
    seen |= {"streaks": streaks, "structureless": any(r.kind in ("blue-grey", "white", "red") for r in regions)}
    return Lesion(
        outline=outline,
        softness=softness,
        abrupt=abrupt,
        pigment=pigment,
        network=network,
        network_spacing=u(0.26, 0.4),
        irregular=kind.irregular,
        clumps=u(*kind.clumps),
        regions=regions,
        spots=spots,
        colours=tuple(colour for colour in COLOURS if colour in colours),
        structures=tuple(structure for structure in STRUCTURES if seen[structure]),
    )


def _outline(rng: np.random.Generator, label: str, kind: Kind) -> tuple[np.ndarray, bool]:
    """Distance of the edge at each degree: an ellipse, waves that grow less with their number, and the spikes of streaks."""
    u = rng.uniform
    radius, length, rough = u(*kind.radius), np.sqrt(u(*kind.length)), u(*kind.rough)
    turned = BEARINGS - u(0, np.pi)
    edge = 1 / np.hypot(np.cos(turned) / length, np.sin(turned) * length)
    for k in range(2, 13):
        edge = edge * (1 + rough * 0.2 * rng.standard_normal() / k**0.9 * np.cos(k * BEARINGS + u(0, 2 * np.pi)))
    streaks = label == "melanoma" and u() < 0.5
    if streaks:
        middle, count = u(0, 2 * np.pi), int(rng.integers(5, 12))
        for at in middle + (np.arange(count) - count / 2) * 0.13 + u(-0.03, 0.03, size=count):
            away = np.abs(np.angle(np.exp(1j * (BEARINGS - at))))
            edge = edge + u(0.08, 0.2) * np.exp(-((away / 0.035) ** 2))
    return radius * np.maximum(edge, 0.35), streaks


def _regions(rng: np.random.Generator, label: str, count: int, outline: np.ndarray) -> list[Spot]:
    """Areas of other colours within the lesion."""
    u = rng.uniform
    choice = {"naevus": ["black", "red"], "melanoma": ["black", "blue-grey", "red", "white"], "seborrhoeic-keratosis": ["black", "white"]}
    kinds = rng.permutation(choice[label])[:count]
    found, first, size = [], u(0, 2 * np.pi), float(np.sqrt(np.square(outline).mean()))
    for k, kind in enumerate(kinds):
        bearing, off = first + 2 * np.pi * k / max(count, 3) + u(-0.2, 0.2), u(0.0, 0.1) if label == "naevus" else u(0.35, 0.6)
        off *= min(size, outline[int(np.degrees(bearing)) % 360])
        waves = (u(0, 0.25), u(0, 2 * np.pi), u(0, 0.25), u(0, 2 * np.pi))
        radius = size * u(0.24, 0.38)
        found.append(Spot(str(kind), off * np.cos(bearing), off * np.sin(bearing), radius, u(0.8, 1.25), u(0, np.pi), waves, u(0.8, 1.2)))
    return found


def _spots(rng: np.random.Generator, label: str, count: int, outline: np.ndarray) -> list[Spot]:
    """Dots and globules of pigment; milia-like cysts and comedo-like openings of a keratosis. Each lies inside the edge."""
    if label == "seborrhoeic-keratosis":
        sizes = {"cyst": (int(rng.integers(3, 14)), (0.07, 0.16)), "opening": (int(rng.integers(2, 12)), (0.09, 0.24))}
    else:
        dots = int(rng.integers(8, 30)) if label == "melanoma" else 0
        sizes = {"globule": (count, (0.07, 0.15)), "dot": (dots, (0.025, 0.05))}
    found = []
    for kind, (n, (small, large)) in sizes.items():
        for _ in range(n):
            bearing, off = rng.uniform(0, 2 * np.pi), 0.88 * np.sqrt(rng.uniform())
            far = off * outline[int(np.degrees(bearing)) % 360]
            waves = (rng.uniform(0, 0.15), rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.1), rng.uniform(0, 2 * np.pi))
            squash, angle, strength = rng.uniform(0.85, 1.18), rng.uniform(0, np.pi), rng.uniform(0.7, 1.2)
            place = far * np.cos(bearing), far * np.sin(bearing)
            found.append(Spot(kind, *place, rng.uniform(small, large), squash, angle, waves, strength))
    return found
