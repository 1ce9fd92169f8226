"""Drawn B-scans of the macula by optical coherence tomography, whose truth is known.

    python -m models.phantoms.oct docs/img/phantoms-oct.png

Layers are drawn in micrometres, each with a backscatter and an attenuation. A ray's power falls as exp(-2 integral of mu dz) and with the
spectrometer's roll-off; what comes back interferes as speckle, is averaged over frames, and is shown as its logarithm.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from models.phantoms._oct_anatomy import (
    BOUNDARIES,
    LAYERS,
    Eye,
    Findings,
    boundaries,
    cyst,
    draw_eye,
    draw_findings,
    thickness,
    tumour_base,
)

LABELS = ("normal", "fluid", "drusen", "tumour")
MASK = {"intraretinal": 60, "subretinal": 120, "drusen": 180, "tumour": 240}
"""Grey values of the image `mask`; 0 elsewhere."""
OPTICS = {
    "vitreous": (-7.0, 0.0),
    "rnfl": (26.0, 1.0),
    "gcl_ipl": (19.5, 0.8),
    "inl": (14.5, 0.6),
    "opl": (19.5, 0.8),
    "onl": (10.0, 0.4),
    "myoid": (13.5, 0.4),
    "ellipsoid": (26.0, 1.0),
    "outer_segments": (19.0, 1.0),
    "subretinal": (-3.0, 0.0),
    "rpe": (30.0, 14.0),
    "sub_rpe": (19.0, 2.0),
    "choroid": (25.0, 3.5),
    "sclera": (27.5, 9.0),
    "cyst": (-3.0, 0.0),
    "tumour": (27.0, 6.5),
    "blood": (22.0, 8.0),
    "lumen": (15.5, 2.5),
    "membrane": (17.0, 1.0),
}
"""Backscatter (dB above the noise floor) and attenuation (1/mm). Which band is brighter than which is anatomy's (Staurenghi et al. 2014);
the figures themselves are ours, set so that a drawn scan looks as a clinical one does."""
AXIAL_RESOLUTION, BEAM = 6.0, 17.0
"""Full widths at half maximum (um) of the coherence gate and of the beam on the retina: those of a clinical spectral-domain instrument."""


@dataclass(frozen=True)
class Acquisition:
    """How the scan was taken: `field` and `depth` (mm) across and down the image; where the fovea lies (`shift` mm right of the middle,
    `rest` um from the top to Bruch's membrane); tilt (um/mm); frames averaged; roll-off (dB/mm), signal and the grey scale's ends (dB)."""

    field: float
    depth: float
    shift: float
    rest: float
    tilt: float
    frames: int
    rolloff: float
    signal: float
    black: float
    white: float


def draw(seed: Any, label: str, height: int, width: int, view: Any = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A B-scan (`image`), its `mask` (see `MASK`), both uint8 height x width, and its truth.

    `seed` (what `numpy.random.default_rng` takes) draws the eye; `view`, by default a stream of the same, draws findings, pose and noise,
    so that an eye can be scanned again. A seed gives the same eye, pose and noise under every label: columns that a finding does not reach
    are the same to the last bit. Raises ValueError for an unknown label.
    """
    if label not in LABELS:
        raise ValueError(f"an OCT phantom cannot be {label!r}: the labels are {', '.join(LABELS)}")
    body, rest = np.random.default_rng(seed).spawn(2)
    finding, pose, speckle = (rest if view is None else np.random.default_rng(view)).spawn(3)
    eye, findings, scan = draw_eye(body), draw_findings(finding, label), draw_acquisition(pose)
    grid = Grid(scan, height, width)
    edges = boundaries(eye, findings, grid.x) + scan.rest + scan.tilt * grid.x
    power, regions = _reflect(eye, findings, edges, grid)
    image = _detect(power, scan, grid, speckle)
    mask = _mask(regions, grid)
    return {"image": image, "mask": mask}, {"label": label, **_truth(eye, findings, edges, scan, grid, mask)}


def draw_acquisition(rng: np.random.Generator) -> Acquisition:
    """6 to 8 mm across, 1.7 to 2 mm deep, as macular protocols are."""
    u = rng.uniform
    depth = u(1.7, 2.0)
    return Acquisition(
        field=u(5.6, 7.6),
        depth=depth,
        shift=u(-0.4, 0.4),
        rest=u(0.52, 0.6) * 1000 * depth,
        tilt=u(-25.0, 25.0),
        frames=int(rng.integers(2, 6)),
        rolloff=u(2.0, 5.0),
        signal=u(-2.0, 2.5),
        black=u(-1.5, 0.5),
        white=u(29.0, 33.0),
    )


class Grid:
    """A-scans and samples, finer than the output by whole numbers: `x` (mm) of each A-scan, `z` (um) of each sample."""

    def __init__(self, scan: Acquisition, height: int, width: int):
        self.height, self.width = height, width
        self.down, self.across = max(1, round(256 / height)), max(1, round(512 / width))
        self.pixel_x, self.pixel_z = scan.field / width, 1000 * scan.depth / height
        self.step_x, self.step_z = self.pixel_x / self.across, self.pixel_z / self.down
        self.x = (np.arange(width * self.across) + 0.5) * self.step_x - scan.field / 2 - scan.shift
        self.z = ((np.arange(height * self.down) + 0.5) * self.step_z).astype(np.float32)

    def below(self, edge: np.ndarray) -> np.ndarray:
        """How much of each sample (0 to 1) lies below an edge given for each A-scan."""
        return np.clip((self.z[:, None] - edge.astype(np.float32)) * np.float32(1 / self.step_z) + np.float32(0.5), 0, 1)

    def box(self, x: float, radius: float) -> slice:
        """The A-scans within `radius` mm of `x`."""
        first, last = np.searchsorted(self.x, (x - radius, x + radius))
        return slice(int(first), int(last))

    def ellipse(self, box: slice, x: float, z: Any, radius_x: float, radius_z: float) -> np.ndarray:
        """How much of each sample of the A-scans in `box` an ellipse covers; `z` a number or one for each of them."""
        half = radius_z * np.sqrt(np.maximum(1 - ((self.x[box] - x) / radius_x) ** 2, 0))
        return self.below(z - half) - self.below(z + half)

    def pool(self, fine: np.ndarray) -> np.ndarray:
        return fine.reshape(self.height, self.down, self.width, self.across).mean((1, 3))


def _power(tissue: str) -> np.float32:
    return np.float32(10 ** (OPTICS[tissue][0] / 10))


def _reflect(eye: Eye, findings: Findings, edges: np.ndarray, grid: Grid) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The power that comes back from each sample, before the instrument's own losses, and how much of a sample each finding covers."""
    tissues = ("vitreous", *LAYERS, "sclera")
    back = np.full((len(grid.z), len(grid.x)), _power("vitreous"))
    mu = np.zeros_like(back)
    for above, tissue, edge in zip(tissues[:-1], tissues[1:], edges, strict=True):
        below = grid.below(edge)
        back += (_power(tissue) - _power(above)) * below
        mu += np.float32(OPTICS[tissue][1] - OPTICS[above][1]) * below

    def paint(cover: np.ndarray, tissue: str, box: slice = slice(None)) -> None:
        back[:, box] += cover * (_power(tissue) - back[:, box])
        mu[:, box] += cover * (np.float32(OPTICS[tissue][1]) - mu[:, box])

    elm = edges[BOUNDARIES.index("elm")]
    paint(0.35 * (grid.below(elm - 3) - grid.below(elm + 3)), "gcl_ipl")
    _lumens(eye, edges, grid, paint)
    for x, share, radius_x, radius_z in eye.vessels:
        box = grid.box(x, radius_x)
        middle = edges[0, box] + share * (edges[2, box] - edges[0, box])
        paint(grid.ellipse(box, x, middle, radius_x, radius_z), "blood", box)
    if eye.hyaloid:
        healthy = boundaries(eye, Findings(), grid.x[:1])[:, 0]
        surface = edges[-1, 0] - healthy[-1] + healthy[0]
        line = np.minimum(edges[0] - 8, surface + 30 - eye.hyaloid * (0.6 + (grid.x / 5) ** 2))
        paint(0.3 * (grid.below(line - 4) - grid.below(line + 4)), "membrane")
    regions = _regions(findings, edges, grid)
    paint(regions["intraretinal"], "cyst")
    paint(regions["tumour"], "tumour")
    mu *= np.float32(-2e-3 * grid.step_z)
    return back * np.exp(np.cumsum(mu, axis=0)), regions


def _lumens(eye: Eye, edges: np.ndarray, grid: Grid, paint: Any) -> None:
    """Choroidal vessels: small ones (Sattler's layer) above large ones (Haller's), dark in their stroma."""
    bruch, sclera = edges[-2:]
    for (x, share, radius_x, radius), choroid in zip(eye.lumens, thickness(eye, eye.lumens[:, 0])["choroid"], strict=True):
        box = grid.box(x, radius_x)
        if box.stop > box.start:
            middle = bruch[box] + share * (sclera[box] - bruch[box])
            paint(0.85 * grid.ellipse(box, x, middle, radius_x, radius * choroid), "lumen", box)


def _regions(findings: Findings, edges: np.ndarray, grid: Grid) -> dict[str, np.ndarray]:
    shape = (len(grid.z), len(grid.x))
    cysts, tumour = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for pocket in findings.pockets:
        if pocket.kind != "subretinal":
            middle, half, tilt = cyst(pocket, edges, grid.x)
            box = grid.box(pocket.x, pocket.radius_x)
            along = middle + tilt * (grid.x[box] - pocket.x)
            np.maximum(cysts[:, box], grid.ellipse(box, pocket.x, along, pocket.radius_x, half), out=cysts[:, box])
    if findings.tumour:
        box = grid.box(findings.tumour.x, findings.tumour.radius_x)
        base = tumour_base(findings.tumour, edges[:, box], grid.x[box])
        tumour[:, box] = np.maximum(grid.below(edges[-2, box]) - grid.below(base), 0)
    subretinal, drusen = (grid.below(edges[k]) - grid.below(edges[k + 1]) for k in (8, 10))
    return {"intraretinal": cysts, "subretinal": subretinal, "drusen": drusen, "tumour": tumour}


def _detect(power: np.ndarray, scan: Acquisition, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Grey values: signal and noise are circular Gaussian fields, so their sum's power is speckle about the sum of their powers (Schmitt et
    al., J Biomed Opt 1999;4:95); frames and the samples of a pixel are averaged as power, then shown in dB."""
    gain = 10 ** ((scan.signal - scan.rolloff * 1e-3 * grid.z) / 10)
    mean = power * gain[:, None] + np.float32(1.0)
    speckle = np.zeros_like(mean)
    for _ in range(2 * scan.frames):
        field = rng.standard_normal(mean.shape, dtype=np.float32)
        # A field of amplitude has the square root of the power's point spread.
        for axis, width in ((0, AXIAL_RESOLUTION / grid.step_z), (1, 1e-3 * BEAM / grid.step_x)):
            field = _correlate(field, width / 2.355 / np.sqrt(2), axis)
        speckle += field * field
    level = 10 * np.log10(grid.pool(mean * speckle / (2 * scan.frames)))
    return np.rint(255 * np.clip((level - scan.black) / (scan.white - scan.black), 0, 1)).astype(np.uint8)


def _correlate(field: np.ndarray, sigma: float, axis: int) -> np.ndarray:
    """White noise smoothed by a Gaussian and brought back to unit variance."""
    if sigma < 0.3:
        return field
    radius = max(1, round(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return gaussian_filter1d(field, sigma, axis, radius=radius) * np.float32(kernel.sum() / np.sqrt((kernel**2).sum()))


def _mask(regions: dict[str, np.ndarray], grid: Grid) -> np.ndarray:
    mask = np.zeros((grid.height, grid.width), np.uint8)
    for name, value in MASK.items():
        mask[grid.pool(regions[name]) > 0.5] = value
    return mask


def _truth(eye: Eye, findings: Findings, edges: np.ndarray, scan: Acquisition, grid: Grid, mask: np.ndarray) -> dict[str, Any]:
    def column(x: float) -> float:
        return _plain((x + scan.shift + scan.field / 2) / grid.pixel_x)

    def row(z: float) -> float:
        return _plain(z / grid.pixel_z)

    def edge(name: str, x: float) -> float:
        return float(np.interp(x, grid.x, edges[BOUNDARIES.index(name)]))

    def dome(x: float, radius: float, top: str, base: str) -> dict[str, Any]:
        ends = [[column(end), row(edge(base, end))] for end in (x - radius, x + radius)]
        high, low = edge(top, x), edge(base, x)
        return {"centre": [column(x), row((high + low) / 2)], "radii": [_plain(radius / grid.pixel_x), row((low - high) / 2)], "base": ends}

    pockets = []
    for pocket in findings.pockets:
        if pocket.kind == "subretinal":
            found = dome(pocket.x, pocket.radius_x, "outer_segment_tips", "rpe_top")
        else:
            middle, half, tilt = cyst(pocket, edges, grid.x)
            radii = [_plain(pocket.radius_x / grid.pixel_x), row(half)]
            found = {"centre": [column(pocket.x), row(middle)], "radii": radii, "slope": row(tilt * grid.pixel_x)}
        kind = "subretinal" if pocket.kind == "subretinal" else "intraretinal"
        pockets.append({"kind": kind, "layer": pocket.kind, **found})
    tumour = findings.tumour
    columns = np.unique(np.rint(np.linspace(0, grid.width - 1, 33)).astype(int)) + 0.5
    at = columns * grid.pixel_x - scan.field / 2 - scan.shift
    layers = dict(zip(LAYERS, np.diff(edges, axis=0), strict=True))
    layers["retina"] = edges[BOUNDARIES.index("bruch")] - edges[0]
    return {
        "eye": "right" if eye.nasal > 0 else "left",
        "pixel_um": [_plain(1000 * grid.pixel_x), _plain(grid.pixel_z)],
        "fovea": [column(0.0), row(edge("ilm", 0.0))],
        "columns": [float(c) for c in columns],
        "boundaries": {name: [row(z) for z in np.interp(at, grid.x, edge)] for name, edge in zip(BOUNDARIES, edges, strict=True)},
        "thickness_um": {name: {"fovea": _plain(np.interp(0, grid.x, t)), "mean": _plain(t.mean())} for name, t in layers.items()},
        "pockets": pockets,
        "drusen": [{**dome(d.x, d.radius_x, "rpe_base", "bruch"), "height_um": _plain(d.height)} for d in findings.drusen],
        "tumour": {**dome(tumour.x, tumour.radius_x, "bruch", "choroid_sclera"), "height_um": _plain(tumour.height)} if tumour else None,
        "areas": {name: int((mask == value).sum()) for name, value in MASK.items()},
        "vessels": [column(float(x)) for x in eye.vessels[:, 0] if grid.x[0] < x < grid.x[-1]],
        "eye_um": {
            "choroid": _plain(eye.choroid),
            "pit": _plain(1000 * eye.pit),
            **{name: _plain(scale) for name, scale in eye.scales.items()},
        },
        "acquisition": {name: _plain(value) for name, value in asdict(scan).items()},
    }


def _plain(value: Any) -> float:
    return round(float(value), 4)


if __name__ == "__main__":
    import sys

    from models.phantoms.sheet import contact_sheet

    contact_sheet(sys.argv, draw, LABELS, sizes=(160,), columns=6)
