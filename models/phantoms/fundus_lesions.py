"""What is found in the fundus phantom: lesions of diabetic retinopathy and drusen, in the coordinates of `fundus_anatomy`."""

from dataclasses import dataclass

import numpy as np

from models.phantoms.canvas import Spot
from models.phantoms.fundus_anatomy import Eye, fibres

GAP = 0.09
"""Least distance (mm) between the edges of two lesions, so that each can be told from its neighbours."""


@dataclass(frozen=True)
class Site:
    """Where lesions of a kind lie and how large they are: between `near` and `far` mm of the fovea, radii in mm."""

    kind: str
    near: float
    far: float
    radius: tuple[float, float]
    squash: tuple[float, float]


MICROANEURYSM = Site("microaneurysm", 0.55, 5.0, (0.03, 0.06), (0.95, 1.05))
BLOT = Site("haemorrhage", 0.8, 5.5, (0.09, 0.26), (0.8, 1.25))
FLAME = Site("haemorrhage", 1.6, 5.5, (0.12, 0.26), (1.5, 1.9))
EXUDATE = Site("hard-exudate", 0.5, 3.2, (0.035, 0.11), (0.8, 1.25))
COTTON_WOOL = Site("cotton-wool-spot", 2.0, 4.5, (0.25, 0.45), (1.0, 1.2))
DRUSE = Site("druse", 0.4, 2.6, (0.035, 0.12), (0.85, 1.18))
"""A microaneurysm is less than 125 um across, and so is a druse but for the large ones, which make macular degeneration intermediate
(ETDRS report 10, Ophthalmology 98, 1991, 786; F. L. Ferris et al., Ophthalmology 120, 2013, 844)."""


def draw_lesions(rng: np.random.Generator, label: str, eye: Eye, middle: tuple[float, float], reach: float) -> list[Spot]:
    """The lesions of a label within `reach` mm of the picture's middle, clear of disc, fovea and one another; none for other labels."""
    found: list[Spot] = []
    if label == "diabetic-retinopathy":
        counts = {COTTON_WOOL: rng.integers(0, 4), BLOT: rng.integers(3, 9), FLAME: rng.integers(0, 4), MICROANEURYSM: rng.integers(6, 19)}
        for site, count in counts.items():
            _scatter(rng, found, site, int(count), eye, middle, reach)
        for _ in range(int(rng.integers(1, 4))):
            _cluster(rng, found, int(rng.integers(4, 13)), eye, middle, reach)
    if label == "amd":
        _scatter(rng, found, DRUSE, int(rng.integers(25, 61)), eye, middle, reach)
    return found


def _scatter(
    rng: np.random.Generator, found: list[Spot], site: Site, count: int, eye: Eye, middle: tuple[float, float], reach: float
) -> None:
    for _ in range(count):
        for _ in range(30):
            far, bearing = site.far * np.sqrt(rng.uniform((site.near / site.far) ** 2, 1)), rng.uniform(0, 2 * np.pi)
            if site is DRUSE:
                far = site.near + (site.far - site.near) * rng.uniform() ** 1.4
            lesion = _lesion(rng, site, eye.fovea[0] + far * np.cos(bearing), eye.fovea[1] + far * np.sin(bearing), eye)
            if _fits(lesion, site, found, eye, middle, reach):
                found.append(lesion)
                break


def _cluster(rng: np.random.Generator, found: list[Spot], count: int, eye: Eye, middle: tuple[float, float], reach: float) -> None:
    """Hard exudates ring a leak: an arc of a circle of about half a millimetre, in the macula."""
    far, bearing = rng.uniform(1.2, 2.5), rng.uniform(0, 2 * np.pi)
    x, y = eye.fovea[0] + far * np.cos(bearing), eye.fovea[1] + far * np.sin(bearing)
    ring, first, arc = rng.uniform(0.35, 0.8), rng.uniform(0, 2 * np.pi), rng.uniform(2.0, 6.0)
    for k in range(count):
        for _ in range(12):
            angle, off = first + arc * (k + rng.uniform(-0.5, 0.5)) / count, ring * rng.uniform(0.75, 1.35)
            lesion = _lesion(rng, EXUDATE, x + off * np.cos(angle), y + off * np.sin(angle), eye)
            if _fits(lesion, EXUDATE, found, eye, middle, reach):
                found.append(lesion)
                break


def _lesion(rng: np.random.Generator, site: Site, x: float, y: float, eye: Eye) -> Spot:
    """Flames and cotton-wool spots lie in the nerve fibre layer and follow it, or cross it."""
    dx, dy = fibres(np.float64(x), np.float64(y), eye.fovea)
    angle = float(np.arctan2(dy, dx)) + {FLAME: 0.0, COTTON_WOOL: np.pi / 2}.get(site, rng.uniform(0, np.pi))
    small, large = site.radius
    radius = small * (large / small) ** rng.uniform()
    rough = {MICROANEURYSM: 0.04, COTTON_WOOL: 0.07}.get(site, 0.12)
    waves = (rng.uniform(0, rough), rng.uniform(0, 2 * np.pi), rng.uniform(0, rough), rng.uniform(0, 2 * np.pi))
    return Spot(site.kind, float(x), float(y), float(radius), rng.uniform(*site.squash), angle, waves, rng.uniform(0.75, 1.2))


def _fits(lesion: Spot, site: Site, found: list[Spot], eye: Eye, middle: tuple[float, float], reach: float) -> bool:
    size = lesion.extent
    near = np.hypot(lesion.x - eye.fovea[0], lesion.y - eye.fovea[1]) - size > site.near - 0.1
    clear = np.hypot(lesion.x, lesion.y) - size > eye.disc_radius + 0.3
    inside = np.hypot(lesion.x - middle[0], lesion.y - middle[1]) + size < reach
    apart = all(np.hypot(lesion.x - o.x, lesion.y - o.y) > _halo(lesion) + _halo(o) + GAP for o in found)
    return bool(near and clear and inside and apart)


def _halo(lesion: Spot) -> float:
    """How far a lesion can be seen: beyond its outline where it has no sharp edge."""
    return lesion.extent * (1.3 if lesion.kind in (COTTON_WOOL.kind, DRUSE.kind) else 1.0)
