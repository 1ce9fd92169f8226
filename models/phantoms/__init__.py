"""Drawn images whose truth is known, a module for each modality.

A modality is one file here, `<name>.py`, which holds `LABELS`, what its images can show, and
`draw(seed, label, height, width, view=None) -> (images, truth)`: `images["image"]` is the picture, uint8 H x W or H x W x 3, beside it
what else is known of each pixel (a mask, another contrast), by name and of the same height and width; `truth` is plain numbers, strings
and lists, ready for JSON. `seed` draws the patient and `view`, by default a stream of the same, how they are imaged and what is found.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

KNOWN = ("chest", "fundus", "dermoscopy", "oct", "head")


@dataclass(frozen=True)
class Modality:
    """What draws one kind of image, and the labels that it can be asked for."""

    name: str
    labels: tuple[str, ...]
    draw: Callable[..., tuple[dict[str, np.ndarray], dict[str, Any]]]


def modalities() -> list[str]:
    """The modalities that can be drawn, without loading any."""
    return [name for name in KNOWN if find_spec(f"{__name__}.{name}")]


def load(name: str) -> Modality:
    """The modality of this name. Raises ValueError, naming those there are, for another."""
    if name not in modalities():
        raise ValueError(f"there is no phantom of {name!r}: the modalities are {', '.join(modalities())}")
    module = import_module(f"{__name__}.{name}")
    return Modality(name, tuple(module.LABELS), module.draw)
