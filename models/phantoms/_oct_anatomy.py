"""The anatomy of the OCT phantom: one eye's macula along a horizontal line through the fovea, and the depths that follow from it.

x in mm from the fovea, positive to image right; depths in micrometres, downwards (away from the vitreous), from Bruch's membrane under the
fovea of a healthy eye. Bands are named as the IN-OCT consensus does (Staurenghi et al., Ophthalmology 2014;121:1572).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

BOUNDARIES = (
    "ilm",
    "rnfl_gcl",
    "ipl_inl",
    "inl_opl",
    "opl_onl",
    "elm",
    "ellipsoid_top",
    "ellipsoid_base",
    "outer_segment_tips",
    "rpe_top",
    "rpe_base",
    "bruch",
    "choroid_sclera",
)
"""From the vitreous outwards. Between `outer_segment_tips` and `rpe_top` there is subretinal fluid, between `rpe_base` and `bruch` a druse;
where there is neither, the two coincide."""
LAYERS = ("rnfl", "gcl_ipl", "inl", "opl", "onl", "myoid", "ellipsoid", "outer_segments", "subretinal", "rpe", "sub_rpe", "choroid")
"""What lies between one boundary and the next; vitreous above, sclera below."""
RETINA = LAYERS[:10]
CYST_LAYERS = {"inl": 2, "onl": 4}


@dataclass(frozen=True)
class Eye:
    """One eye. `nasal`: the sign of x on the side of the optic disc; `scales`: how thick each layer of the retina is against the norm."""

    nasal: int
    pit: float  # radius of the foveal pit, mm
    scales: dict[str, float]
    choroid: float  # thickness under the fovea, um
    bowl: float  # how far the macula curves towards the vitreous, um per mm^2
    waves: np.ndarray  # boundaries x harmonics x (amplitude um, wave number 1/mm, phase)
    vessels: np.ndarray  # retinal: n x (x, share of the inner retina's depth, radius x mm, radius z um)
    lumens: np.ndarray  # choroidal: n x (x, share of the choroid's depth, radius x mm, radius z um)
    hyaloid: float  # height of the detached posterior hyaloid at the fovea, um; 0 for none in sight


@dataclass(frozen=True)
class Pocket:
    """Fluid about (`x`, `z`): `kind` is `inl` or `onl` (a cyst in that layer) or `subretinal` (a dome on the RPE)."""

    kind: str
    x: float
    radius_x: float
    height: float

    def lift(self, x: np.ndarray) -> np.ndarray:
        """How far (um) the pocket lifts what lies above it; a cyst's layer bulges well beyond the cyst's ends."""
        if self.kind == "subretinal":
            return self.height * _bump((x - self.x) / self.radius_x, 1.5)
        return self.height * _bump((x - self.x) / (2.0 * self.radius_x + 0.2), 2.0)


@dataclass(frozen=True)
class Mound:
    """A druse under the RPE, or a tumour under Bruch's membrane: a dome `height` um high on a base `2 * radius_x` mm wide."""

    x: float
    radius_x: float
    height: float

    def lift(self, x: np.ndarray) -> np.ndarray:
        return self.height * _bump((x - self.x) / self.radius_x, 2.0)


@dataclass(frozen=True)
class Findings:
    pockets: list[Pocket] = field(default_factory=list)
    drusen: list[Mound] = field(default_factory=list)
    tumour: Mound | None = None


def _bump(u: np.ndarray, power: float) -> np.ndarray:
    return np.maximum(1.0 - u * u, 0.0) ** power


def draw_eye(rng: np.random.Generator) -> Eye:
    """An adult's macula. Choroid under the fovea 287 +- 76 um (Margolis and Spaide, Am J Ophthalmol 2009;147:811), kept within 1.6 SD."""
    u = rng.uniform
    nasal = int(rng.choice([-1, 1]))
    overall = u(0.95, 1.06)
    scales = {layer: overall * u(0.93, 1.07) for layer in RETINA}
    choroid = 287 + 76 * float(np.clip(rng.normal(), -1.6, 1.6))
    waves = np.stack([rng.exponential(1.0, (13, 3)), u(0.4, 2.5, (13, 3)), u(0, 2 * np.pi, (13, 3))], -1)
    spots = (u(0.6, 4.2, 5) * rng.choice([-1, 1], 5))[: rng.integers(2, 6)]
    vessels = np.stack([spots, u(0.25, 0.6, len(spots)), u(0.03, 0.075, len(spots)), u(25, 45, len(spots))], -1)
    large, small = rng.integers(16, 26), 50
    lumens = np.concatenate(
        [
            np.stack([u(-5, 5, large), u(0.5, 0.85, large), u(0.1, 0.32, large), u(0.13, 0.24, large)], -1),
            np.stack([u(-5, 5, small), u(0.16, 0.5, small), u(0.03, 0.1, small), u(0.05, 0.1, small)], -1),
        ]
    )
    return Eye(nasal, u(0.36, 0.48), scales, choroid, u(4.0, 13.0), waves, vessels, lumens, u(120, 320) if u() < 0.35 else 0.0)


def thickness(eye: Eye, x: np.ndarray) -> dict[str, np.ndarray]:
    """Thickness (um) of each layer in health.

    Smooth curves through published means: about 230 um in all at the foveola (Grover et al., Am J Ophthalmol 2009;148:266), a rim about
    330 um at 1 mm, and for single layers the tables of Palazon-Cabanes et al., J Clin Med 2020;9:3317. The RNFL thickens towards the disc.
    The choroid thins by about half at 3 mm nasally and by a tenth temporally (Margolis and Spaide 2009).
    """
    r, nasal = np.abs(x), np.maximum(eye.nasal * x, 0.0)
    temporal = r - nasal
    rim = 1 - np.exp(-((r / eye.pit) ** 2))
    mean = {
        "rnfl": rim * (11 + 10 * nasal + 1.5 * temporal),
        "gcl_ipl": rim * (46 + 44 * np.exp(-(((r - 0.85) / 1.1) ** 2))),
        "inl": 6 + rim * (29 + 8 * np.exp(-(((r - 0.7) / 0.8) ** 2))),
        "opl": 7 + 20 * rim,
        "onl": 54 + 58 * np.exp(-((r / 0.7) ** 2)),
        "myoid": 22 + 8 * np.exp(-((r / 0.4) ** 2)),
        "ellipsoid": np.full_like(r, 15.0),
        "outer_segments": 21 + 18 * np.exp(-((r / 0.35) ** 2)),
        "subretinal": np.zeros_like(r),
        "rpe": np.full_like(r, 22.0),
    }
    layers = {name: eye.scales[name] * value for name, value in mean.items()}
    choroid = eye.choroid * (1 - 0.165 * nasal - 0.03 * temporal)
    return {**layers, "sub_rpe": np.zeros_like(r), "choroid": np.maximum(choroid, 70.0)}


def boundaries(eye: Eye, findings: Findings, x: np.ndarray) -> np.ndarray:
    """Depths (um) of the boundaries at `x`: 13 x len(x), in the order of `BOUNDARIES`, never crossing.

    Built from Bruch's membrane upwards. A tumour lifts all above the sclera; a druse lifts the RPE and thins the ONL over it by most of its
    height; fluid lifts all above itself.
    """
    layers = thickness(eye, x)
    for name, wave in zip(LAYERS, eye.waves, strict=False):
        ripple = (wave[:, :1] * np.sin(2 * np.pi * wave[:, 1:2] * x + wave[:, 2:])).sum(0)
        share = np.minimum(layers[name] / 40, 1.0) if name != "choroid" else 6.0
        layers[name] = np.maximum(layers[name] + 0.8 * share * ripple, 0.0)
    for name in ("inl", "onl", "subretinal"):
        layers[name] = layers[name] + _highest(x, [pocket for pocket in findings.pockets if pocket.kind == name])
    layers["sub_rpe"] = _highest(x, findings.drusen)
    layers["onl"] = np.maximum(layers["onl"] - 0.85 * layers["sub_rpe"], 0.25 * layers["onl"])
    shared = eye.waves[12]
    base = (1.5 * shared[:, :1] * np.sin(np.pi * shared[:, 1:2] * x + shared[:, 2:])).sum(0) - eye.bowl * x * x
    bruch = base - (findings.tumour.lift(x) if findings.tumour else 0.0)
    above = np.cumsum([layers[name] for name in reversed(LAYERS[:11])], axis=0)[::-1]
    return np.concatenate([bruch - above, [bruch, base + layers["choroid"]]])


def _highest(x: np.ndarray, lifting: list[Any]) -> np.ndarray:
    return np.max([np.zeros_like(x), *(one.lift(x) for one in lifting)], axis=0)


def tumour_base(tumour: Mound, edges: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Depth (um) of the tumour's underside: a lens whose lower half fills the choroid."""
    bruch, sclera = edges[-2], edges[-1]
    healthy = bruch + tumour.lift(x)
    return healthy + (sclera - healthy) * np.sqrt(_bump((x - tumour.x) / tumour.radius_x, 1.0)) - 1e-6


def cyst(pocket: Pocket, edges: np.ndarray, x: np.ndarray) -> tuple[float, float, float]:
    """Middle (um), half height (um) and tilt (um/mm) of a cyst: an ellipse sheared to lie along its bulging layer, a septum's breadth from
    the layer's edges."""
    layer = CYST_LAYERS[pocket.kind]
    ends = np.array([pocket.x - pocket.radius_x / 2, pocket.x, pocket.x + pocket.radius_x / 2])
    top, base = (np.interp(ends, x, edges[k]) for k in (layer, layer + 1))
    middle = (top + base) / 2
    return float(middle[1]), 0.42 * float(base[1] - top[1]), float(middle[2] - middle[0]) / pocket.radius_x


def draw_findings(rng: np.random.Generator, label: str) -> Findings:
    """What the label promises: cysts about the fovea, or a dome of subretinal fluid, or both; 4 to 10 drusen; one tumour."""
    u = rng.uniform
    if label == "fluid":
        kinds = ["cysts", "subretinal"] if (kind := u()) < 0.3 else ["cysts"] if kind < 0.7 else ["subretinal"]
        return Findings(pockets=[p for kind in kinds for p in (_cysts(rng) if kind == "cysts" else [_dome(rng)])])
    if label == "drusen":
        places = np.cumsum(u(0.25, 0.8, int(rng.integers(4, 11))))
        places = places - places.mean() + u(-0.5, 0.5)
        seen = places[np.abs(places) < 2.2]  # within the narrowest field
        return Findings(drusen=[Mound(float(x), u(0.12, 0.34), u(28, 72)) for x in seen])
    if label == "tumour":
        side = float(rng.choice([-1, 1]))
        return Findings(tumour=Mound(side * u(0.2, 1.3), u(1.2, 1.9), u(240, 420)))
    return Findings()


def _cysts(rng: np.random.Generator) -> list[Pocket]:
    """One to four cysts side by side in the ONL and up to three in the INL, with septa between them."""
    found, u = [], rng.uniform
    for kind, most, width, tall in (("onl", 4, (0.13, 0.3), (70, 190)), ("inl", 3, (0.07, 0.16), (25, 70))):
        x, middle = 0.0, u(-0.35, 0.35)
        row = []
        for _ in range(int(rng.integers(1 if kind == "onl" else 0, most + 1))):
            radius = u(*width)
            row.append(Pocket(kind, x + radius, radius, u(*tall)))
            x += 2 * radius + u(0.03, 0.12)
        found += [Pocket(kind, p.x - x / 2 + middle, p.radius_x, p.height) for p in row]
    return found


def _dome(rng: np.random.Generator) -> Pocket:
    return Pocket("subretinal", rng.uniform(-0.6, 0.6), rng.uniform(0.6, 1.4), rng.uniform(80, 230))
