"""Drawn frontal chest radiographs whose truth is known.

    python -m models.phantoms.chest docs/img/phantoms.png

Anatomy is drawn in centimetres, projected by adding up line integrals of attenuation, and exposed by the law of Beer and Lambert,
I = I0 exp(-sum(mu t)). What is displayed is log exposure through a sigmoid (DICOM PS3.3 C.11.3.1.2), dense white.
"""

import sys
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from models.phantoms.chest_anatomy import SIDES, Anatomy, Heart, Opacity, draw_anatomy, draw_opacities
from models.phantoms.chest_projection import FRONT, LUNG, RIB_PAIRS, SOFT, Rays, line_integrals

LABELS = ("normal", "opacity", "cardiomegaly")


@dataclass(frozen=True)
class Exposure:
    """How the picture was taken: field of view (cm), turns in the image plane and about the vertical (radians), shift (cm), scatter and
    noise (shares of the lungs' exposure), and the sigmoid's centre and width (units of line integral)."""

    field: float
    roll: float
    yaw: float
    shift_x: float
    shift_y: float
    scatter: float
    noise: float
    centre: float
    window: float


def draw(seed: Any, label: str, height: int, width: int, view: Any = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """`draw_chest` as every modality is asked for it; no image beside the radiograph."""
    image, truth = draw_chest(seed, label, height, width, view)
    return {"image": image}, truth


def draw_chest(rng_or_seed: Any, label: str, height: int, width: int, view: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
    """A frontal chest radiograph, uint8 height x width, and its truth: all that was drawn, save the pattern of mottle and vessels.

    `rng_or_seed` (what `numpy.random.default_rng` takes) draws the patient; `view`, by default a stream of the same, draws opacities,
    pose, exposure and noise, so that a patient can be imaged again. A seed gives the same patient, pose and noise under every label:
    `opacity` differs from `normal` by its opacities alone. Another size changes only the noise. Raises ValueError for an unknown label.
    """
    if label not in LABELS:
        raise ValueError(f"a phantom cannot be {label!r}: the labels are {', '.join(LABELS)}")
    body, rest = np.random.default_rng(rng_or_seed).spawn(2)
    findings, pose, quanta = (rest if view is None else np.random.default_rng(view)).spawn(3)
    anatomy = draw_anatomy(body)
    heart = anatomy.enlarged_heart if label == "cardiomegaly" else anatomy.normal_heart
    opacities = draw_opacities(findings, anatomy, heart) if label == "opacity" else []
    exposure = draw_exposure(pose, anatomy)
    rays = _rays(exposure, height, width)
    total, lungs = line_integrals(anatomy, heart, opacities, rays, exposure.yaw)
    image = _expose(total, exposure, anatomy, quanta.normal(size=(height, width)), rays.scale)
    return image, {"label": label, **_truth(anatomy, heart, opacities, exposure, rays, lungs, height, width)}


def draw_exposure(rng: np.random.Generator, anatomy: Anatomy) -> Exposure:
    """Pose and exposure. The window follows the patient's thickness, as automatic exposure does, and never the findings."""
    u = rng.uniform
    mediastinum = SOFT * anatomy.thickness
    contrast = (SOFT - LUNG) * anatomy.lung_depth
    return Exposure(
        field=u(1.0, 1.18) * max(2.34 * anatomy.half_width, 1.15 * (anatomy.sulcus - anatomy.apex) + 3),
        roll=u(-0.06, 0.06),
        yaw=u(-0.06, 0.06),
        shift_x=u(-1.0, 1.0),
        shift_y=u(-1.2, 1.2),
        scatter=u(0.08, 0.2),
        noise=u(0.01, 0.025),
        centre=mediastinum - u(0.5, 0.7) * contrast,
        window=u(0.8, 1.15) * contrast,
    )


def _rays(e: Exposure, height: int, width: int) -> Rays:
    scale = max(2, round(96 / min(height, width)))
    pixel = e.field / min(height, width)
    down, across = (pixel * ((np.arange(n * scale) + 0.5) / scale - n / 2) for n in (height, width))
    down, across = down[:, None], across[None, :]
    cos, sin = np.cos(e.roll), np.sin(e.roll)
    return Rays(across * cos + down * sin - e.shift_x, down * cos - across * sin - e.shift_y, pixel, scale)


def _expose(total: np.ndarray, e: Exposure, a: Anatomy, quanta: np.ndarray, scale: int) -> np.ndarray:
    """Grey values of line integrals: a pixel collects the rays that fall on it, then a veil of scatter and quantum noise, whose variance
    goes with the exposure."""
    height, width = quanta.shape
    lung = np.exp((SOFT - LUNG) * a.lung_depth - SOFT * a.thickness)
    collected = np.exp(-total).reshape(height, scale, width, scale).mean((1, 3)) + e.scatter * lung
    collected += e.noise * np.sqrt(collected * lung) * quanta
    density = -np.log(np.maximum(collected, 1e-3 * lung))
    return np.rint(255 / (1 + np.exp(-4 * (density - e.centre) / e.window))).astype(np.uint8)


def _truth(
    a: Anatomy, heart: Heart, opacities: list[Opacity], e: Exposure, rays: Rays, lungs: np.ndarray, height: int, width: int
) -> dict[str, Any]:
    cos, sin = np.cos(e.roll), np.sin(e.roll)

    def place(x: float, y: float) -> list[float]:
        """Column and row of a point: the pixel in row r and column c covers c to c + 1 and r to r + 1."""
        x, y = x + e.shift_x, y + e.shift_y
        return [_plain((x * cos - y * sin) / rays.pixel + width / 2), _plain((x * sin + y * cos) / rays.pixel + height / 2)]

    def size(*lengths: float) -> list[float]:
        return [_plain(length / rays.pixel) for length in lengths]

    crest = 0.45 * a.half_width
    return {
        "pixel_cm": _plain(rays.pixel),
        "rotation_degrees": _plain(np.degrees(e.roll)),
        "turn_degrees": _plain(np.degrees(e.yaw)),
        "thorax_width": size(2 * a.half_width)[0],
        "lungs": {side: _extent(lungs * (np.sign(rays.x) == sign), rays.scale) for side, sign in SIDES.items()},
        "diaphragm": {"right": place(-crest, a.dome_right), "left": place(crest, a.dome_left)},
        "heart": {
            "centre": place(heart.x + FRONT * e.yaw, heart.y),
            "radii": size(heart.long, heart.short),
            "angle_degrees": _plain(np.degrees(heart.angle + e.roll)),
            "width": size(2 * heart.half_width)[0],
        },
        "cardiothoracic_ratio": _plain(heart.half_width / a.half_width),
        "opacities": [
            {
                "side": o.side,
                "centre": place(o.x, o.y),
                "radii": size(o.radius_x, o.radius_y),
                "strength_cm": _plain(o.strength),
                "line_integral": _plain((SOFT - LUNG) * o.strength),
                "waves": [_plain(wave) for wave in o.waves],
            }
            for o in opacities
        ],
        "ribs": {"pairs": RIB_PAIRS, "spacing": size(a.rib_spacing)[0], "radius": size(a.rib_radius)[0]},
        "vertebra": size(a.vertebra)[0],
        "anatomy_cm": {name: _plain(value) for name, value in asdict(a).items() if isinstance(value, float)},
        "exposure": {name: _plain(value) for name, value in asdict(e).items()},
    }


def _extent(cover: np.ndarray, scale: int) -> dict[str, Any]:
    """Area in pixels, and the box [left, top, right, bottom] of what is covered by more than half."""
    rows, columns = (np.flatnonzero((cover > 0.5).any(axis)) for axis in (1, 0))
    box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    return {"area": _plain(cover.sum() / scale**2), "box": [_plain(edge / scale) for edge in box]}


def _plain(value: Any) -> float:
    return round(float(value), 4)


if __name__ == "__main__":
    from models.phantoms.sheet import contact_sheet

    contact_sheet(sys.argv, draw, LABELS, sizes=(128, 32), columns=6)
