"""Sets of images in memory, as the gates are given them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Images:
    """`pixels` uint8, N x H x W x C; `labels` int64, N, indices into `classes`; `ids` and `patients` of length N
    (a synthetic image is its own patient)."""

    pixels: np.ndarray
    labels: np.ndarray
    ids: list[str]
    patients: list[str]
    classes: list[str]

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, index: np.ndarray) -> "Images":
        """The images at `index`, in its order."""
        return Images(self.pixels[index], self.labels[index], [self.ids[i] for i in index], [self.patients[i] for i in index], self.classes)


@dataclass(frozen=True)
class RealImages:
    """The real images by split: members (trained on), non-members, and the test images that judge utility."""

    train: Images
    holdout: Images
    test: Images


def joined(*sets: Images) -> Images:
    """Sets of images of the same classes laid end to end. Raises ValueError where their sizes differ."""
    return Images(
        np.concatenate([images.pixels for images in sets]),
        np.concatenate([images.labels for images in sets]),
        [name for images in sets for name in images.ids],
        [name for images in sets for name in images.patients],
        sets[0].classes,
    )
