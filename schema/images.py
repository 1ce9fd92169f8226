"""Sets of images in memory, as the gates are given them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Images:
    """`pixels` uint8, N x H x W x C; `labels` int64, N, indices into `classes`; `ids` and `patients` of length N
    (a synthetic image is its own patient); `codes` int64, N x K, what a generator is told of each besides its class
    (`schema.conditions`)."""

    pixels: np.ndarray
    labels: np.ndarray
    ids: list[str]
    patients: list[str]
    classes: list[str]
    codes: np.ndarray | None = None

    @property
    def conditions(self) -> np.ndarray:
        """int64, N x (1 + K): the class and after it the codes, as generators take them."""
        return self.labels[:, None] if self.codes is None else np.column_stack([self.labels, self.codes])

    @property
    def patient_index(self) -> np.ndarray:
        """int64, N: the number of each image's patient, counted from 0 in the order of their ids."""
        return np.unique(self.patients, return_inverse=True)[1].astype(np.int64)

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, index: np.ndarray) -> "Images":
        """The images at `index`, in its order."""
        return Images(
            self.pixels[index],
            self.labels[index],
            [self.ids[i] for i in index],
            [self.patients[i] for i in index],
            self.classes,
            None if self.codes is None else self.codes[index],
        )


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
        None if any(images.codes is None for images in sets) else np.concatenate([images.codes for images in sets]),
    )
