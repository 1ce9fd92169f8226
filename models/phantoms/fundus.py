"""Drawn colour photographs of the fundus whose truth is known.

    python -m models.phantoms.fundus docs/img/phantoms-fundus.png

Light enters through the pupil, passes pigment and blood on its way in and out, and is lost by Beer and Lambert's law in each of the
camera's bands (F. C. Delori and K. P. Pflibsen, Spectral reflectance of the human ocular fundus, Appl. Opt. 28, 1989, 1061).
"""

import sys
from dataclasses import asdict
from typing import Any

import numpy as np

from models.phantoms.canvas import Canvas, Spot, plain
from models.phantoms.fundus_anatomy import Eye, draw_eye
from models.phantoms.fundus_lesions import draw_lesions
from models.phantoms.fundus_optics import Scene, Shot, expose

LABELS = ("normal", "diabetic-retinopathy", "glaucoma", "amd")


def draw(seed: Any, label: str, height: int, width: int, view: Any = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A fundus photograph, uint8 height x width x 3, with `vessels`, 0 or 255, height x width; and its truth.

    `seed` (what `numpy.random.default_rng` takes) draws the eye; `view`, by default a stream of the same, draws lesions, pose, light and
    noise, so that an eye can be photographed again. A seed gives the same eye, pose and noise under every label: `glaucoma` differs from
    `normal` by its cup alone, the others by their lesions. Raises ValueError for an unknown label.
    """
    if label not in LABELS:
        raise ValueError(f"a fundus cannot be {label!r}: the labels are {', '.join(LABELS)}")
    body, choroid, rest = np.random.default_rng(seed).spawn(3)
    findings, pose, quanta = (rest if view is None else np.random.default_rng(view)).spawn(3)
    eye = draw_eye(body)
    shot = draw_shot(pose, eye)
    reach = 0.5 * shot.field * 0.96
    lesions = draw_lesions(findings, label, eye, shot.middle, reach - 0.15)
    cup = eye.large_cup if label == "glaucoma" else eye.normal_cup
    canvas = Canvas.of(height, width, shot.field, shot.middle, mirror=1 if eye.left else -1)
    scene = Scene(eye, cup, lesions, canvas, reach)
    image, vessels, lengths = expose(scene, shot, choroid, quanta.standard_normal((height, width, 3), dtype=np.float32))
    return {"image": image, "vessels": vessels}, {"label": label, **_truth(scene, shot, vessels, lengths)}


def draw_shot(rng: np.random.Generator, eye: Eye) -> Shot:
    """A camera of 40 to 50 degrees, 0.288 mm a degree, centred between macula and disc, both of which it shows."""
    u = rng.uniform
    share = u(0.0, 0.75)
    return Shot(
        field=u(42.0, 50.0) * 0.288,
        middle=(eye.fovea[0] * (1 - share) + u(-0.25, 0.25), eye.fovea[1] * (1 - share) + u(-0.3, 0.3)),
        exposure=u(1.0, 1.6),
        warmth=u(0.85, 1.15),
        vignette=u(0.4, 0.72),
        light_x=u(-0.3, 0.3),
        light_y=u(-0.3, 0.3),
        haze=u(0.0, 0.006),
        blur=u(0.012, 0.022),
        noise=u(0.012, 0.03),
    )


def _truth(scene: Scene, shot: Shot, vessels: np.ndarray, lengths: dict[str, float]) -> dict[str, Any]:
    eye, canvas, lesions = scene.eye, scene.canvas, scene.lesions
    fovea = {"centre": canvas.point(*eye.fovea), "from_disc": canvas.size(np.hypot(*eye.fovea))}
    fovea["disc_diameters"] = plain(np.hypot(*eye.fovea) / (2 * eye.disc_radius))
    arteries, veins = (2 * np.mean(tree.trunks) for tree in (eye.arteries, eye.veins))
    field = np.hypot(canvas.x - shot.middle[0], canvas.y - shot.middle[1]) < scene.reach
    return {
        "laterality": "left" if eye.left else "right",
        "cup_to_disc_ratio": plain(scene.cup),
        "arteriovenous_ratio": plain(arteries / veins),
        "lesion_count": len(lesions),
        "pixel_mm": plain(canvas.pixel),
        "field": {"centre": canvas.point(*shot.middle), "radius": canvas.size(scene.reach), "degrees": plain(shot.field * 0.96 / 0.288)},
        "disc": {
            "centre": canvas.point(0.0, 0.0),
            "radius": canvas.size(eye.disc_radius * np.sqrt(eye.disc_slimness)),
            "radii": [canvas.size(eye.disc_radius * eye.disc_slimness), canvas.size(eye.disc_radius)],
            "cup_radii": [canvas.size(radius) for radius in scene.cup_radii],
            "cup_centre": canvas.point(*scene.cup_centre),
        },
        "foveas": [fovea],
        "vessels": {
            "area": int((vessels > 0).sum()),
            "share": plain((vessels > 0).sum() / field.sum()),
            "artery_length": canvas.size(lengths["arteries"]),
            "vein_length": canvas.size(lengths["veins"]),
            "artery_width": canvas.size(arteries),
            "vein_width": canvas.size(veins),
        },
        "lesions": [_lesion(lesion, canvas) for lesion in lesions],
        "eye": {name: plain(value) for name, value in asdict(eye).items() if isinstance(value, float)},
        "shot": {name: plain(value) for name, value in asdict(shot).items() if isinstance(value, float)},
    }


def _lesion(lesion: Spot, canvas: Canvas) -> dict[str, Any]:
    return {
        "kind": lesion.kind,
        "centre": canvas.point(lesion.x, lesion.y),
        "radius": canvas.size(lesion.radius),
        "radii": [canvas.size(lesion.radius * lesion.squash), canvas.size(lesion.radius / lesion.squash)],
        "angle_degrees": plain(np.degrees(canvas.mirror * lesion.angle)),
        "strength": plain(lesion.strength),
    }


if __name__ == "__main__":
    from models.phantoms.sheet import contact_sheet

    contact_sheet(sys.argv, draw, LABELS, sizes=(200,), columns=4)
