"""The anatomy of the chest phantom: what is drawn at random, and the outlines that follow from it.

Lengths in cm. x from the midline, positive to the patient's left, which is image right; y downwards from mid-thorax.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

SIDES = {"right": -1, "left": 1}
"""The patient's sides, and the sign of x on each."""


@dataclass(frozen=True)
class Heart:
    """The heart's outline: an ellipse about (`x`, `y`), its long axis turned by `angle` radians, apex down and to the patient's left."""

    x: float
    y: float
    long: float
    short: float
    angle: float

    @property
    def half_width(self) -> float:
        return float(np.hypot(self.long * np.cos(self.angle), self.short * np.sin(self.angle)))

    @property
    def half_height(self) -> float:
        return float(np.hypot(self.long * np.sin(self.angle), self.short * np.cos(self.angle)))

    def radius2(self, x: Any, y: Any) -> Any:
        """Squared radius of a point in the ellipse's own measure: below 1 inside, 1 on the outline."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        along, across = (x - self.x) * cos + (y - self.y) * sin, (y - self.y) * cos - (x - self.x) * sin
        return (along / self.long) ** 2 + (across / self.short) ** 2


@dataclass(frozen=True)
class Anatomy:
    """One patient. The heart is drawn twice, normal and enlarged, so that a label chooses and nothing else changes."""

    half_width: float  # of the thorax inside the ribs, at its widest
    apex: float  # y of the lungs' tops
    sulcus: float  # y of the costophrenic angles
    apex_x: float  # of a lung's top, from the midline
    medial: float  # half the width of the mediastinum
    dome_right: float  # y of the diaphragm's crests
    dome_left: float
    thickness: float  # of the trunk, front to back
    lung_depth: float
    wall: float  # of the chest, at the flank
    rib_first: float
    rib_spacing: float
    rib_tilt: float
    rib_radius: float
    clavicle_rise_right: float
    clavicle_rise_left: float
    vertebra: float
    spine_curve: float
    aortic_knob: float
    hila: float  # how dense hila and vessels are, about 1
    breast: float  # thickness; 0 for none
    stomach_gas: float  # height of the bubble; 0 for none
    normal_heart: Heart
    enlarged_heart: Heart
    texture: np.ndarray  # knots x knots, the mottle of the lungs
    vessels: np.ndarray  # 2 sides x 2 orders x bearings

    def lateral(self, v: Any) -> Any:
        """Distance of the lungs' outer edge from the midline, at `v` of the way from apex (0) to costophrenic angle (1)."""
        v = np.clip(v, 0.0, 1.0)
        return self.apex_x + (self.half_width - self.apex_x) * np.sqrt(v * (2 - v))

    def inner(self, v: Any) -> Any:
        """Distance of the lungs' inner edge from the midline, at `v` of the way down."""
        v = np.clip(v, 0.0, 1.0)
        return self.apex_x - (self.apex_x - self.medial) * np.sqrt(1 - np.square(np.square(np.square(1 - v))))

    def diaphragm(self, distance: Any, side: Any) -> Any:
        """y of the diaphragm at a distance from the midline on a side (-1 right, 1 left)."""
        top = np.where(side < 0, self.dome_right, self.dome_left)
        crest = 0.45 * self.half_width
        outwards = (distance - crest) / (self.half_width - crest)
        squared = outwards**2
        return top + np.where(outwards > 0, (self.sulcus - top) * squared * np.sqrt(np.abs(outwards)), 2.0 * squared)


@dataclass(frozen=True)
class Opacity:
    """A consolidation about (`x`, `y`): an ellipse with a wavy edge, on which its density is half of that at its centre.

    `strength`: the depth of lung (cm) filled at the centre; `waves`: amplitude and phase of the second and third harmonic of the edge.
    """

    side: str
    x: float
    y: float
    radius_x: float
    radius_y: float
    strength: float
    waves: tuple[float, float, float, float]


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """A patient. Sizes are those of adults; the cardiothoracic ratio is 0.39 to 0.475 (normal heart) and 0.55 to 0.66 (enlarged)."""
    u = rng.uniform
    half_width, height = u(12.2, 14.8), u(21.5, 26.5)
    apex = -height / 2 - 1.5
    sulcus = apex + height
    dome_right = sulcus - u(3.0, 5.2)
    dome_left = dome_right + u(0.5, 1.5)
    thickness = u(19.0, 25.0)
    ratios = u(0.39, 0.475), u(0.55, 0.66)
    right_share, angle, slimness = u(0.29, 0.34), u(0.55, 0.8), u(0.68, 0.76)
    normal, enlarged = (_heart(2 * half_width * ratio, right_share, angle, slimness, dome_left) for ratio in ratios)
    return Anatomy(
        half_width=half_width,
        apex=apex,
        sulcus=sulcus,
        apex_x=u(4.6, 5.6),
        medial=u(2.1, 2.7),
        dome_right=dome_right,
        dome_left=dome_left,
        thickness=thickness,
        lung_depth=thickness - u(6.5, 9.0),
        wall=u(2.0, 4.5),
        rib_first=apex + u(-0.8, 0.4),
        rib_spacing=u(0.082, 0.094) * height,
        rib_tilt=u(5.0, 7.5),
        rib_radius=u(0.55, 0.75),
        clavicle_rise_right=u(1.0, 3.5),
        clavicle_rise_left=u(1.0, 3.5),
        vertebra=u(2.2, 2.7),
        spine_curve=u(-0.5, 0.5),
        aortic_knob=u(1.3, 2.0),
        hila=u(0.6, 1.4),
        breast=u(1.0, 3.5) if u() < 0.5 else 0.0,
        stomach_gas=u(1.2, 2.4) if u() < 0.5 else 0.0,
        normal_heart=normal,
        enlarged_heart=enlarged,
        texture=rng.normal(size=(20, 20)),
        vessels=rng.normal(size=(2, 2, 40)),
    )


def _heart(width: float, right_share: float, angle: float, slimness: float, dome: float) -> Heart:
    """The heart that is `width` across, `right_share` of it right of the midline, resting on the left dome."""
    long = width / 2 / float(np.hypot(np.cos(angle), slimness * np.sin(angle)))
    half_height = long * float(np.hypot(np.sin(angle), slimness * np.cos(angle)))
    return Heart(x=width * (0.5 - right_share), y=dome + 0.8 - 0.72 * half_height, long=long, short=slimness * long, angle=angle)


def draw_opacities(rng: np.random.Generator, anatomy: Anatomy, heart: Heart) -> list[Opacity]:
    """One to three consolidations, each centred in a lung field: above the diaphragm and clear of the heart."""
    u, found = rng.uniform, []
    count = int(rng.choice([1, 2, 3], p=[0.6, 0.28, 0.12]))
    while len(found) < count:
        side, v, share = ("right", "left")[rng.integers(2)], u(0.15, 0.92), u(0.2, 0.85)
        x = SIDES[side] * (anatomy.medial + share * (anatomy.lateral(v) - anatomy.medial))
        y = anatomy.apex + v * (anatomy.sulcus - anatomy.apex)
        if y > anatomy.diaphragm(abs(x), SIDES[side]) - 1.0 or heart.radius2(x, y) < 1.3:
            continue
        radius, squash = u(2.2, 4.8), u(0.75, 1.33)
        waves = (u(0.0, 0.2), u(0.0, 2 * np.pi), u(0.0, 0.15), u(0.0, 2 * np.pi))
        found.append(Opacity(side, float(x), float(y), radius * squash, radius / squash, u(3.6, 8.5), waves))
    return found
