"""What the quality gates share: a Frechet distance, its null on real images, and the interval of the excess."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.frechet import Reference, moments
from models.stats import group_index, percentile_interval, resample
from schema.images import Images, RealImages
from schema.verdict import Null, Status
from tasks.gates import Finding

REAL_NULL = "real holdout against real test images"
FEWEST_PATIENTS = 10
"""Fewer patients than this give no interval by patient worth the name."""


@dataclass(frozen=True)
class Sample:
    """Features of real images, N x D, and whose they are."""

    features: np.ndarray
    patients: list[str]

    def __len__(self) -> int:
        return len(self.features)


def compare(synthetic: np.ndarray, holdout: Sample, test: Sample, draws: int, seed: int, scale: float) -> dict:
    """Distance synthetic-test against its null holdout-test, at equal counts, since the distance is biased upwards by 1/N alike.

    Features are N x D; every distance is divided by `scale`. Each bootstrap draw resamples all three sets, real ones by patient.
    """
    random = np.random.default_rng(seed)
    n = min(len(synthetic), len(holdout))
    first = synthetic[random.permutation(len(synthetic))[:n]]
    chosen = random.permutation(len(holdout))[:n]
    second, patients = holdout.features[chosen], group_index([holdout.patients[row] for row in chosen])
    references = group_index(test.patients)
    distance, null = _distances(first, second, test.features, scale)
    excesses, nulls = [], []
    for _ in range(draws):
        reference = test.features[resample(references, random)]
        drawn_second = second[resample(patients, random)]
        drawn, drawn_null = _distances(first[random.integers(n, size=n)], drawn_second, reference, scale)
        excesses.append(drawn - drawn_null)
        nulls.append(drawn_null)
    return {
        "distance": distance,
        "excess": distance - null,
        "interval": moved_interval(excesses, distance - null),
        "null": Null(value=null, interval=moved_interval(nulls, null), what=REAL_NULL),
        "n": n,
    }


def _distances(synthetic: np.ndarray, holdout: np.ndarray, test: np.ndarray, scale: float) -> tuple[float, float]:
    reference = Reference(*moments(test))
    return reference.distance(*moments(synthetic)) / scale, reference.distance(*moments(holdout)) / scale


def moved_interval(draws: Sequence[float] | np.ndarray, estimate: float) -> tuple[float, float]:
    """The 95 % percentile interval of bootstrap draws moved by their bias, since resampled sets lie further apart than the sets
    themselves (Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 10.2)."""
    return percentile_interval(np.asarray(draws) - (np.mean(draws) - estimate))


def drawn(images: Images, most: int, seed: list[int]) -> Images:
    """All of the images, or `most` of them drawn by the seed, in their order."""
    order = np.random.default_rng(seed).permutation(len(images))
    return images.take(np.sort(order[:most]))


def shortage(real: RealImages, synthetic: Images, fewest: int) -> str | None:
    """Why there are too few images to judge, where there are; `fewest` is how many each set needs."""
    counts = {"synthetic": len(synthetic), "real holdout": len(real.holdout), "real test": len(real.test)}
    name, count = min(counts.items(), key=lambda entry: entry[1])
    if count < fewest:
        return f"the {name} images are too few, {count} where each set needs at least {fewest}: bring or draw more"
    patients = {name: len(set(images.patients)) for name, images in (("holdout", real.holdout), ("test", real.test))}
    name, count = min(patients.items(), key=lambda entry: entry[1])
    if count < FEWEST_PATIENTS:
        return f"the real {name} images come from too few patients, {count} where an interval needs at least {FEWEST_PATIENTS}"
    return None


def unjudged(real: RealImages, synthetic: Images, unit: str, reason: str, needs: tuple[str, ...] = ()) -> Finding:
    """The finding of a gate that cannot measure, for a reason that says what is missing."""
    n = {"synthetic": len(synthetic), "holdout": len(real.holdout), "test": len(real.test)}
    return Finding(
        value=None, interval=None, null=None, n=n, unit=unit, reason=reason, evidence={}, status=Status.INSUFFICIENT, needs=needs
    )
