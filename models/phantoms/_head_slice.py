"""One axial slice of the head phantom: which tissue lies where, painted into a CT and an MR slice at once, so that both show one anatomy.

Coordinates as in `models.phantoms._head_anatomy`.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import distance_transform_edt, map_coordinates

from models.phantoms._head_anatomy import Head, Tumour, bone_thickness, callosum, curve, outline, ventricle_axis

STEP = 0.35  # between points on a sulcus, mm


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
    return tumour.x + dx * kept, tumour.y + dy * kept


def draw_slice(
    head: Head, level: float, tumour: Tumour | None, plane: Plane, hounsfield: dict[str, float], signals: dict[str, float]
) -> Slice:
    """The slice before either instrument sees it."""
    rho = outline(head, level, plane.x, plane.y)
    slope = np.hypot(*np.gradient(rho, plane.step))
    drawn = Slice(np.full(rho.shape, hounsfield["air"]), np.full(rho.shape, signals["air"]), (1 - rho) / np.maximum(slope, 1e-3))

    def paint(cover: np.ndarray, tissue: str) -> None:
        drawn.ct += cover * (hounsfield[tissue] - drawn.ct)
        drawn.mr += cover * (signals[tissue] - drawn.mr)

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


def _shell(head: Head, level: float, plane: Plane, depth: np.ndarray, paint) -> None:
    """Skin, fat, temporal muscles, the two tables of the skull with diploe between them, dura, and cerebrospinal fluid inside."""
    cover, bone = plane.cover, bone_thickness(head, plane.x, plane.y)
    bearing = np.arctan2(np.abs(plane.x), -plane.y)
    temple = np.exp(-(((bearing - 1.2) / 0.38) ** 2)) * max(0.0, 1 - level / 26)
    above = depth + bone
    skin = above + head.scalp * (0.85 + 0.15 * np.cos(2 * bearing)) + 5 * temple
    paint(cover(skin), "skin")
    paint(cover(skin - 1.6), "fat")
    paint(cover(above + 7 * temple - 0.6) * (temple > 0.08), "muscle")
    paint(cover(above + 0.8), "skin")
    paint(cover(above), "bone")
    spongy = np.minimum(above - 1.9, -1.5 - depth)
    marrow = 0.75 + 0.25 * np.sin(23 * bearing + head.lumps[0, 1]) * np.sin(9 * bearing + head.lumps[1, 1])
    paint(cover(spongy) * marrow, "diploe")
    paint(cover(depth), "dura")
    paint(cover(depth - 0.6), "csf")


def _cortex(head: Head, level: float, tumour: Tumour | None, plane: Plane, drawn: Slice, x, y, paint) -> np.ndarray:
    """Grey matter as a ribbon under every pial surface, sulci included, and white matter within it. Returns the white matter's cover."""
    gap = 1.0 + 1.8 * head.atrophy
    sulci = _distance_to(sulcal_points(head, level, gap), plane)
    if tumour is not None:
        moved = np.hypot(x - plane.x, y - plane.y) > 1e-9
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
    for s in head.sulci:
        direction = np.array([np.sin(s["bearing"]), -np.cos(s["bearing"])])
        r = 70.0
        for _ in range(3):
            r *= (1 - gap / 75) / outline(head, level, *(r * direction)[:, None])[0]
        start = (r + 2) * direction
        inwards = np.arctan2(-start[1] / head.half_length**2, -start[0] / head.half_width**2)
        depth = min(s["depth"], 9.0) if level < 16 and -34 < start[1] < 26 else s["depth"]
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
            line = curve(start, (0.0 if s["side"] > 0 else np.pi) + s["lean"], s["depth"], s["bends"], STEP)
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
        cleft = np.array([[34, -26], [38.5, -14], [40, -2], [40.5, 9], [44, 18]]) * [1, open_ ** 0.5]
        for path in (cleft, np.array([[70, -12], [58, -9], [48, -9], [40, -6]])):
            length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
            at = np.arange(0, length[-1], STEP)
            line = np.stack([side * wide * np.interp(at, length, path[:, 0]), long * np.interp(at, length, path[:, 1])], -1)
            found.append((line, np.full(len(line), (0.7 + 0.5 * open_) * calibre)))
    return found


def meander(head: Head, y: np.ndarray) -> np.ndarray:
    """x of the interhemispheric fissure, which wanders about the midline but not at its ends."""
    waves = sum(a * np.sin(k * y / 16 + phase) for k, (a, phase) in enumerate(head.fissure, 1))
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


def _ellipse(x, y, centre: tuple[float, float], radii: tuple[float, float], turn: float) -> np.ndarray:
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


def _deep_nuclei(head: Head, level: float, plane: Plane, x, y, paint) -> None:
    for (centre, radii, turn, (low, high), grey), jitter in zip(NUCLEI.values(), head.deep, strict=True):
        size = np.sqrt(max(0.0, 1 - ((level - low) / (high - low)) ** 2))
        if size < 0.2:
            continue
        for side, (dx, dy, ds) in zip((-1, 1), jitter, strict=True):
            place = (side * (centre[0] + dx), centre[1] + dy)
            scaled = (radii[0] * size * (1 + ds), radii[1] * size * (1 + ds))
            paint(grey * plane.cover(0.6 * _ellipse(x, y, place, scaled, side * turn)), "deep_grey")


def _ventricles(head: Head, level: float, plane: Plane, drawn: Slice, x, y, paint) -> None:
    """Lateral ventricles with choroid plexus in their atria, the third ventricle, the cistern behind it and the pineal gland."""
    for name, side in (("right_ventricle", -1), ("left_ventricle", 1)):
        axis = ventricle_axis(head, level, side)
        inside = np.full(x.shape, -50.0)
        for (x0, y0, r0), (x1, y1, r1) in zip(axis[:-1], axis[1:], strict=True):
            if max(r0, r1) <= 0:
                continue
            dx, dy = x1 - x0, y1 - y0
            t = np.clip(((side * x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
            np.maximum(inside, r0 + t * (r1 - r0) - np.hypot(side * x - x0 - t * dx, y - y0 - t * dy), out=inside)
        cover = plane.cover(np.minimum(inside, side * x - 0.7))
        paint(cover, "csf")
        drawn.parts[name] = cover
        if level < 16 and axis[5, 2] > 2:
            plexus = plane.cover(_ellipse(x, y, (side * (axis[5, 0] - 0.6), axis[5, 1] - 2.5), (1.7, 3.4), -0.5 * side))
            paint(plexus * cover, "plexus")
            if head.plexus_calcified:
                paint(plane.cover(_ellipse(x, y, (side * (axis[5, 0] - 0.6), axis[5, 1] - 2.0), (1.2, 2.0), 0.0)), "calcium")
    low = max(0.0, 1 - level / 9)
    third = (1.0 + 1.4 * head.atrophy) * low
    drawn.parts["third_ventricle"] = plane.cover(third - np.hypot(x, np.maximum(np.abs(y - 3) - 11, 0))) * (low > 0.1)
    paint(drawn.parts["third_ventricle"], "csf")
    if low > 0.1:
        paint(plane.cover(_ellipse(x, y, (0, 24), (6.5 * low, 3.6 * low), 0.0)), "csf")
        paint(plane.cover(_ellipse(x, y, (0, 22), (2.0, 2.6), 0.0)), "calcium" if head.pineal_calcified else "grey")


def _falx(head: Head, level: float, plane: Plane, depth, x, y, paint) -> None:
    """The falx in its fissure, and the superior sagittal sinus at both ends of it."""
    front, back = (end * head.half_length / 87 for end in callosum(level))
    ends = np.minimum(np.maximum(front - 14 - y, y - back - 5), depth)
    paint(0.8 * plane.cover(np.minimum(0.5 - np.abs(x - meander(head, y)), ends)), "dura")
    half = np.where(y > 0, 4.2, 2.2)
    paint(plane.cover(np.minimum(half - np.abs(x) - 0.55 * depth, depth - 0.3)), "blood")


def _grow(tumour: Tumour, plane: Plane, drawn: Slice, white: np.ndarray, paint) -> None:
    distance = tumour.distance(plane.x, plane.y)
    fluid = np.maximum(1 - sum(drawn.parts[name] for name in ("right_ventricle", "left_ventricle", "third_ventricle")), 0)
    swollen = 0.95 * white * fluid * np.clip((tumour.oedema - distance) / 5, 0, 1)
    paint(swollen, "oedema")
    cover = plane.cover(-distance) * plane.cover(drawn.depth - 2)
    paint(cover, "rim" if tumour.kind == "ring" else "solid")
    if tumour.kind == "ring":
        paint(plane.cover(-distance - tumour.rim), "core")
    drawn.parts["tumour"] = cover
    drawn.parts["oedema"] = swollen * (1 - cover)
