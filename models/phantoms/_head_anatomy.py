"""The anatomy of the head phantom: one patient's skull and brain, and the tumour that may grow in it.

Lengths in mm. x from the midline, positive to the patient's left, which is image right; y downwards, towards the back of the head, from the
middle of the skull. Slices are axial, their level counted upwards from the foramina of Monro.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

LEVELS = (0.0, 40.0)
"""Lowest and highest slice: through the basal ganglia, and through the centrum semiovale."""
SIDES = {"right": -1, "left": 1}


@dataclass(frozen=True)
class Head:
    half_width: float  # of the cavity of the skull at level 0
    half_length: float
    egg: float  # how much wider the skull is behind than in front
    lumps: np.ndarray  # amplitude and phase of the outline's third to sixth harmonic
    skull: float  # thickness
    scalp: float
    marrow: float  # share of fatty marrow in the diploe
    atrophy: float  # 0 to 1: widens sulci, ventricles and the space around the brain
    ventricles: float  # scale of their calibre
    asymmetry: float  # of the two lateral ventricles' calibre
    cortex: float  # thickness of the grey matter
    deep: np.ndarray  # jitter of the deep nuclei: 4 nuclei x 2 sides x (x, y, size)
    pineal_calcified: bool
    plexus_calcified: bool
    sulci: list[dict[str, Any]]  # on the convexity
    medial: list[dict[str, Any]]  # off the interhemispheric fissure
    fissure: np.ndarray  # amplitude and phase of its meander


@dataclass(frozen=True)
class Tumour:
    """A glioma about (`x`, `y`), an ellipse with a wavy edge; `kind` is `ring` (an enhancing rim about a necrotic core) or `solid`.

    `oedema`: how far (mm) the white matter around it is swollen; `push`: the share of its area by which it displaces brain, the rest having
    been brain once; `reach` (mm): where displacement ends.
    """

    kind: str
    side: str
    x: float
    y: float
    radius_x: float
    radius_y: float
    waves: tuple[float, float, float, float]
    rim: float
    oedema: float
    push: float
    reach: float

    def distance(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Distance from the wavy edge, mm, negative inside; exact for a circle, a fair estimate otherwise."""
        dx, dy = (x - self.x) / self.radius_x, (y - self.y) / self.radius_y
        bearing = np.arctan2(dy, dx)
        edge = 1 + self.waves[0] * np.cos(2 * bearing + self.waves[1]) + self.waves[2] * np.cos(3 * bearing + self.waves[3])
        return (np.hypot(dx, dy) - edge) * np.sqrt(self.radius_x * self.radius_y)


def draw_head(rng: np.random.Generator) -> Head:
    """An adult. The cavity is 136 to 152 mm wide and 164 to 184 mm long; cortex 2.6 to 3.1 mm thick, where
    Fischl and Dale (PNAS 2000;97:11050) found 1 to 4.5 mm, 2.5 mm on average: ours is cut obliquely as often as not."""
    u = rng.uniform
    atrophy = u(0, 1)
    return Head(
        half_width=u(68, 76),
        half_length=u(82, 92),
        egg=u(0.05, 0.12),
        lumps=np.stack([u(0, 1, 4) * [0.006, 0.006, 0.003, 0.002], u(0, 2 * np.pi, 4)], -1),
        skull=u(5.5, 8.0),
        scalp=u(4.5, 7.5),
        marrow=u(0.25, 0.8),
        atrophy=atrophy,
        ventricles=0.75 + 0.55 * atrophy + u(-0.1, 0.15),
        asymmetry=u(-0.1, 0.1),
        cortex=u(2.6, 3.1),
        deep=rng.normal(size=(4, 2, 3)) * [0.6, 0.8, 0.04],
        pineal_calcified=bool(u() < 0.6),
        plexus_calcified=bool(u() < 0.5),
        sulci=_convexity(rng),
        medial=_medial(rng),
        fissure=np.stack([u(0.3, 1.2, 3), u(0, 2 * np.pi, 3)], -1),
    )


def _convexity(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Sulci that enter from the convexity all around, 8 to 14 mm apart, 7 to 30 mm deep, some of them forked."""
    u, found = rng.uniform, []
    for side in (-1, 1):
        bearing = u(0.09, 0.15)
        while bearing < np.pi - 0.08:
            depth = float(np.clip(rng.normal(18.0, 6.0), 7, 30))
            fork = u(0.3, 0.7) if depth > 11 and u() < 0.7 else 0.0
            found.append(
                {
                    "bearing": side * bearing,  # from straight ahead, round either side
                    "depth": depth,
                    "lean": u(-0.45, 0.45),
                    "bends": rng.normal(0, 0.17, 8),
                    "width": u(0.45, 0.95),
                    "fork": fork,
                    "fork_angle": float(rng.choice([-1, 1])) * u(0.7, 1.3),
                    "fork_length": u(5, 12),
                }
            )
            bearing += u(0.115, 0.18)
    return found


def _medial(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Sulci that leave the interhemispheric fissure sideways, 7 to 13 mm apart."""
    u, found = rng.uniform, []
    for side in (-1, 1):
        y = -76 + u(0, 8)
        while y < 80:
            found.append(
                {"side": side, "y": y, "depth": u(5, 17), "lean": u(-0.5, 0.5), "bends": rng.normal(0, 0.2, 8), "width": u(0.4, 0.8)}
            )
            y += u(7, 13)
    return found


def scale_at(level: float) -> float:
    """How much smaller the skull is at a level than at level 0: the vault is an ellipsoid about 85 mm high."""
    return float(np.sqrt(1 - (level / 88) ** 2))


def outline(head: Head, level: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far out a point lies: 1 on the inner table of the skull, 0 at its middle."""
    half_width, half_length = head.half_width * scale_at(level), head.half_length * scale_at(level)
    v = y / half_length
    u = x / (half_width * (1 + head.egg * np.clip(v, -1.2, 1.2) - 0.04 * v * v))
    rho = (np.abs(u) ** 2.2 + np.abs(v) ** 2.2) ** (1 / 2.2)
    bearing = np.arctan2(u, -v)
    for k, (amplitude, phase) in enumerate(head.lumps.tolist()):  # plain floats leave arrays in single precision
        rho = rho * (1 + amplitude * np.cos((k + 3) * bearing + phase))
    return rho


def edge_of(head: Head, level: float, bearings: np.ndarray, inside: float) -> np.ndarray:
    """Points x (x, y), `inside` mm within the inner table, at bearings counted from straight ahead."""
    direction = np.stack([np.sin(bearings), -np.cos(bearings)], -1)
    r = np.full(len(bearings), 75.0)
    for _ in range(3):
        r /= outline(head, level, *(r[:, None] * direction).T)
    return (r - inside)[:, None] * direction


def bone_thickness(head: Head, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Thicker in front and behind than at the temples."""
    return head.skull * (0.85 + 0.35 * y * y / (x * x + y * y + 1))


VENTRICLES = {
    0.0: [(17, -36, 1.6), (11, -28, 4.2), (4.5, -15, 2.6), (8, 4, -6), (16, 25, 3.2), (25, 35, 5.0), (26, 48, 1.4)],
    12.0: [(15, -36, 2.4), (11, -28, 4.8), (6.5, -12, 3.8), (8, 4, 3.2), (14, 20, 3.8), (23, 33, 4.2), (25, 44, 1.2)],
    21.0: [(13, -28, 1.0), (12, -20, 2.8), (11, -8, 3.4), (12, 5, 3.2), (15, 17, 2.6), (18, 24, 1.2), (20, 30, -1.5)],
    28.0: [(13, -16, -1.0), (13, -11, 0.9), (13, -4, 1.5), (13, 3, 1.5), (14, 10, 0.7), (15, 14, -1), (16, 18, -2)],
    33.0: [(13, -14, -3), (13, -10, -3), (13, -4, -3), (13, 3, -3), (14, 10, -3), (15, 14, -3), (16, 18, -3)],
}
"""The lateral ventricle from its frontal to its occipital horn, by level: axis (x, y) and radius; below 0 it is not met."""
GENU, SPLENIUM = ([-27.0, -40.0, -34.0, 0.0], [34.0, 32.0, 26.0, 0.0])
CALLOSAL_LEVELS = [0.0, 12.0, 21.0, 27.0]


def callosum(level: float) -> tuple[float, float]:
    """y of the fissure's ends before and behind the corpus callosum; both 0 above it."""
    return float(np.interp(level, CALLOSAL_LEVELS, GENU)), float(np.interp(level, CALLOSAL_LEVELS, SPLENIUM))


def ventricle_axis(head: Head, level: float, side: int) -> np.ndarray:
    """Nodes x (x, y, radius) of a lateral ventricle, x counted from the midline."""
    levels = list(VENTRICLES)
    nodes = np.array([VENTRICLES[key] for key in levels], float)
    at = np.stack([[np.interp(level, levels, nodes[:, i, j]) for j in range(3)] for i in range(nodes.shape[1])])
    calibre = head.ventricles * (1 + side * head.asymmetry)
    at[:, 2] = np.where(at[:, 2] > 0, at[:, 2] * calibre, at[:, 2])
    return at * [1.0, head.half_length / 87, 1.0]


def curve(start: np.ndarray, heading: float, length: float, bends: np.ndarray, step: float) -> np.ndarray:
    """Points x (x, y), `step` mm apart, along a line that bends as it goes."""
    n = max(2, int(np.ceil(length / step)))
    turns = np.interp(np.linspace(0, len(bends) - 1, n), np.arange(len(bends)), bends)
    headings = heading + np.cumsum(turns) * (8 / n)
    steps = step * np.stack([np.cos(headings), np.sin(headings)], -1)
    return start + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, 0)])


def draw_tumour(rng: np.random.Generator, head: Head, level: float) -> Tumour:
    """One tumour in a hemisphere, of 18 to 38 mm mean diameter, clear of the midline and of the skull."""
    u = rng.uniform
    size, squash = u(9, 19), u(0.85, 1.18)
    radius_x, radius_y = size * squash, size / squash
    while True:
        side = ("right", "left")[rng.integers(2)]
        x, y = SIDES[side] * u(20, 50), u(-55, 55)
        rim = outline(head, level, np.array([x + np.sign(x) * (radius_x + 7)]), np.array([y + np.sign(y) * (radius_y + 5)]))[0]
        if rim < 1.0 and abs(x) > radius_x + 6:
            break
    waves = (u(0, 0.1), u(0, 2 * np.pi), u(0, 0.1), u(0, 2 * np.pi))
    kind = str(rng.choice(["ring", "solid"], p=[0.65, 0.35]))
    return Tumour(kind, side, float(x), y, radius_x, radius_y, waves, u(0.2, 0.36) * size, u(6, 20), u(0.7, 1.0), 35 + 2 * size)
