"""What can be wrong with a release or a split, one function each: a good one in, one that is bad in a known way out.

The pixels are all that changes: labels, ids and counts stay unless they are the defect.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from schema.images import Images, RealImages

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Changes one image, uint8 H x W x C, by chance."""


def with_copies(release: Images, train: Images, share: float, random: np.random.Generator, change: Change | None = None) -> Images:
    """A share of the release (at least one image) is training images, each another one; `change` alters each of them."""
    count = max(1, round(share * len(release)))
    into = random.choice(len(release), count, replace=False)
    sources = random.choice(len(train), count, replace=False)
    pixels, labels = release.pixels.copy(), release.labels.copy()
    pixels[into] = [change(image, random) if change else image for image in train.pixels[sources]]
    labels[into] = train.labels[sources]
    return replace(release, pixels=pixels, labels=labels)


def flipped(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Left and right exchanged."""
    return image[:, ::-1]


def shifted(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Moved by one or two pixels along each axis; edges are repeated."""
    down, across = random.choice([-2, -1, 1, 2], 2)
    rows = np.clip(np.arange(image.shape[0]) + down, 0, image.shape[0] - 1)
    columns = np.clip(np.arange(image.shape[1]) + across, 0, image.shape[1] - 1)
    return image[rows][:, columns]


def noisy(image: np.ndarray, random: np.random.Generator, deviation: float = 3) -> np.ndarray:
    """Normal noise of a few grey levels on every value."""
    return _grey(image + random.normal(0, deviation, image.shape))


def nearly(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A near copy: flipped, shifted or noisy, at equal chances."""
    return (flipped, shifted, noisy)[random.integers(3)](image, random)


def another_view(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """As if the same patient were imaged again soon after: turned by up to 4 degrees, moved by up to 1/32 of an edge, scaled by up to
    3 %, contrast and brightness a little different, and new noise."""
    from scipy.ndimage import affine_transform

    angle, scale = np.radians(random.uniform(-4, 4)), random.uniform(0.97, 1.03)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    size = np.array(image.shape[:2])
    centre = (size - 1) / 2
    offset = centre - matrix @ centre + random.uniform(-1, 1, 2) * size / 32
    channels = [affine_transform(channel.astype(float), matrix, offset, order=3, mode="nearest") for channel in np.moveaxis(image, 2, 0)]
    contrast, brightness = random.uniform(0.92, 1.08), random.uniform(-6, 6)
    return noisy(contrast * (np.stack(channels, axis=2) - 128) + 128 + brightness, random, deviation=2)


def repeated(release: Images, different: int, random: np.random.Generator) -> Images:
    """Collapse onto a few images: only `different` ones, each again and again with little noise, with the classes' shares kept."""
    classes = np.unique(release.labels)
    pixels = release.pixels.copy()
    for label in classes:
        rows = np.flatnonzero(release.labels == label)
        kept = random.permutation(rows)[: max(1, different // len(classes))]
        pixels[rows] = [noisy(release.pixels[row], random) for row in random.choice(kept, len(rows))]
    return replace(release, pixels=pixels)


def one_cluster(release: Images, share: float, random: np.random.Generator) -> Images:
    """Collapse onto one mode: of each class only the `share` of images nearest to one of them in pixels, again and again with little
    noise."""
    pixels = release.pixels.copy()
    for label in np.unique(release.labels):
        rows = np.flatnonzero(release.labels == label)
        flat = release.pixels[rows].reshape(len(rows), -1).astype(np.float32)
        distances = np.square(flat - flat[random.integers(len(rows))]).sum(axis=1)
        kept = rows[np.argsort(distances, kind="stable")[: max(1, round(share * len(rows)))]]
        pixels[rows] = [noisy(release.pixels[row], random) for row in random.choice(kept, len(rows))]
    return replace(release, pixels=pixels)


def without_rarest_class(release: Images) -> Images:
    """The images of the rarest class are gone."""
    counts = np.bincount(release.labels, minlength=len(release.classes))
    return release.take(np.flatnonzero(release.labels != np.argmin(counts)))


def labels_shuffled(release: Images, random: np.random.Generator) -> Images:
    """The labels change places among the images: each class keeps its share, and no label says anything."""
    return replace(release, labels=random.permutation(release.labels))


def blurred(release: Images, deviation: float) -> Images:
    """Every image through a Gaussian filter of that standard deviation, in pixels."""
    from scipy.ndimage import gaussian_filter

    return replace(release, pixels=_grey(gaussian_filter(release.pixels.astype(float), (0, deviation, deviation, 0), mode="nearest")))


def wrongly_resized(release: Images, factor: int = 2) -> Images:
    """Every image made smaller by that factor and larger again, by nearest neighbour: no filter against aliasing, and steps."""
    small = release.pixels[:, ::factor, ::factor]
    large = small.repeat(factor, axis=1).repeat(factor, axis=2)
    return replace(release, pixels=large[:, : release.pixels.shape[1], : release.pixels.shape[2]])


def few(release: Images, n: int, random: np.random.Generator) -> Images:
    """Only so many images of the release."""
    return release.take(np.sort(random.choice(len(release), n, replace=False)))


def leaking(real: RealImages, share: float, random: np.random.Generator) -> RealImages:
    """A split that leaks patients: that share of the holdout and of the test images is other views of training images, whose
    patients nobody recognised as the same."""

    def leak(images: Images) -> Images:
        views = with_copies(images, real.train, share, random, change=another_view)
        return replace(views, patients=[f"{patient}-taken-for-another" for patient in views.patients])

    return RealImages(train=real.train, holdout=leak(real.holdout), test=leak(real.test))


def each_image_its_own_patient(images: Images) -> Images:
    """Who is whose is forgotten: what follows splits and counts by image."""
    return replace(images, patients=list(images.ids))


def _grey(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
