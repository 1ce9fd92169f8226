"""One axial slice of the head phantom: which tissue lies where, painted into a CT and an MR slice at once, so that both show one anatomy.

Coordinates as in `models.phantoms._head_anatomy`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates

from models.phantoms._head_anatomy import Head, Tumour, bone_thickness, callosum, curve, edge_of, outline, ventricle_axis

STEP = 0.35  # between points on a sulcus, mm
Box = tuple[slice, slice]
Paint = Callable[..., None]


@dataclass(frozen=True)
class Plane:
    """Where the samples lie: patient coordinates on a grid `scale` times finer than the output, `step` mm apart, turned by `roll`."""

    x: np.ndarray
    y: np.ndarray
    step: float
    scale: int
    roll: float
    shift: tuple[float, float]

    def cover(self, inside: np.ndarray) -> np.ndarray:
        """How much of a sample (0 to 1) lies within an edge that is `inside` mm away."""
        return np.clip(inside / self.step + 0.5, 0.0, 1.0)

    def index(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and column, in samples and fractions of them, of a point; 0 is the middle of the first."""
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        x, y = x + self.shift[0], y + self.shift[1]
        height, width = self.x.shape
        return (x * sin + y * cos) / self.step + (height - 1) / 2, (x * cos - y * sin) / self.step + (width - 1) / 2


@dataclass
class Slice:
    """CT numbers (HU), MR signal (white matter 1), depth under the inner table (mm), and how much of a sample each named part covers."""

    ct: np.ndarray
    mr: np.ndarray
    depth: np.ndarray
    parts: dict[str, np.ndarray] = field(default_factory=dict)


def displace(tumour: Tumour | None, head: Head, level: float, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where what is now at a point lay before the tumour pushed it: radially, keeping area, less with distance, not at all at the skull."""
    if tumour is None:
        return x, y
    dx, dy = x - tumour.x, y - tumour.y
    r2 = dx * dx + dy * dy + 1e-6
    yielding = np.maximum(1 - r2 / tumour.reach**2, 0) * np.maximum(1 - outline(head, level, x, y) ** 8, 0)
    kept = np.sqrt(np.maximum(1 - tumour.push * tumour.radius_x * tumour.radius_y * yielding / r2, 0.01))
    moved = yielding > 0
    return np.where(moved, tumour.x + dx * kept, x), np.where(moved, tumour.y + dy * kept, y)


def draw_slice(
    head: Head, level: float, tumour: Tumour | None, plane: Plane, hounsfield: dict[str, float], signals: dict[str, float]
) -> Slice:
    """The slice before either instrument sees it."""
    rho = outline(head, level, plane.x, plane.y)
    slope = np.hypot(*np.gradient(rho, plane.step))
    air = (np.full(rho.shape, of["air"], np.float32) for of in (hounsfield, signals))
    drawn = Slice(*air, (1 - rho) / np.maximum(slope, 1e-3))

    def paint(cover: np.ndarray, tissue: str, box: Box = (slice(None), slice(None))) -> None:
        drawn.ct[box] += cover * (hounsfield[tissue] - drawn.ct[box])
        drawn.mr[box] += cover * (signals[tissue] - drawn.mr[box])

    _shell(head, level, plane, drawn.depth, paint)
    x, y = displace(tumour, head, level, plane.x, plane.y)
    pial = _cortex(head, level, tumour, plane, drawn, x, y, paint)
    _deep_nuclei(head, level, plane, x, y, paint)
    _ventricles(head, level, plane, drawn, x, y, paint)
    _falx(head, level, plane, drawn.depth, x, y, paint)
    drawn.parts["tumour"] = np.zeros_like(rho)
    drawn.parts["oedema"] = np.zeros_like(rho)
    if tumour is not None:
        _grow(tumour, plane, drawn, pial, paint)
    return drawn


def _shell(head: Head, level: float, plane: Plane, depth: np.ndarray, paint: Paint) -> None:
    """Skin, fat, temporal muscles, the two tables of the skull with diploe between them, dura, and cerebrospinal fluid inside."""
    cover, bone = plane.cover, bone_thickness(head, plane.x, plane.y)
    bearing = np.arctan2(np.abs(plane.x), -plane.y)
    temple = np.exp(-(((bearing - 1.2) / 0.38) ** 2)) * max(0.0, 1 - level / 26)
    above = depth + bone
    skin = above + head.scalp * (0.85 + 0.15 * np.cos(2 * bearing)) + 5 * temple
    paint(cover(skin), "skin")
    paint(cover(skin - 2.0), "fat")
    paint(cover(above + 7 * temple - 0.6) * (temple > 0.08), "muscle")
    paint(cover(above + 0.8), "skin")
    paint(cover(above), "bone")
    spongy = np.minimum(above - 1.9, -1.5 - depth)
    marrow = 0.75 + 0.25 * np.sin(23 * bearing + float(head.lumps[0, 1])) * np.sin(9 * bearing + float(head.lumps[1, 1]))
    paint(cover(spongy) * marrow, "diploe")
    paint(cover(depth), "dura")
    paint(cover(depth - 0.6), "csf")


def _cortex(
    head: Head, level: float, tumour: Tumour | None, plane: Plane, drawn: Slice, x: np.ndarray, y: np.ndarray, paint: Paint
) -> np.ndarray:
    """Grey matter as a ribbon under every pial surface, sulci included, and white matter within it. Returns the white matter's cover."""
    gap = 1.0 + 1.8 * head.atrophy
    sulci = _distance_to(sulcal_points(head, level, gap), plane)
    if tumour is not None:
        moved = (x != plane.x) | (y != plane.y)
        sulci = np.where(moved, map_coordinates(sulci, plane.index(x, y), order=1, mode="nearest"), sulci)
    pial = np.minimum(drawn.depth - gap, sulci)
    brain, white = plane.cover(pial), plane.cover(pial - head.cortex)
    paint(brain, "grey")
    paint(white, "white")
    drawn.parts["brain"] = brain
    return white


def sulcal_points(head: Head, level: float, gap: float) -> np.ndarray:
    """Points x (x, y, half width) along the sulci, the interhemispheric fissure and, low down, the Sylvian fissure and insula."""
    wide, long = head.half_width / 68, head.half_length / 87
    calibre = 0.55 + 0.9 * head.atrophy
    found = []
    deeper = 1 + 0.4 * level / 40
    starts = edge_of(head, level, np.array([s["bearing"] for s in head.sulci]), gap - 2)
    for s, start in zip(head.sulci, starts, strict=True):
        inwards = np.arctan2(-start[1] / head.half_length**2, -start[0] / head.half_width**2)
        # At the level of the insula the opercula leave less room.
        depth = min(s["depth"], 12.0) if level < 16 and -34 < start[1] < 26 else deeper * s["depth"]
        line = curve(start, inwards + s["lean"], depth + 2, s["bends"], STEP)
        along = np.linspace(0, 1, len(line))
        found.append((line, calibre * s["width"] * (0.55 + 1.4 * (1 - along) ** 3)))
        if s["fork"] and depth > 10:
            at = int(s["fork"] * len(line))
            way = np.arctan2(*(line[at] - line[at - 1])[::-1]) + s["fork_angle"]
            branch = curve(line[at], way, s["fork_length"], s["bends"], STEP)
            found.append((branch, np.full(len(branch), 0.5 * calibre * s["width"])))
    front, back = callosum(level)
    for s in head.medial:
        if s["y"] < front - 3 or s["y"] > back + 3:
            start = np.array([meander(head, np.array(s["y"] * long)), s["y"] * long])
            line = curve(start, (0.0 if s["side"] > 0 else np.pi) + s["lean"], deeper * s["depth"], s["bends"], STEP)
            found.append((line, np.full(len(line), 0.6 * calibre * s["width"])))
    rows = np.concatenate([np.arange(-head.half_length, front * long, STEP), np.arange(back * long, head.half_length, STEP)])
    found.append((np.stack([meander(head, rows), rows], -1), np.full(len(rows), 0.45 + 0.6 * head.atrophy)))
    found += _sylvian(level, calibre, wide, long)
    return np.concatenate([np.column_stack([line, half]) for line, half in found])


def _sylvian(level: float, calibre: float, wide: float, long: float) -> list[tuple[np.ndarray, np.ndarray]]:
    open_ = 1 - level / 16
    if open_ < 0.1:
        return []
    found = []
    for side in (-1, 1):
        cleft = np.array([[34, -26], [38.5, -14], [40, -2], [40.5, 9], [44, 18]]) * [1, open_**0.5]
        for path in (cleft, np.array([[70, -12], [58, -9], [48, -9], [40, -6]])):
            length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
            at = np.arange(0, length[-1], STEP)
            line = np.stack([side * wide * np.interp(at, length, path[:, 0]), long * np.interp(at, length, path[:, 1])], -1)
            found.append((line, np.full(len(line), (0.7 + 0.5 * open_) * calibre)))
    return found


def meander(head: Head, y: np.ndarray) -> np.ndarray:
    """x of the interhemispheric fissure, which wanders about the midline but not at its ends."""
    waves = sum(a * np.sin(k * y / 16 + phase) for k, (a, phase) in enumerate(head.fissure.tolist(), 1))
    return waves * np.clip((head.half_length - np.abs(y)) / 25, 0, 1)


def _distance_to(points: np.ndarray, plane: Plane) -> np.ndarray:
    """Distance (mm) to the edge of the nearest sulcus, negative in it: the nearest sample that a sulcus crosses is found on the grid, the
    distance is then taken to the point itself, which lies between samples."""
    row, column = plane.index(points[:, 0], points[:, 1])
    shape = plane.x.shape
    r, c = np.rint(row).astype(int), np.rint(column).astype(int)
    kept = (r >= 0) & (r < shape[0]) & (c >= 0) & (c < shape[1])
    which = np.full(shape, -1)
    which[r[kept], c[kept]] = np.flatnonzero(kept)
    if not kept.any():
        return np.full(shape, 1e3)
    nearest = distance_transform_edt(which < 0, return_distances=False, return_indices=True)
    point = which[nearest[0], nearest[1]]
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return plane.step * np.hypot(rows - row[point], columns - column[point]) - points[point, 2]


def _box(x: np.ndarray, y: np.ndarray, left: float, right: float, top: float, bottom: float) -> Box:
    """The rows and columns that hold every sample within these bounds: what is small is worked out there alone."""
    inside = (x > left) & (x < right) & (y > top) & (y < bottom)
    hits = [np.flatnonzero(inside.any(axis)) for axis in (1, 0)]
    return tuple(slice(hit[0], hit[-1] + 1) if len(hit) else slice(0, 0) for hit in hits)


def _ellipse(x: np.ndarray, y: np.ndarray, centre: tuple[float, float], radii: tuple[float, float], turn: float) -> np.ndarray:
    """Distance (mm, roughly) inside an ellipse whose first axis is turned by `turn` radians."""
    cos, sin = np.cos(turn), np.sin(turn)
    dx, dy = x - centre[0], y - centre[1]
    return (1 - np.hypot((dx * cos + dy * sin) / radii[0], (dy * cos - dx * sin) / radii[1])) * min(radii)


NUCLEI = {
    "caudate": ((16.5, -21.0), (4.6, 9.5), 0.42, (0.0, 20.0), 1.0),
    "putamen": ((26.5, -4.0), (4.8, 14.5), -0.2, (0.0, 15.0), 1.0),
    "pallidum": ((20.0, 0.0), (3.6, 8.0), -0.35, (0.0, 9.0), 0.45),
    "thalamus": ((10.5, 10.0), (7.6, 13.0), -0.35, (0.0, 13.0), 0.75),
}
"""Centre, radii, turn, levels between which it shrinks away, and how grey it is, on the patient's left."""


def _deep_nuclei(head: Head, level: float, plane: Plane, x: np.ndarray, y: np.ndarray, paint: Paint) -> None:
    box = _box(x, y, -40, 40, -40, 30)
    x, y = x[box], y[box]
    for (centre, radii, turn, (low, high), grey), jitter in zip(NUCLEI.values(), head.deep.tolist(), strict=True):
        size = np.sqrt(max(0.0, 1 - ((level - low) / (high - low)) ** 2))
        if size < 0.2:
            continue
        for side, (dx, dy, ds) in zip((-1, 1), jitter, strict=True):
            place = (side * (centre[0] + dx), centre[1] + dy)
            scaled = (radii[0] * size * (1 + ds), radii[1] * size * (1 + ds))
            paint(grey * plane.cover(0.6 * _ellipse(x, y, place, scaled, side * turn)), "deep_grey", box)


def _ventricles(head: Head, level: float, plane: Plane, drawn: Slice, x: np.ndarray, y: np.ndarray, paint: Paint) -> None:
    """Lateral ventricles with choroid plexus in their atria, the third ventricle, the cistern behind it and the pineal gland."""
    drawn.parts |= {f"{name}_ventricle": np.zeros_like(drawn.ct) for name in ("right", "left", "third")}
    for name, side in (("right_ventricle", -1), ("left_ventricle", 1)):
        box, axis = _box(side * x, y, -1, 45, -60, 70), ventricle_axis(head, level, side)
        outwards, down = side * x[box], y[box]
        cover = _lateral_ventricle(plane, outwards, down, axis)
        drawn.parts[name][box] = cover
        paint(cover, "csf", box)
        if level < 16 and axis[5, 2] > 2:
            at = axis[5, :2] - [0.6, 2.5]
            paint(cover * plane.cover(_ellipse(outwards, down, at, (1.7, 3.4), -0.5)), "plexus", box)
            if head.plexus_calcified:
                paint(plane.cover(_ellipse(outwards, down, at, (1.2, 2.0), 0.0)), "calcium", box)
    low = max(0.0, 1 - level / 9)
    if low < 0.1:
        return
    box = _box(x, y, -12, 12, -15, 35)
    x, y = x[box], y[box]
    third = plane.cover((1.0 + 1.4 * head.atrophy) * low - np.hypot(x, np.maximum(np.abs(y - 3) - 11, 0)))
    drawn.parts["third_ventricle"][box] = third
    paint(third, "csf", box)
    paint(plane.cover(_ellipse(x, y, (0, 24), (6.5 * low, 3.6 * low), 0.0)), "csf", box)
    paint(plane.cover(_ellipse(x, y, (0, 22), (2.0, 2.6), 0.0)), "calcium" if head.pineal_calcified else "grey", box)


def _lateral_ventricle(plane: Plane, x: np.ndarray, y: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """How much of a sample a lateral ventricle covers, x counted outwards: a tube of changing calibre, clear of the septum."""
    inside = np.full(x.shape, -50.0)
    for (x0, y0, r0), (x1, y1, r1) in pairwise(axis.tolist()):
        if max(r0, r1) > 0:
            dx, dy = x1 - x0, y1 - y0
            t = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
            np.maximum(inside, r0 + t * (r1 - r0) - np.hypot(x - x0 - t * dx, y - y0 - t * dy), out=inside)
    return plane.cover(np.minimum(inside, x - 0.7))


def _falx(head: Head, level: float, plane: Plane, depth: np.ndarray, x: np.ndarray, y: np.ndarray, paint: Paint) -> None:
    """The falx in its fissure, and the superior sagittal sinus at both ends of it."""
    box = _box(x, y, -9, 9, -100, 100)
    x, y, depth = x[box], y[box], depth[box]
    front, back = (end * head.half_length / 87 for end in callosum(level))
    ends = np.minimum(np.maximum(front - 14 - y, y - back - 5), depth)
    paint(0.8 * plane.cover(np.minimum(0.5 - np.abs(x - meander(head, y)), ends)), "dura", box)
    half = np.where(y > 0, np.float32(4.2), np.float32(2.2))
    paint(plane.cover(np.minimum(half - np.abs(x) - 0.55 * depth, depth - 0.3)), "blood", box)


def _grow(tumour: Tumour, plane: Plane, drawn: Slice, white: np.ndarray, paint: Paint) -> None:
    """Oedema in the white matter about the tumour, then the tumour: what it covers is no longer ventricle."""
    far = 1.25 * max(tumour.radius_x, tumour.radius_y) + tumour.oedema + 1
    box = _box(plane.x, plane.y, tumour.x - far, tumour.x + far, tumour.y - far, tumour.y + far)
    distance = tumour.distance(plane.x[box], plane.y[box])
    ventricles = [drawn.parts[f"{name}_ventricle"] for name in ("right", "left", "third")]
    dry = np.maximum(1 - sum(part[box] for part in ventricles), 0)
    swollen = 0.95 * white[box] * dry * np.clip((tumour.oedema - distance) / 5, 0, 1)
    paint(swollen, "oedema", box)
    cover = plane.cover(-distance) * plane.cover(drawn.depth[box] - 2)
    paint(cover, "rim" if tumour.kind == "ring" else "solid", box)
    if tumour.kind == "ring":
        paint(plane.cover(-distance - tumour.rim), "core", box)
    for part in ventricles:
        part[box] *= 1 - cover
    drawn.parts["tumour"][box] = cover
    drawn.parts["oedema"][box] = swollen * (1 - cover)
