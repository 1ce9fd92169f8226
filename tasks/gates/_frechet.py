"""What the quality gates share: a Frechet distance, its null on real images, and the interval of the excess."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.frechet import Reference, moments
from models.stats import group_index, resample
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
    second = Sample(holdout.features[chosen], [holdout.patients[row] for row in chosen])
    distance, null = _distances(first, second.features, test.features, scale)
    return compared(distance, null, n, first, second, test, draws, random, scale)


def compared(
    distance: float,
    null: float,
    n: int,
    synthetic: np.ndarray,
    holdout: Sample,
    test: Sample,
    draws: int,
    random: np.random.Generator,
    scale: float = 1.0,
) -> dict:
    """Distance and null of `n` images a side, with the intervals that the bootstrap of these features gives them.

    The features may be those of a random part of the images. Then the intervals are wider than those of all would be: of the
    variance, what lies between patients stays the same and what lies between the images of one grows.
    """
    patients, references = group_index(holdout.patients), group_index(test.patients)
    excesses, nulls = [], []
    for _ in range(draws):
        reference = test.features[resample(references, random)]
        drawn_holdout = holdout.features[resample(patients, random)]
        drawn, drawn_null = _distances(synthetic[random.integers(len(synthetic), size=len(synthetic))], drawn_holdout, reference, scale)
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
    """The 95 % interval of an estimate by the deviation of its bootstrap draws and Student's t, which holds for few draws too. The draws'
    own mean is passed over: resampled sets lie further apart than the sets themselves (Efron and Tibshirani 1993, "An Introduction
    to the Bootstrap", sections 10.2 and 12.5)."""
    from scipy.stats import t

    n = len(draws)
    half = float(t.ppf(0.975, n - 1) * np.std(draws, ddof=1) * np.sqrt(1 + 1 / n))
    return estimate - half, estimate + half


def excess_finding(found: dict, test: int, unit: str, reason: str, evidence: dict) -> Finding:
    """What `compare` found against `test` real test images, as a finding with more evidence."""
    return Finding(
        value=found["excess"],
        interval=found["interval"],
        null=found["null"],
        n={"synthetic": found["n"], "holdout": found["n"], "test": test},
        unit=unit,
        reason=reason,
        evidence={"distance": found["distance"], "null_distance": found["null"].value, **evidence},
    )


def drawn(images: Images, most: int, seed: list[int]) -> Images:
    """All of the images, or `most` of them drawn by the seed, in their order."""
    order = np.random.default_rng(seed).permutation(len(images))
    return images.take(np.sort(order[:most]))


def obstacle(real: RealImages, synthetic: Images, fewest: int) -> str | None:
    """Why the sets cannot be compared, if they cannot: too few images or patients (`fewest` images are needed of each), or other sizes."""
    shapes = {images.pixels.shape[1:] for images in (synthetic, real.train, real.holdout, real.test)}
    if len(shapes) > 1:
        sizes = ", ".join(" x ".join(map(str, shape)) for shape in sorted(shapes))
        return f"the images are of different sizes ({sizes}): bring synthetic and real ones to one size and number of channels"
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
