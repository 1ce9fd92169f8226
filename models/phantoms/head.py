"""Drawn axial slices of the head by CT and by T1-weighted MR, of one patient on one grid, whose truth is known.

    python -m models.phantoms.head docs/img/phantoms-head.png

Anatomy is drawn once, in millimetres, as tissue. CT shows its CT numbers (Hounsfield) through a brain window, with the noise of filtered
back-projection and what beam hardening leaves under the skull. MR shows the signal of a spoiled gradient echo, with a bias field and Rician
noise.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from models.phantoms._head_anatomy import LEVELS, Head, Tumour, draw_head, draw_tumour
from models.phantoms._head_slice import Plane, Slice, displace, draw_slice
from models.phantoms._head_tissues import HOUNSFIELD, t1_signals

LABELS = ("normal", "tumour")
WINDOW = (40.0, 80.0)
"""Centre and width (HU) of the CT image's window, a brain window: 0 HU and less is black, 80 HU and more white."""
SEPTUM = -8.0
"""y (mm) at which the shift of the midline is measured: the septum pellucidum, at the foramina of Monro."""


@dataclass(frozen=True)
class Acquisition:
    """How the slices were taken. Level (mm above the foramina of Monro), field of view (mm), roll (radians), shift (mm).

    CT: noise (HU), resolution (standard deviation of the point spread, mm), hardening (HU, under the inner table). MR: repetition and echo
    time (ms), flip angle (radians), noise (white matter 1), bias (coefficients of x, y, x^2, y^2, xy), grey value of white matter.
    """

    level: float
    field: float
    roll: float
    shift_x: float
    shift_y: float
    ct_noise: float
    ct_resolution: float
    hardening: float
    repetition: float
    echo: float
    flip: float
    mr_noise: float
    bias: tuple[float, ...]
    white: float


def draw(seed: Any, label: str, height: int, width: int, view: Any = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """CT (`image`), T1 (`mr`) and tumour (`mask`, 0 or 255) of one slice, each uint8 height x width on the same pixels, and the truth.

    `seed` (what `numpy.random.default_rng` takes) draws the patient; `view`, by default a stream of the same, draws tumour, level, pose and
    noise, so that a patient can be imaged again. A seed gives the same patient, pose and noise under every label: a tumour's slice differs
    from the normal one only within the tumour's `reach`, where it lies, where white matter swells and where brain is pushed aside. Raises
    ValueError for an unknown label.
    """
    if label not in LABELS:
        raise ValueError(f"a head phantom cannot be {label!r}: the labels are {', '.join(LABELS)}")
    body, rest = np.random.default_rng(seed).spawn(2)
    finding, pose, quanta = (rest if view is None else np.random.default_rng(view)).spawn(3)
    head = draw_head(body)
    scan = draw_acquisition(pose, head)
    tumour = draw_tumour(finding, head, scan.level) if label == "tumour" else None
    plane = _plane(scan, height, width)
    signals = t1_signals(scan.repetition, scan.echo, scan.flip, head.marrow)
    drawn = draw_slice(head, scan.level, tumour, plane, HOUNSFIELD, signals)
    parts = {name: _pool(part, plane.scale) for name, part in drawn.parts.items()}
    photons, coil = quanta.spawn(2)
    images = {
        "image": _expose_ct(drawn, scan, plane, photons),
        "mr": _expose_mr(drawn, scan, plane, coil),
        "mask": np.where(parts["tumour"] > 0.5, 255, 0).astype(np.uint8),
    }
    return images, {"label": label, **_truth(head, tumour, scan, plane, parts, images["mask"])}


def draw_acquisition(rng: np.random.Generator, head: Head) -> Acquisition:
    u = rng.uniform
    return Acquisition(
        level=u(*LEVELS),
        field=u(1.05, 1.15) * 2 * (head.half_length + 1.2 * head.skull + head.scalp + 2),
        roll=u(-0.08, 0.08),
        shift_x=u(-3.5, 3.5),
        shift_y=u(-2.5, 2.5),
        ct_noise=u(2.0, 4.0),
        ct_resolution=u(0.45, 0.65),
        hardening=u(2.0, 7.0),
        repetition=u(16.0, 22.0),
        echo=u(4.0, 9.0),
        flip=float(np.radians(u(25.0, 32.0))),
        mr_noise=u(0.015, 0.04),
        bias=tuple(rng.normal(0, [0.05, 0.06, 0.06, 0.06, 0.04]).tolist()),
        white=u(160.0, 185.0),
    )


def _plane(scan: Acquisition, height: int, width: int) -> Plane:
    scale = max(1, round(256 / min(height, width)))
    step = scan.field / min(height, width) / scale
    down, across = (step * (np.arange(n * scale) + 0.5 - n * scale / 2) for n in (height, width))
    down, across = down[:, None], across[None, :]
    cos, sin = np.cos(scan.roll), np.sin(scan.roll)
    x, y = across * cos + down * sin - scan.shift_x, down * cos - across * sin - scan.shift_y
    return Plane(x.astype(np.float32), y.astype(np.float32), step, scale, scan.roll, (scan.shift_x, scan.shift_y))


def _pool(fine: np.ndarray, scale: int) -> np.ndarray:
    height, width = fine.shape
    return fine.reshape(height // scale, scale, width // scale, scale).mean((1, 3))


def _expose_ct(drawn: Slice, scan: Acquisition, plane: Plane, rng: np.random.Generator) -> np.ndarray:
    """Grey values of CT numbers: blurred, brightened under the bone, with noise whose power rises with frequency as the ramp filter's does
    and falls as the kernel's (Riederer, Pelc and Chesler, Phys Med Biol 1978;23:446)."""
    ct = gaussian_filter(drawn.ct, scan.ct_resolution / plane.step)
    ct += scan.hardening * np.exp(-np.maximum(drawn.depth, 0) / 12) * (drawn.depth > 0)
    height, width = ct.shape
    cycles = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)) / plane.step
    shape = np.sqrt(cycles) * np.exp(-((np.pi * scan.ct_resolution * cycles) ** 2))
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((height, width))) * shape, (height, width))
    ct += scan.ct_noise * noise / noise.std()
    centre, span = WINDOW
    return np.rint(255 * np.clip((_pool(ct, plane.scale) - centre) / span + 0.5, 0, 1)).astype(np.uint8)


def _expose_mr(drawn: Slice, scan: Acquisition, plane: Plane, rng: np.random.Generator) -> np.ndarray:
    """Grey values of magnitude: the signal under the coils' bias, with Gaussian noise in both channels, hence Rician (Gudbjartsson and
    Patz, Magn Reson Med 1995;34:910)."""
    u, v = plane.x / 100, plane.y / 100
    field = np.exp(sum(c * term for c, term in zip(scan.bias, (u, v, u * u, v * v, u * v), strict=True)))
    signal = gaussian_filter(drawn.mr, 0.45 / plane.step) * field
    real, imaginary = scan.mr_noise * rng.standard_normal((2, *signal.shape), dtype=np.float32)
    magnitude = np.hypot(signal + real, imaginary)
    return np.rint(np.clip(scan.white * _pool(magnitude, plane.scale), 0, 255)).astype(np.uint8)


def midline_shift(head: Head, tumour: Tumour | None, level: float) -> float:
    """How far (mm) the septum pellucidum is pushed, positive to the patient's left."""
    x = np.linspace(-25, 25, 1001)
    before, _ = displace(tumour, head, level, x, np.full_like(x, SEPTUM))
    return float(np.interp(0.0, before, x))


def _truth(
    head: Head, tumour: Tumour | None, scan: Acquisition, plane: Plane, parts: dict[str, np.ndarray], mask: np.ndarray
) -> dict[str, Any]:
    pixel = plane.step * plane.scale

    def place(x: float, y: float) -> list[float]:
        row, column = plane.index(x, y)
        return [_plain((column + 0.5) / plane.scale), _plain((row + 0.5) / plane.scale)]

    found = None
    if tumour is not None:
        found = {
            "kind": tumour.kind,
            "side": tumour.side,
            "centre": place(tumour.x, tumour.y),
            "radii": [_plain(tumour.radius_x / pixel), _plain(tumour.radius_y / pixel)],
            "waves": [_plain(wave) for wave in tumour.waves],
            "area": int((mask > 0).sum()),
            "rim": _plain(tumour.rim / pixel) if tumour.kind == "ring" else 0.0,
            "oedema_area": _plain(parts["oedema"].sum()),
            "reach": _plain(tumour.reach / pixel),
        }
    shift = midline_shift(head, tumour, scan.level)
    return {
        "pixel_mm": _plain(pixel),
        "level_mm": _plain(scan.level),
        "rotation_degrees": _plain(np.degrees(scan.roll)),
        "centre": place(0.0, 0.0),
        "septum": place(shift, SEPTUM),
        "midline_shift_mm": _plain(shift),
        "midline_shift": _plain(shift / pixel),
        "brain_area": _plain(parts["brain"].sum()),
        "ventricles": {name: _plain(parts[f"{name}_ventricle"].sum()) for name in ("right", "left", "third")},
        "tumour": found,
        "calcified": {"pineal": head.pineal_calcified, "plexus": head.plexus_calcified},
        "anatomy_mm": {name: _plain(value) for name, value in asdict(head).items() if isinstance(value, float)},
        "window_hu": list(WINDOW),
        "acquisition": {k: [_plain(c) for c in v] if isinstance(v, tuple) else _plain(v) for k, v in asdict(scan).items()},
    }


def _plain(value: Any) -> float:
    return round(float(value), 4)


if __name__ == "__main__":
    import sys

    from models.phantoms.sheet import contact_sheet

    shown = {"normal": ("image", "mr"), "tumour": ("image", "mr", "mask")}
    contact_sheet(sys.argv, draw, shown, sizes=(160,), columns=6)
