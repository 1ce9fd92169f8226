"""A contact sheet of phantoms, for people to look at."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def contact_sheet(path: Path, draw: Callable[..., tuple[dict[str, np.ndarray], Any]], labels: Sequence[str], size: int, columns: int) -> None:
    """Writes a PNG of 256 colours: a row of each label at `size` pixels, the same patients in each row."""
    rows = [np.hstack([draw(seed, label, size, size)[0]["image"] for seed in range(columns)]) for label in labels]
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet = Image.fromarray(np.vstack(rows))
    sheet.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)
