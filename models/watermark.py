"""An invisible mark in the pixels: 32 fixed bits in the lowest waves of an image, by quantisation index modulation.

B. Chen, G. Wornell, "Quantization index modulation", IEEE Trans. Inf. Theory 47(4), 2001, section V (dither modulation). Bit b moves a
coefficient to the nearest point of the lattice STEP (k + b / 2) + dither. The coefficients are those of the whole image's cosine transform,
divided by the square root of its pixels: they stay what they are when the image is made larger or smaller, so the mark is read at any size,
and JPEG hardly touches them. It is no secret and no lock: the bits and the dither are here, and cropping or turning the image loses them.
"""

import numpy as np
from scipy.fft import dctn, idctn

BITS = 32
FOUND = 28
"""Bits that must agree. Of 32 fair coins 28 or more do so with probability 9.7e-6 (binomial)."""

STEP = 1.0
"""Grey levels between two lattice points of one bit. The mean square change is BITS STEP^2 / 12 = 2.7, a PSNR of 43.9 dB."""

LEAST = 28
"""Pixels of the shorter edge: reduced to three quarters the image still has three pixels for each half-wave of RADIUS."""

RADIUS = 7
ROUNDS = 30
LUMA = np.array([0.299, 0.587, 0.114])
"""Rec. 601, as JPEG makes grey of colours."""


def _waves() -> tuple[np.ndarray, np.ndarray]:
    """BITS places of the cosine transform, from the edge of RADIUS inwards: the lowest are where images differ most and change most."""
    places = [(u, v) for u in range(RADIUS + 1) for v in range(RADIUS + 1) if 0 < u * u + v * v <= RADIUS * RADIUS]
    places.sort(key=lambda place: (-(place[0] ** 2 + place[1] ** 2), place))
    rows, columns = zip(*places[:BITS], strict=True)
    return np.array(rows), np.array(columns)


WAVES = _waves()
_DRAWN = np.random.default_rng(1948)
MESSAGE = _DRAWN.integers(0, 2, BITS)
DITHER = _DRAWN.uniform(0, STEP, BITS)
"""Without it every flat image would hold the same bits, those of coefficients that are 0."""


def objection(height: int, width: int) -> str | None:
    """Why images of a size cannot be marked; None where they can."""
    if min(height, width) >= LEAST:
        return None
    return f"images of {height} x {width} are too small, it takes {LEAST} pixels an edge to outlive resizing: leave the watermark out"


def embed(image: np.ndarray) -> np.ndarray:
    """The image with the mark, uint8, H x W x C as given; C is 1 or 3, and colours move by their brightness alone.

    Where pixels are black or white already part of the change is cut off; what is missing is made up by the others, in ROUNDS rounds.
    """
    pixels = image.astype(np.float64)
    shift = DITHER + MESSAGE * STEP / 2
    size = np.sqrt(image.shape[0] * image.shape[1])
    wanted = STEP * np.round((_coefficients(pixels) - shift) / STEP) + shift
    for _ in range(ROUNDS):
        waves = np.zeros(image.shape[:2])
        waves[WAVES] = (wanted - _coefficients(pixels)) * size
        pixels = np.clip(pixels + idctn(waves, norm="ortho")[:, :, None], 0, 255)
    return np.round(pixels).astype(np.uint8)


def agreeing(image: np.ndarray) -> int:
    """How many of the BITS an image of any size holds. `image`: uint8, H x W x C, no edge shorter than RADIUS + 1."""
    found = np.round(2 * (_coefficients(image.astype(np.float64)) - DITHER) / STEP).astype(np.int64) % 2
    return int(np.count_nonzero(found == MESSAGE))


def is_marked(image: np.ndarray) -> bool:
    return agreeing(image) >= FOUND


def _coefficients(pixels: np.ndarray) -> np.ndarray:
    brightness = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels @ LUMA
    return dctn(brightness, norm="ortho")[WAVES] / np.sqrt(brightness.size)
