"""What the Frechet gates share: a distance, its null on real images, and the interval of the excess."""

from dataclasses import dataclass

import numpy as np

from models.frechet import feature_distance
from models.stats import group_index, percentile_interval, resample
from schema.verdict import Null


@dataclass(frozen=True)
class Sample:
    """Features of real images, N x D, and whose they are."""

    features: np.ndarray
    patients: list[str]


def compare(synthetic: np.ndarray, holdout: Sample, test: Sample, draws: int, seed: int, scale: float) -> dict:
    """Distance synthetic-test against its null holdout-test, at equal counts, since the distance is biased upwards by 1/N alike.

    Features are N x D; every distance is divided by `scale`. Each bootstrap draw resamples all three sets, real ones by patient.
    Resampled sets lie further apart than the sets themselves, so the draws are moved by their bias before the percentiles are
    taken (Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 10.2).
    """
    random = np.random.default_rng(seed)
    n = min(len(synthetic), len(holdout.features))
    first = synthetic[random.permutation(len(synthetic))[:n]]
    chosen = random.permutation(len(holdout.features))[:n]
    second, patients = holdout.features[chosen], group_index([holdout.patients[row] for row in chosen])
    references = group_index(test.patients)
    distance, null = feature_distance(first, test.features) / scale, feature_distance(second, test.features) / scale
    excesses, nulls = [], []
    for _ in range(draws):
        reference = test.features[resample(references, random)]
        drawn = feature_distance(second[resample(patients, random)], reference) / scale
        excesses.append(feature_distance(first[random.integers(n, size=n)], reference) / scale - drawn)
        nulls.append(drawn)
    return {
        "distance": distance,
        "excess": distance - null,
        "interval": _interval(excesses, distance - null),
        "null": Null(value=null, interval=_interval(nulls, null), what="real holdout against real test images"),
        "n": n,
    }


def _interval(draws: list[float], estimate: float) -> tuple[float, float]:
    return percentile_interval(np.asarray(draws) - (np.mean(draws) - estimate))
