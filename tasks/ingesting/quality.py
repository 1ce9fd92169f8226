"""Images that show nothing."""

import numpy as np
from PIL import Image

from schema.params import Quality

LEVELS = np.arange(256)


def fault_of(pixels: np.ndarray, quality: Quality) -> str | None:
    """Why uint8 pixels, H x W or H x W x 3, show nothing that could be learned from; None where they do."""
    if min(pixels.shape[:2]) < quality.min_side:
        return "too small"
    # Pillow counts the levels of all channels many times as fast as numpy does.
    counts = np.asarray(Image.fromarray(pixels).histogram()).reshape(-1, 256).sum(axis=0)
    shares = counts / counts.sum()
    mean = shares @ LEVELS
    if np.sqrt(shares @ (LEVELS - mean) ** 2) < quality.blank:
        return "blank"
    return "saturated" if shares[0] + shares[255] >= quality.saturated else None
