"""A contact sheet of phantoms, for people to look at: what `python -m models.phantoms.<modality> FILE.png` writes."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def contact_sheet(
    argv: Sequence[str],
    draw: Callable[..., tuple[dict[str, np.ndarray], Any]],
    labels: Mapping[str, Sequence[str]] | Sequence[str],
    sizes: Sequence[int],
    columns: int,
) -> None:
    """Writes a PNG: a row of each label drawn at the first of the `sizes`, and below, enlarged to that, at each other size. Where `labels`
    names the images to show of each, a row of each of them.

    Colours are coarser than drawn, for a smaller file. The same patients stand in each row. Exits with usage unless
    `argv` is the program and one path.
    """
    if len(argv) != 2:
        sys.exit(f"usage: python -m models.phantoms.{Path(argv[0]).stem} FILE.png")
    rows = []
    for size in sizes:
        for label in labels:
            drawn = [draw(seed, label, size, size)[0] for seed in range(columns)]
            for name in labels[label] if isinstance(labels, Mapping) else ("image",):
                pictures = [Image.fromarray(images[name]).resize((sizes[0], sizes[0]), Image.Resampling.NEAREST) for images in drawn]
                rows.append(np.hstack([np.asarray(picture) for picture in pictures]))
    sheet = np.vstack(rows)
    if sheet.ndim == 3:
        sheet = (np.minimum(sheet, 252) + 2) // 5 * 5
    path = Path(argv[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path, optimize=True)
