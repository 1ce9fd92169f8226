"""Drawn dermoscopic images whose truth is known.

    python -m models.phantoms.dermoscopy docs/img/phantoms-dermoscopy.png

Skin reflects what melanin and blood leave: the logarithm of its reflectance is linear in both (N. Tsumura et al., Independent-component
analysis of skin color image, J. Opt. Soc. Am. A 16, 1999, 2169).
"""

import sys
from dataclasses import asdict
from typing import Any

import numpy as np

from models.phantoms.canvas import Canvas, plain
from models.phantoms.dermoscopy_anatomy import KINDS, Lesion, Skin, draw_lesion, draw_skin
from models.phantoms.dermoscopy_optics import Shot, expose

LABELS = tuple(KINDS)


def draw(seed: Any, label: str, height: int, width: int, view: Any = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A dermoscopic image, uint8 height x width x 3, with the lesion's `mask`, 0 or 255, height x width; and its truth.

    `seed` (what `numpy.random.default_rng` takes) draws skin, hair and lesion; `view`, by default a stream of the same, pose, light and
    noise, so that a lesion can be photographed again. A seed gives the same skin, hair, pose and noise under every label: pictures differ
    where one of the lesions is and nowhere else. Raises ValueError for an unknown label.
    """
    if label not in LABELS:
        raise ValueError(f"dermoscopy cannot show {label!r}: the labels are {', '.join(LABELS)}")
    body, mark, mottle, rest = np.random.default_rng(seed).spawn(4)
    pose, quanta = (rest if view is None else np.random.default_rng(view)).spawn(2)
    skin, lesion, shot = draw_skin(body), draw_lesion(mark, label), draw_shot(pose)
    canvas = Canvas.of(height, width, shot.field, (shot.shift_x, shot.shift_y), shot.turn)
    image, cover = expose(canvas, skin, lesion, shot, mottle, quanta.standard_normal((height, width, 3), dtype=np.float32))
    mask = cover > 0.5
    truth = {"label": label, **_truth(canvas, skin, lesion, shot, mask)}
    return {"image": image, "mask": (255 * mask).astype(np.uint8)}, truth


def draw_shot(rng: np.random.Generator) -> Shot:
    """A dermatoscope of 10 to 15 mm; in one picture of five its tube darkens the corners."""
    u = rng.uniform
    return Shot(
        field=u(10.0, 15.0),
        turn=u(-np.pi, np.pi),
        shift_x=u(-1.0, 1.0),
        shift_y=u(-1.0, 1.0),
        exposure=u(0.9, 1.3),
        green=u(0.86, 1.02),
        blue=u(0.86, 1.16),
        vignette=u(0.02, 0.16),
        light_x=u(-0.2, 0.2),
        light_y=u(-0.2, 0.2),
        tube=u(1.1, 1.3) if u() < 0.2 else 9.0,
        blur=u(0.02, 0.045),
        noise=u(0.008, 0.02),
    )


def _truth(canvas: Canvas, skin: Skin, lesion: Lesion, shot: Shot, mask: np.ndarray) -> dict[str, Any]:
    score = lesion.score
    return {
        "diameter_mm": plain(lesion.diameter),
        "asymmetry": score["asymmetry"],
        "border": score["border"],
        "colour_count": score["colours"],
        "total_dermoscopy_score": score["total"],
        "hairs": len(skin.hairs_x),
        "colours": list(lesion.colours),
        "structures": list(lesion.structures),
        "pixel_mm": plain(canvas.pixel),
        "lesion": {
            "centre": canvas.point(0.0, 0.0),
            "area": int(mask.sum()),
            "area_mm2": plain(lesion.area),
            "diameter": canvas.size(lesion.diameter),
            "compactness": plain(lesion.perimeter**2 / (4 * np.pi * lesion.area)),
            "mismatch": [plain(share) for share in lesion.mismatch],
            "abrupt": [bool(each) for each in lesion.abrupt],
            "pigment": plain(lesion.pigment),
        },
        "regions": [_spot(region, canvas) for region in lesion.regions],
        "spots": [_spot(spot, canvas) for spot in lesion.spots],
        "skin": {name: plain(value) for name, value in asdict(skin).items() if isinstance(value, float)},
        "shot": {name: plain(value) for name, value in asdict(shot).items() if isinstance(value, float)},
    }


def _spot(spot: Any, canvas: Canvas) -> dict[str, Any]:
    return {"kind": spot.kind, "centre": canvas.point(spot.x, spot.y), "radius": canvas.size(spot.radius)}


if __name__ == "__main__":
    from models.phantoms.sheet import contact_sheet

    contact_sheet(sys.argv, draw, LABELS, sizes=(160,), columns=6)
