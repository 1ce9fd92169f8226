"""The anatomy of the fundus phantom: disc, fovea, vessels, and what is found.

Lengths in mm on the retina, the disc's centre at 0; x towards the temple and y downwards, for either eye.
"""

from dataclasses import dataclass

import numpy as np

FIBRE_REACH = 14.0
"""Where (mm temporal of the disc) the arcades would meet again on the raphe."""
STEP = 0.08
"""Distance (mm) between the points of a vessel."""
TRUNK = 150
"""Points of a vessel that leaves the disc; branches have fewer."""
AVASCULAR = 0.35
"""Radius (mm) about the fovea that holds no vessel: the capillary-free zone is about 0.5 mm across, and what is drawn is wider."""


@dataclass(frozen=True)
class Vessels:
    """Arteries or veins: N vessels of S points with a radius each, of which those are `drawn` that grew; `trunks` are the radii of the
    four arcades at the margin of the disc."""

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    drawn: np.ndarray
    trunks: np.ndarray


@dataclass(frozen=True)
class Eye:
    """One eye. The cup is drawn twice, normal and enlarged, so that a label chooses and nothing else changes."""

    left: bool
    disc_radius: float  # half its height
    disc_slimness: float  # width over height
    disc_tilt: float  # radians
    normal_cup: float  # vertical cup-to-disc ratio
    large_cup: float
    fovea: tuple[float, float]
    melanin: float
    blood: float
    lens: float  # yellowness, as absorbance of blue light
    tessellation: float  # how much the choroid's vessels show
    sheen: float  # of the nerve fibre layer
    crescent: float  # pigment at the temporal margin of the disc
    macula: float  # pigment there
    arteries: Vessels
    veins: Vessels


def draw_eye(rng: np.random.Generator) -> Eye:
    """An eye. The disc is 1.6 to 2.0 mm high and the fovea 2.3 to 2.65 disc diameters temporal of it and 4 to 8 degrees below, as
    textbooks have it; the vertical cup-to-disc ratio is 0.2 to 0.5 (normal) and 0.7 to 0.88 (glaucoma); arteries are about two thirds as
    wide as veins."""
    u = rng.uniform
    disc_radius = u(0.8, 1.0)
    away, below = 2 * disc_radius * u(2.3, 2.65), np.radians(u(4.0, 8.0))
    fovea = float(away * np.cos(below)), float(away * np.sin(below))
    vein = u(0.072, 0.088)
    arteries, veins = grow(rng, fovea, vein * u(0.62, 0.72), vein)
    return Eye(
        left=bool(rng.integers(2)),
        disc_radius=disc_radius,
        disc_slimness=u(0.86, 0.97),
        disc_tilt=u(-0.15, 0.15),
        normal_cup=u(0.2, 0.5),
        large_cup=u(0.7, 0.88),
        fovea=fovea,
        melanin=u(0.1, 0.4),
        blood=u(0.9, 1.25),
        lens=u(1.0, 2.4),
        tessellation=u(0.1, 0.9),
        sheen=u(0.2, 1.0),
        crescent=u(0.0, 0.4),
        macula=u(0.65, 1.1),
        arteries=arteries,
        veins=veins,
    )


def fibres(x: np.ndarray, y: np.ndarray, fovea: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Where nerve fibres and vessels run at a point: a vector away from the disc. Nasal of the disc they are rays; temporal, the curves
    y = c sqrt(x) (1 - (x / FIBRE_REACH)^2), arcades about the axis from disc to fovea that close on the raphe."""
    tilt = fovea[1] / fovea[0]
    above = y - tilt * x
    far = np.minimum(np.maximum(x, 0.12), 0.95 * FIBRE_REACH)
    slope = above * (0.5 / far - 2 * far / (FIBRE_REACH**2 - far**2)) + tilt
    share = np.minimum(np.maximum(2 * x + 0.5, 0.0), 1.0)
    run, away = share / np.sqrt(1 + slope * slope), (1 - share) / (np.hypot(x, y) + 1e-6)
    return run + away * x, run * slope + away * y


def grow(rng: np.random.Generator, fovea: tuple[float, float], artery: float, vein: float) -> tuple[Vessels, Vessels]:
    """Arteries and veins whose arcades have these radii at the disc: four arcades and three small ones of each, and two orders of branches.
    At a branching the cubes of the radii add up (C. D. Murray, The physiological principle of minimum work, PNAS 12, 1926, 207)."""
    u = rng.uniform
    # Temporal arcades, nasal arcades, then twigs to the macula (above and below) and to the nasal side: bearing from the horizontal.
    bearing = np.tile([-1.1, 1.1, -2.2, 2.2, -0.42, 0.42, np.pi], 2) + u(-0.12, 0.12, size=14)
    bearing[[6, 13]] += u(-0.4, 0.4, size=2)
    radius = np.repeat([artery, vein], 7) * np.tile([1.0, 1.0, 0.8, 0.8, 0.36, 0.36, 0.42], 2) * u(0.93, 1.07, size=14)
    origin = np.repeat([[-0.13, 0.0], [-0.03, 0.0]], 7, 0) + np.repeat(u(-0.05, 0.05, size=(2, 2)), 7, 0)
    start = origin + 0.14 * np.stack([np.zeros(14), np.sign(np.sin(bearing))], 1)
    whose = np.repeat([0, 1], 7)
    orders = [(*_branches(rng, start, bearing, np.zeros(14), radius, fovea, TRUNK), whose)]
    for steps, count, thin in ((80, 7, (0.42, 0.68)), (30, 5, (0.45, 0.72))):
        orders.append(_twigs(rng, orders[-1], fovea, steps, count, thin))
    whose = np.concatenate([order[-1] for order in orders])
    x, y, wide, drawn = (np.concatenate([np.pad(o[k], ((0, 0), (0, TRUNK - o[k].shape[1]))) for o in orders]) for k in range(4))
    arteries, veins = (Vessels(*(each[whose == k] for each in (x, y, wide, drawn)), radius[7 * k : 7 * k + 4]) for k in (0, 1))
    return arteries, veins


def _twigs(
    rng: np.random.Generator,
    parents: tuple[np.ndarray, ...],
    fovea: tuple[float, float],
    steps: int,
    count: int,
    thin: tuple[float, float],
) -> tuple[np.ndarray, ...]:
    """Branches of branches: `count` places along each, at alternate sides, where one leaves at 30 to 65 degrees."""
    x, y, radius, drawn, heading, whose = parents
    n, length = x.shape
    at = ((np.arange(count) + rng.uniform(0.2, 0.95, size=(n, count))) / count * (length - 2)).astype(int)
    who = np.arange(n)[:, None]
    share = rng.uniform(*thin, size=(n, count))
    side = np.where((np.arange(count) + rng.integers(2, size=(n, 1))) % 2, 1.0, -1.0)
    turned = heading[who, at] + side * rng.uniform(0.5, 1.15, size=(n, count))
    small = radius[who, at] * share
    # What a branch takes, the parent lacks from there on.
    left = np.ones((n, length))
    for k in range(count):
        left *= np.where(np.arange(length) > at[:, k : k + 1], np.cbrt(1 - share[:, k : k + 1] ** 3), 1.0)
    np.multiply(radius, left, out=radius)
    small *= left[who, at]
    keep = drawn[who, at] & (small > 0.009) & (np.hypot(x, y)[who, at] > 0.75)
    start = np.stack([x[who, at][keep], y[who, at][keep]], 1)
    return *_branches(rng, start, turned[keep], 0.45 * side[keep], small[keep], fovea, steps), np.repeat(whose, count)[keep.ravel()]


def _branches(
    rng: np.random.Generator,
    start: np.ndarray,
    heading: np.ndarray,
    lean: np.ndarray,
    radius: np.ndarray,
    fovea: tuple[float, float],
    steps: int,
) -> tuple[np.ndarray, ...]:
    """Vessels grown side by side, a step at a time: each turns towards the fibres' direction plus its own `lean`, and winds a little.

    Those out of the disc stop short of the macula; branches at the avascular zone, on the raphe, and after a random length.
    """
    n = len(start)
    x, y, bearings = np.empty((3, n, steps))
    drawn = np.empty((n, steps), bool)
    at_x, at_y, alive = start[:, 0].copy(), start[:, 1].copy(), np.ones(n, bool)
    waves, phases = rng.uniform(1.0, 4.5, size=(n, 2)), rng.uniform(0, 2 * np.pi, size=(n, 2))
    winding = rng.uniform(0.1, 0.4, size=n)
    reach = rng.uniform(0.6, 1.0, size=n) * steps
    axis = fovea[1] / fovea[0]
    for k in range(steps):
        x[:, k], y[:, k], bearings[:, k], drawn[:, k] = at_x, at_y, heading, alive
        dx, dy = fibres(at_x, at_y, fovea)
        off = np.arctan2(dy, dx) + lean - heading
        heading = heading + 0.1 * np.sin(off) + winding * STEP * np.cos(waves * k * STEP + phases).sum(1) * 1.6
        at_x, at_y = at_x + STEP * np.cos(heading), at_y + STEP * np.sin(heading)
        near = np.hypot(at_x - fovea[0], at_y - fovea[1])
        crossed = (at_x > fovea[0] - 1.2) & ((at_y - axis * at_x) * (start[:, 1] - axis * start[:, 0]) < 0)
        alive = alive & (near > 0.8 if steps == TRUNK else (near > AVASCULAR + 0.1) & ~crossed & (k < reach))
    taper = 1 - (0.25 if steps == TRUNK else 0.45) * np.arange(steps) / steps
    return x, y, radius[:, None] * taper, drawn, bearings
