"""Line integrals of attenuation through the chest phantom, organ by organ. Lengths in cm, coordinates as in `chest_anatomy`.

mu at 60 keV is from NIST's tables (Hubbell and Seltzer, NISTIR 5632, table 4).
"""

from dataclasses import dataclass

import numpy as np

from models.phantoms.chest_anatomy import SIDES, Anatomy, Heart, Opacity

SOFT = 0.2048 * 1.05
LUNG = 0.2048 * 0.26
BONE = 0.3148 * 1.92
SPONGY = 0.85 * SOFT + 0.15 * BONE
"""Linear attenuation, 1/cm, at 60 keV: mass attenuation times density of skeletal muscle, of the same tissue at the density of inflated
lung (ICRU Report 46), of cortical bone; and of spongy bone, taken as 15 % bone in soft tissue."""
RIB_PAIRS = 9
FRONT, BACK = 9.0, -6.0
"""How far (cm) heart and spine lie before and behind the axis that a patient turns about."""


@dataclass(frozen=True)
class Rays:
    """Where the rays go: patient coordinates of a grid `scale` times finer than the output, whose pixel is `pixel` cm wide."""

    x: np.ndarray
    y: np.ndarray
    pixel: float
    scale: int

    def cover(self, inside: np.ndarray) -> np.ndarray:
        """How much of a ray's cell (0 to 1) lies within an edge that is `inside` cm away."""
        return np.clip(inside * (self.scale / self.pixel) + 0.5, 0.0, 1.0)

    def box(self, x: tuple[float, float] = (-np.inf, np.inf), y: tuple[float, float] = (-np.inf, np.inf)) -> tuple[slice, slice]:
        """The rows and columns that hold every ray within these bounds: what is small is worked out there alone."""
        return _span(self.y[:, 0], self.y[:, -1], y), _span(self.x[0], self.x[-1], x)


def _span(one_end: np.ndarray, other_end: np.ndarray, bounds: tuple[float, float]) -> slice:
    hit = np.flatnonzero((np.maximum(one_end, other_end) >= bounds[0]) & (np.minimum(one_end, other_end) <= bounds[1]))
    return slice(hit[0], hit[-1] + 1) if len(hit) else slice(0, 0)


def line_integrals(a: Anatomy, heart: Heart, opacities: list[Opacity], rays: Rays, yaw: float) -> tuple[np.ndarray, np.ndarray]:
    """The line integral of attenuation along each ray, and how much of its cell is lung field (the heart's shadow is not).

    `yaw` (radians) turns the patient about the vertical, which moves heart and spine to opposite sides.
    """
    front, back = rays.x - FRONT * yaw, rays.x - BACK * yaw
    depth, field = _lungs(a, rays)
    shadow = heart.radius2(front, rays.y)
    # The heart fills most of the lung's depth: what is left is behind it.
    depth *= (1 - 0.85 * _dome(shadow) ** 0.75) * _beside_vessels(a, heart, front, rays.y)
    mottle = _mottle(a.texture, rays)
    total = SOFT * (_trunk(a, rays) - _gas(a, rays, front)) - (SOFT - LUNG) * depth * (1 - 0.06 * mottle)
    total += _vessels(a, rays) * (depth / a.lung_depth)
    for bones in (_ribs(a, rays), _clavicles(a, rays, front), _spine(a, rays, back)):
        total += bones
    for opacity in opacities:
        reach = 3 * max(opacity.radius_x, opacity.radius_y)
        box = rays.box((opacity.x - reach, opacity.x + reach), (opacity.y - reach, opacity.y + reach))
        filled = _filled(opacity, rays.x[box], rays.y[box]) * (1 + 0.25 * mottle[box])
        total[box] += (SOFT - LUNG) * np.clip(filled, 0.0, depth[box])
    return np.maximum(total, 0.0), field * (shadow > 1)


def _dome(radius2: np.ndarray) -> np.ndarray:
    """Thickness profile of an ellipsoid, 1 at its centre and 0 outside, from the squared radius in its outline."""
    return np.sqrt(np.maximum(1.0 - radius2, 0.0))


def _tube(distance: np.ndarray, radius: float) -> np.ndarray:
    """Line integral, above soft tissue, through a long bone at a distance from its axis: a cortical shell about spongy bone."""
    outer, core = 2 * radius * _dome((distance / radius) ** 2), 1.6 * radius * _dome((distance / (0.8 * radius)) ** 2)
    return (BONE - SOFT) * (outer - core) + (SPONGY - SOFT) * core


def _trunk(a: Anatomy, rays: Rays) -> np.ndarray:
    """Thickness of neck, shoulders, trunk and breasts, cm."""
    down, flank = rays.y - a.apex, a.half_width + a.wall
    half = np.interp(down, [-8, -5, -3, -0.5, 3, 7, 14], [5.5, 6.5, 9.5, flank, 1.3 * flank, 1.25 * flank, flank])
    deep = np.interp(down, [-8, -4, 1, 6], [11.0, 11.5, 0.8 * a.thickness, a.thickness])
    across, low = (np.abs(rays.x) - 0.6 * a.half_width) / 5.5, (rays.y - a.sulcus + 4.0) / 5.0
    breast = a.breast * _dome(across**2 + low**2) * np.clip(0.5 + 0.6 * low, 0.0, 1.0)
    return deep * np.sqrt(_dome((rays.x / half) ** 2)) + breast


def _gas(a: Anatomy, rays: Rays, front: np.ndarray) -> np.ndarray:
    """Depth of air in the trachea and in the stomach, cm."""
    trachea = 1.7 * _dome((front / 0.9) ** 2) * np.clip((a.apex + 8.0 - rays.y) / 1.5, 0.0, 1.0)
    if not a.stomach_gas:
        return trachea
    x, y = 0.5 * a.half_width, a.dome_left + a.stomach_gas + 1.0
    return trachea + 2 * a.stomach_gas * _dome(((rays.x - x) / (1.6 * a.stomach_gas)) ** 2 + ((rays.y - y) / a.stomach_gas) ** 2)


def _lungs(a: Anatomy, rays: Rays) -> tuple[np.ndarray, np.ndarray]:
    """The lungs' depth along the beam (cm), and how much of a cell they cover, before heart and vessels take their part."""
    distance, v = np.abs(rays.x), np.clip((rays.y - a.apex) / (a.sulcus - a.apex), 0.0, 1.0)
    outer, inner = a.lateral(v), a.inner(v)
    cover = rays.cover(outer - distance) * rays.cover(distance - inner) * rays.cover(rays.y - a.apex)
    cover *= rays.cover(a.diaphragm(distance, rays.x) - rays.y)
    across = np.square((2 * distance - outer - inner) / np.maximum(outer - inner, 0.2))
    depth = a.lung_depth * np.sqrt(_dome(0.96 * across * across) * (1 - (1 - v) * np.square(1 - v)))
    return depth * cover, cover


def _beside_vessels(a: Anatomy, heart: Heart, front: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The share of the lungs' depth that the aortic arch and the great vessels above the heart leave."""
    root_x, root_y = 0.55 * heart.half_width, 0.85 * heart.half_height
    root = ((front - 0.4 * heart.x) / root_x) ** 2 + ((y - heart.y + root_y) / root_y) ** 2
    knob = ((front - a.medial + 0.3) / a.aortic_knob) ** 2 + ((y - a.apex - 5.5) / (1.2 * a.aortic_knob)) ** 2
    return (1 - 0.75 * _dome(root)) * (1 - 0.7 * _dome(knob))


def _mottle(knots: np.ndarray, rays: Rays) -> np.ndarray:
    """The lungs' mottle at each ray: knots 2 cm apart, interpolated linearly."""
    places = 2.0 * (np.arange(len(knots)) - (len(knots) - 1) / 2)
    height, width = rays.x.shape
    axes = rays.y[:, width // 2], rays.x[height // 2]
    rows, columns = (np.maximum(0.0, 1 - np.abs(axis[:, None] - places) / 2.0) for axis in axes)
    return rows @ knots @ columns.T


def _vessels(a: Anatomy, rays: Rays) -> np.ndarray:
    """Line integral of the hila and of two orders of vessels, which fan out of them and thin."""
    left = rays.x > 0
    dx, dy = np.abs(rays.x) - a.medial - 1.0, rays.y - (a.apex + 0.45 * (a.sulcus - a.apex)) + np.where(left, 0.6, -0.6)
    far, bearing = np.hypot(dx, dy), np.arctan2(dy, dx)
    fan = 0.0
    for order, reach in enumerate((np.exp(-far / 3.0), np.exp(-(((far - 5.0) / 3.5) ** 2) / 2))):
        wheel = np.append(a.vessels[:, order], a.vessels[:, order, :1], 1)
        fine = np.stack([np.interp(np.arange(512) / 512 * 40, np.arange(41), row) for row in wheel])
        spoke = ((bearing * (order + 1) / (2 * np.pi) + 0.01 * far) * 512).astype(int) % 512
        fan = fan + np.maximum(fine[left.astype(int), spoke] - 0.3, 0.0) * reach
    return a.hila * (0.3 * fan * (dx > -1.5) + 0.25 * np.exp(-((dx / 1.3) ** 2) - (dy / 2.6) ** 2))


def _ribs(a: Anatomy, rays: Rays) -> np.ndarray:
    """Line integral of the ribs. A rib is a tube about a tilted ellipse: seen from the front its upper half is the posterior arc from
    the spine, its lower half the anterior arc, which ends where cartilage begins; at the flank the beam runs along it."""
    total = np.zeros_like(rays.x)
    for k in range(RIB_PAIRS):
        drop = a.rib_tilt * (0.375 + 0.03 * k)
        middle = a.rib_first + k * a.rib_spacing * (1 + 0.01 * k) + drop
        half = float(a.lateral((middle - a.apex) / (a.sulcus - a.apex) + 0.06)) + 0.3
        box = rays.box(y=(middle - drop - 1, middle + drop + 1))
        u2, w = (rays.x[box] / half) ** 2, (rays.y[box] - middle) / drop
        w2, behind = w * w, w < 0
        rho2 = u2 + w2 + 1e-9
        distance = (rho2 - np.sqrt(rho2)) / np.sqrt(u2 / half**2 + w2 / drop**2 + 1e-9)
        flank = np.minimum(u2, 1.0)
        along = np.minimum(np.sqrt(1 + 64 * flank / (half**2 * (1 - flank) + drop**2 * flank)), 2.2)
        shown = np.clip((np.abs(rays.x[box]) - np.where(behind, 1.5, 0.52 * half)) / 0.8 + 0.5, 0.0, 1.0)
        total[box] += _tube(distance, a.rib_radius) * along * shown * np.where(behind, 1.3, 1.0)
    return total


def _clavicles(a: Anatomy, rays: Rays, front: np.ndarray) -> np.ndarray:
    """Line integral of two S-shaped bones from the breastbone to the shoulders."""
    total = np.zeros_like(rays.x)
    length = a.half_width + 1.0
    box = rays.box(y=(a.apex - 2, a.apex + 7))
    for rise, sign in zip((a.clavicle_rise_right, a.clavicle_rise_left), SIDES.values(), strict=True):
        s = (sign * front[box] - 1.8) / length
        curve = a.apex + 4.2 - rise * s - 0.7 * np.sin(2 * np.pi * s)
        slope = (rise + 1.4 * np.pi * np.cos(2 * np.pi * s)) / length
        ends = np.clip(np.minimum(s, 1 - s) * length / 0.8 + 0.5, 0.0, 1.0)
        total[box] += 1.3 * _tube((rays.y[box] - curve) / np.sqrt(1 + slope**2), 0.65) * ends
    return total


def _spine(a: Anatomy, rays: Rays, back: np.ndarray) -> np.ndarray:
    """Line integral of vertebral bodies with discs between them, pedicles and spinous processes."""
    total = np.zeros_like(back)
    box = rays.box(x=(-4.0, 4.0))
    y = rays.y[box]
    x = back[box] - a.spine_curve * np.sin(y / 9)
    half = 1.3 + (y - a.apex + 5) / (a.sulcus - a.apex + 8)
    phase = y / a.vertebra - np.floor(y / a.vertebra) - 0.5
    body = 4.5 * np.sqrt(_dome(np.square(np.square(x / half)))) * np.where(np.abs(phase) < 0.38, 1.0, 0.4)
    pedicles = 1.2 * _dome(((np.abs(x) - 0.62 * half) / 0.45) ** 2 + ((phase + 0.15) * a.vertebra / 0.6) ** 2)
    process = 2.0 * _dome((x / 0.4) ** 2 + ((phase - 0.2) * a.vertebra / 0.8) ** 2)
    total[box] = (SPONGY - SOFT) * (body + process) + 0.3 * (BONE - SOFT) * pedicles
    return total


def _filled(o: Opacity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Depth of consolidated lung, cm."""
    dx, dy = (x - o.x) / o.radius_x, (y - o.y) / o.radius_y
    bearing = np.arctan2(dy, dx)
    edge = 1 + o.waves[0] * np.cos(2 * bearing + o.waves[1]) + o.waves[2] * np.cos(3 * bearing + o.waves[3])
    far = np.hypot(dx, dy) / edge
    return o.strength * np.exp2(-far * far * far)
