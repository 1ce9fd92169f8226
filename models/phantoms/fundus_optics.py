"""The light of the fundus phantom: what pigment, blood and deposits leave of it. Lengths in mm, bands as in `models.phantoms.canvas`."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import ndimage

from models.phantoms.canvas import HAEMOGLOBIN, MELANIN, Canvas, Spot, Texture, blood, photograph, strokes
from models.phantoms.fundus_anatomy import FIBRE_REACH, Eye, Vessels

ARTERIAL, VENOUS = blood(0.97), blood(0.6)
AROUND = 0.3
"""Share of the light about a vessel that reaches the camera around it, scattered sideways in retina and choroid."""
LENS = np.array([0.0, 0.12, 1.0], np.float32)
LUTEIN = np.array([0.0, 0.05, 1.0], np.float32)
"""Absorption by the yellow lens and by the macula's pigment, as shares of that in blue."""
WHITE = np.array([0.95, 0.95, 0.9], np.float32)


@dataclass(frozen=True)
class Shot:
    """How the picture was taken: the field of view (mm on the retina), what is in its middle, exposure, and faults of the light."""

    field: float
    middle: tuple[float, float]
    exposure: float
    warmth: float
    vignette: float
    light_x: float
    light_y: float
    haze: float
    blur: float
    noise: float


@dataclass(frozen=True)
class Scene:
    """An eye as it is photographed: with this cup (vertical ratio) and these lesions, in a round field of `reach` mm."""

    eye: Eye
    cup: float
    lesions: list[Spot]
    canvas: Canvas
    reach: float

    @property
    def cup_radii(self) -> tuple[float, float]:
        return self.cup * self.eye.disc_radius * self.eye.disc_slimness, self.cup * self.eye.disc_radius

    @property
    def cup_centre(self) -> tuple[float, float]:
        """Towards the temple and upwards, for the rim is thickest below and on the nasal side (J. B. Jonas et al., Invest. Ophthalmol.
        Vis. Sci. 29, 1988, 1151)."""
        left = (1 - self.cup) * self.eye.disc_radius
        return 0.3 * left, -0.12 * left

    def within(self, centre: tuple[float, float], radii: tuple[float, float], box: Any = ...) -> np.ndarray:
        """How far (mm) each point is inside the outline of an ellipse that is tilted as the disc is; negative outside."""
        dx, dy = self.canvas.x[box] - centre[0], self.canvas.y[box] - centre[1]
        cos, sin = np.cos(self.eye.disc_tilt), np.sin(self.eye.disc_tilt)
        rho = np.hypot((dx * cos + dy * sin) / radii[0], (dy * cos - dx * sin) / radii[1])
        return (1 - rho) * np.sqrt(radii[0] * radii[1])

    @cached_property
    def from_fovea(self) -> np.ndarray:
        return np.hypot(self.canvas.x - self.eye.fovea[0], self.canvas.y - self.eye.fovea[1])


def expose(scene: Scene, shot: Shot, rng: np.random.Generator, quanta: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """The photograph, the mask of its vessels, and the length (mm) of arteries and veins in the field."""
    canvas, eye = scene.canvas, scene.eye
    from_middle = np.hypot(canvas.x - shot.middle[0], canvas.y - shot.middle[1])
    in_field = canvas.cover(scene.reach - from_middle)
    melanin, red, white = _pigment(scene, Texture(rng, 26.0, canvas.pixel, slope=2.2))
    light = white[..., None] * WHITE * np.exp(-2 * (melanin[..., None] * MELANIN + red[..., None] * HAEMOGLOBIN))
    light += _sheen(scene, rng)[..., None] * np.array([0.55, 0.5, 0.3], np.float32)
    _deposits(light, scene, below=True)
    mask = np.zeros(light.shape[:2], bool)
    for tree, absorbed, reflex in ((eye.veins, VENOUS, 0.05), (eye.arteries, ARTERIAL, 0.16)):
        chord, wide = strokes(canvas, tree.x, tree.y, tree.radius, tree.drawn)
        mask |= _inside(chord, wide, canvas.pixel)
        light *= AROUND + (1 - AROUND) * np.exp(-2 * chord[..., None] * absorbed)
        light *= 1 + reflex * (np.clip(chord / np.maximum(2 * wide, 1e-6) - 0.8, 0, 0.2) / 0.2)[..., None]
    _deposits(light, scene, below=False)
    luteal = eye.lens * LENS + 0.5 * np.exp(-((scene.from_fovea / 0.9) ** 2))[..., None] * LUTEIN
    light *= np.exp(-luteal)
    light = _camera(light, scene, shot, from_middle) * in_field[..., None]
    mask &= in_field > 0.5
    lengths = {name: _length(tree, scene, shot.middle) for name, tree in (("arteries", eye.arteries), ("veins", eye.veins))}
    return photograph(light, quanta * in_field[..., None], shot.noise), (255 * mask).astype(np.uint8), lengths


def _inside(chord: np.ndarray, wide: np.ndarray, pixel: float) -> np.ndarray:
    """Pixels more than half of which a vessel fills; for one thinner than a pixel, those that hold most of its width."""
    return chord > np.where(wide > pixel / 2, 0.55 * wide, np.pi * wide**2 / pixel * 0.5 + 1e-9)


def _pigment(scene: Scene, texture: Texture) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Melanin and blood that light passes once, and what is reflected behind them: choroid, macula and disc."""
    eye, canvas = scene.eye, scene.canvas
    # Choroidal vessels run where a pattern is near 0; pigment lies between them.
    warp = 0.4 * texture.at(canvas.x, canvas.y, 0.5, 0.31)
    ridge = texture.at(canvas.x + warp, canvas.y - warp, 1.5, 0.13)
    between = 0.55 - np.exp(-((ridge / 0.55) ** 2))
    grain = texture.at(canvas.x, canvas.y, 4.0, 0.57)
    away = 1 - 0.9 * np.exp(-((scene.from_fovea / 2.2) ** 2))
    melanin = eye.melanin * (1 + eye.tessellation * 0.6 * between * away + 0.2 * warp + 0.1 * grain)
    melanin += eye.macula * (0.2 * np.exp(-((scene.from_fovea / 1.3) ** 2)) + 0.22 * np.exp(-((scene.from_fovea / 0.45) ** 2)))
    red = eye.blood * (1 + 0.1 * eye.tessellation * between * away + 0.1 * warp + 0.02 * grain)
    slim, tall = eye.disc_radius * eye.disc_slimness, eye.disc_radius
    within = scene.within((0.0, 0.0), (slim, tall))
    bearing = np.arctan2(canvas.y, canvas.x)
    # Pigment heaped up along the temporal margin.
    melanin += eye.crescent * np.exp(-(((within + 0.08) / 0.09) ** 2)) * np.clip(np.cos(bearing) + 0.1, 0.0, 1.0)
    disc = 1 / (1 + np.exp(-within / 0.035))
    cupped = 1 / (1 + np.exp(-scene.within(scene.cup_centre, scene.cup_radii) / (0.035 + 0.05 * scene.cup)))
    nasal = 0.12 * np.clip(-canvas.x / eye.disc_radius, 0, 1)
    rim = 0.55 + nasal + 0.05 * grain
    red = red * (1 - disc) + disc * (rim * (1 - cupped) + 0.08 * cupped)
    melanin = melanin * (1 - disc) + disc * 0.02
    return np.maximum(melanin, 0.0), np.maximum(red, 0.05), 0.95 - 0.1 * disc


def _sheen(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Light reflected by bundles of nerve fibres, brightest along the arcades near the disc: streaks along the curves of `fibres`."""
    eye, canvas = scene.eye, scene.canvas
    far = np.clip(canvas.x, 0.05, 0.9 * FIBRE_REACH)
    curve = (canvas.y - eye.fovea[1] / eye.fovea[0] * canvas.x) / (np.sqrt(far) * (1 - (far / FIBRE_REACH) ** 2))
    nasal = np.sign(canvas.y) * (np.pi / 2 + np.arctan2(-canvas.x, np.abs(canvas.y) + 1e-6))
    bearing = np.where(canvas.x > 0, np.arctan(curve / 1.2), nasal)
    broad, narrow = rng.normal(size=61), rng.normal(size=361)
    streaks = 0.8 * np.interp(np.linspace(0, 60, 1441), np.arange(61), broad)
    streaks += 0.6 * np.interp(np.linspace(0, 360, 1441), np.arange(361), narrow)
    streak = streaks.astype(np.float32)[np.clip(((bearing + np.pi) * 1440 / (2 * np.pi)).astype(int), 0, 1440)]
    bundle = np.exp(-(((np.abs(bearing) - 1.05) / 0.42) ** 2))
    fading = np.exp(-np.maximum(np.hypot(canvas.x, canvas.y) - eye.disc_radius, 0.0) / 2.2)
    return eye.sheen * 0.07 * bundle * fading * np.clip(0.8 + 0.35 * streak, 0.1, 2.0)


COLOURS = {
    "hard-exudate": np.array([0.95, 0.62, 0.6], np.float32),
    "cotton-wool-spot": np.array([0.9, 0.5, 0.5], np.float32),
    "druse": np.array([0.9, 0.34, 0.2], np.float32),
}
"""Reflectance of deposits: fat, swollen nerve fibres, and what lies under a thin pigment epithelium."""


def _deposits(light: np.ndarray, scene: Scene, below: bool) -> None:
    """Adds the lesions behind the vessels (deep deposits) or before them (blood, swollen fibres) to the light."""
    for lesion in scene.lesions:
        if (lesion.kind in ("hard-exudate", "druse")) != below:
            continue
        box, far = scene.canvas.spot(lesion, 1.6)
        if not far.size:
            continue
        cover = scene.canvas.filled(far, lesion.radius)
        if lesion.kind in COLOURS:
            if lesion.kind != "hard-exudate":
                # Half as much on the outline as in the middle, without an edge that one could trace.
                cover = np.minimum(1.0, 1.1 / (1 + np.exp(5 * (far - 0.95))))
            share = ((0.75 if below else 0.5) * lesion.strength * cover)[..., None]
            light[box] = light[box] * (1 - share) + share * COLOURS[lesion.kind]
        else:
            depth = 0.07 if lesion.kind == "microaneurysm" else 0.1
            light[box] *= 1 - (cover * (1 - 0.5 * AROUND))[..., None] * (1 - np.exp(-2 * depth * lesion.strength * VENOUS))


def _camera(light: np.ndarray, scene: Scene, shot: Shot, from_middle: np.ndarray) -> np.ndarray:
    """Illumination that falls off from its centre, the blur of eye and lens, stray light, and the gains of the three bands."""
    canvas = scene.canvas
    dx, dy = canvas.x - shot.middle[0], canvas.y - shot.middle[1]
    off = np.hypot(dx / scene.reach - shot.light_x, dy / scene.reach - shot.light_y)
    lit = shot.exposure * (1 - shot.vignette * np.minimum(off, 1.3) ** 2.2)
    light = light * lit[..., None] + shot.haze * np.array([0.6, 0.8, 0.8], np.float32)
    sigma = shot.blur / canvas.pixel
    if sigma > 0.25:
        light = ndimage.gaussian_filter(light, (sigma, sigma, 0))
    return light * np.array([1.15 * shot.warmth, 1.15, 1.15 / shot.warmth])


def _length(tree: Vessels, scene: Scene, middle: tuple[float, float]) -> float:
    seen = tree.drawn[:, 1:] & (np.hypot(tree.x - middle[0], tree.y - middle[1])[:, 1:] < scene.reach)
    return float((np.hypot(np.diff(tree.x), np.diff(tree.y)) * seen).sum())
