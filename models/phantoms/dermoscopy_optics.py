"""The light of the dermoscopy phantom: what melanin and blood leave of it, and the blue of melanin that lies deep. Lengths in mm."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from models.phantoms.canvas import HAEMOGLOBIN, MELANIN, Canvas, Spot, Texture, photograph, strokes
from models.phantoms.dermoscopy_anatomy import Lesion, Skin

DERMIS = np.array([0.86, 0.74, 0.68], np.float32)
"""Reflectance of skin without pigment and blood."""
VEIL = np.array([0.10, 0.12, 0.155], np.float32)
"""What the dermis above deep melanin scatters back: short waves most, which makes such pigment look blue-grey (R. R. Anderson and J. A.
Parrish, The optics of human skin, J. Invest. Dermatol. 77, 1981, 13)."""
SCAR = np.array([0.9, 0.82, 0.84], np.float32)


@dataclass(frozen=True)
class Shot:
    """How the picture was taken: field of view (mm), turn, where the lesion lies off the middle (mm), light and its faults."""

    field: float
    turn: float
    shift_x: float
    shift_y: float
    exposure: float
    green: float
    blue: float
    vignette: float
    light_x: float
    light_y: float
    tube: float
    blur: float
    noise: float


def expose(canvas: Canvas, skin: Skin, lesion: Lesion, shot: Shot, rng: np.random.Generator, quanta: np.ndarray) -> tuple[np.ndarray, ...]:
    """The photograph, and how much of each pixel is lesion (0 to 1)."""
    texture = Texture(rng, 32.0, canvas.pixel, slope=1.55)
    clouds, fine = texture.at(canvas.x, canvas.y, 1.0, 0.2), texture.at(canvas.x, canvas.y, 3.0, 0.6)
    melanin = skin.melanin * (1 + 0.08 * skin.mottle * clouds + 0.05 * fine)
    red = skin.blood * (1 + 0.13 * skin.mottle * fine - 0.1 * skin.mottle * clouds)
    relief = _furrows(canvas, skin, clouds)
    inside, cover, pigment = _pigmented(canvas, lesion, fine)
    melanin = melanin * (1 - 0.3 * pigment) + _pattern(canvas, lesion, inside, pigment, clouds, fine)
    red = red + 0.25 * lesion.pigment * pigment
    veil, scar = np.zeros((2, *melanin.shape), np.float32)
    # Black lies above all other colours, and takes the light that these send back.
    for region in sorted(lesion.regions, key=lambda each: each.kind == "black"):
        _colour(canvas, region, pigment, fine, melanin, red, veil, scar)
    for spot in lesion.spots:
        box, far = canvas.spot(spot, 1.3)
        share = canvas.filled(far, spot.radius) * spot.strength
        if spot.kind == "cyst":
            scar[box] = np.maximum(scar[box], 0.5 * share * np.clip(1.3 - far, 0, 1))
        else:
            melanin[box] += {"globule": 0.45, "dot": 0.7, "opening": 0.8}[spot.kind] * share * np.minimum(pigment[box] + 0.2, 1)
    chord, wide = strokes(canvas, skin.hairs_x, skin.hairs_y, skin.hair_radius, np.ones(skin.hairs_x.shape, bool))
    absorbed = melanin[..., None] * MELANIN + red[..., None] * HAEMOGLOBIN
    light = DERMIS * np.exp(-2 * absorbed) * (1 - relief)[..., None]
    light += veil[..., None] * (VEIL - 0.5 * light) + scar[..., None] * (SCAR - light) * 0.7
    hair = chord / np.maximum(2 * wide, 1e-6)
    light *= 1 - 0.88 * np.minimum(hair, 1.0)[..., None] * (1 - np.exp(-skin.hair_melanin * MELANIN))
    return photograph(_lit(light, canvas, shot), quanta, shot.noise), cover


def _furrows(canvas: Canvas, skin: Skin, clouds: np.ndarray) -> np.ndarray:
    """The fine lines of skin, two families that cross, as a loss of light."""
    fade = _kept(0.35, canvas.pixel)
    if not fade:
        return np.zeros_like(clouds)
    lines = np.zeros_like(clouds)
    for angle in (skin.furrow_angle, skin.furrow_angle + 1.1):
        phase = (canvas.x * np.cos(angle) + canvas.y * np.sin(angle)) * 2 * np.pi / 0.35 + 2.5 * clouds
        lines += np.maximum(np.cos(phase) - 0.4, 0) / 0.6
    return skin.furrows * fade * lines


def _kept(spacing: float, pixel: float) -> float:
    """What the average over a pixel leaves of a pattern with this spacing; 0 from half a period a pixel on, where it could only alias."""
    return float(np.sinc(pixel / spacing)) if pixel < spacing / 2 else 0.0


def _pigmented(canvas: Canvas, lesion: Lesion, fine: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How far (mm) each pixel lies within the edge, how much of it the lesion covers, and its share of pigment: half on the edge."""
    far, bearing = np.hypot(canvas.x, canvas.y), np.arctan2(canvas.y, canvas.x)
    degree = (np.degrees(bearing) % 360).astype(int) % 360
    inside = (lesion.edge(bearing % (2 * np.pi)) - far).astype(np.float32)
    soft = np.maximum(lesion.softness[degree].astype(np.float32), 0.4 * canvas.pixel)
    pigment = 1 / (1 + np.exp(-np.clip((inside + 0.3 * soft * fine) * 2.6 / soft, -30, 30)))
    return inside, canvas.cover(inside), pigment * (inside > -2.5 * soft)


def _pattern(canvas: Canvas, lesion: Lesion, inside: np.ndarray, pigment: np.ndarray, clouds: np.ndarray, fine: np.ndarray) -> np.ndarray:
    """Melanin of the lesion: clumps, and a net of three waves at 60 degrees, whose crests are the holes."""
    uneven = np.clip(1 + lesion.clumps * (1.3 * clouds + 0.8 * fine), 0.25, 2.2)
    fade = _kept(lesion.network_spacing, canvas.pixel) * lesion.network
    net = np.zeros_like(clouds)
    if fade:
        warp = (1.8 + 1.4 * lesion.irregular) * clouds + (0.5 + 0.5 * lesion.irregular) * fine
        for angle in (0.0, np.pi / 3, 2 * np.pi / 3):
            net += np.cos((canvas.x * np.cos(angle) + canvas.y * np.sin(angle)) * 2 * np.pi / lesion.network_spacing + warp)
        net = -np.tanh(0.7 * net) * np.clip(0.8 + 0.3 * clouds + 0.9 * lesion.irregular * fine, 0, 1.6)
    deep = 0.7 + 0.45 * (1 - np.exp(-np.maximum(inside, 0) / (0.35 * lesion.outline.mean())))
    return lesion.pigment * pigment * deep * np.maximum(uneven * (1 + 0.5 * fade * net), 0.05)


def _colour(
    canvas: Canvas,
    region: Spot,
    pigment: np.ndarray,
    fine: np.ndarray,
    melanin: np.ndarray,
    red: np.ndarray,
    veil: np.ndarray,
    scar: np.ndarray,
) -> None:
    """Gives a region its colour: melanin near the surface is black, in the dermis blue-grey; more blood is red; a scar is white."""
    box, far = canvas.spot(region, 3.0)
    share = region.strength * pigment[box] / (1 + np.exp(np.clip(4.5 * (far - 1) + 0.7 * fine[box], -30, 30)))
    if region.kind == "black":
        melanin[box] += 1.1 * share
        for below in (veil, scar):
            below[box] *= np.maximum(1 - share, 0)
    elif region.kind == "blue-grey":
        melanin[box] += 0.25 * share
        veil[box] += share
    elif region.kind == "red":
        melanin[box] *= np.maximum(1 - 0.75 * share, 0)
        red[box] += 0.45 * share
    else:
        melanin[box] *= np.maximum(1 - 0.65 * share, 0)
        scar[box] += 0.5 * share * np.clip(1 + 0.5 * fine[box], 0, 1.6)


def _lit(light: np.ndarray, canvas: Canvas, shot: Shot) -> np.ndarray:
    """The dermatoscope's light: brightest near its middle, tinted, and cut off by its tube where this shows."""
    height, width = light.shape[:2]
    down, across = (2 * (np.arange(n, dtype=np.float32) + 0.5) / min(height, width) - n / min(height, width) for n in (height, width))
    off = np.hypot(down[:, None] - shot.light_y, across[None, :] - shot.light_x)
    lit = shot.exposure * (1 - shot.vignette * off**2) / (1 + np.exp((off - shot.tube) / 0.03))
    light = light * lit[..., None] * np.array([1.0, shot.green, shot.blue], np.float32)
    sigma = shot.blur / canvas.pixel
    return ndimage.gaussian_filter(light, (sigma, sigma, 0)) if sigma > 0.25 else light
