"""Kernel distances and nearest-neighbour metrics of synthetic images, each beside its null on real holdout images."""

from collections.abc import Callable

import numpy as np

from models.manifold import K_COVERAGE, group_weights, mean_across, mean_within, neighbours
from models.stats import percentile_interval
from tasks.gates._frechet import Sample, moved_interval

MOST = 4096
"""Images of a set that are compared pair by pair: the matrices of the pairs are then 128 MB each."""


def sampled(features: np.ndarray, patients: list[str], seed: int, most: int = MOST) -> Sample:
    """All the images, or `most` of them drawn by the seed."""
    if len(features) <= most:
        return Sample(features, patients)
    rows = np.sort(np.random.default_rng([seed, 4]).choice(len(features), most, replace=False))
    return Sample(features[rows], [patients[row] for row in rows])


def kernel_distances(synthetic: Sample, holdout: Sample, test: Sample, kernel: Callable, draws: int, seed: int) -> dict:
    """The squared maximum mean discrepancy of synthetic and of holdout images from the test images, unbiased (Gretton et al. 2012,
    JMLR 13, lemma 6), and the excess of the first over the second; each with an interval from one bootstrap by patient."""
    random = np.random.default_rng([seed, 5])
    sets = synthetic, holdout, test
    groups = [np.unique(of.patients, return_inverse=True)[1] for of in sets]
    weights = [group_weights(of, draws, random) for of in groups]
    within = [mean_within(kernel(of.features, of.features), *rest) for of, *rest in zip(sets, groups, weights, strict=True)]
    distance, null = (
        within[k] + within[2] - 2 * mean_across(kernel(sets[k].features, test.features), weights[k], weights[2]) for k in (0, 1)
    )
    found = {"distance": distance, "null": null, "excess": distance - null}
    return {name: (float(of[0]), moved_interval(of[1:], float(of[0]))) for name, of in found.items()}


def kernel_evidence(name: str, found: dict) -> dict:
    """What `kernel_distances` found, as evidence under a name."""
    (value, interval), (null, null_interval) = found["distance"], found["null"]
    return {name: value, f"{name}_interval": list(interval), f"null_{name}": null, f"null_{name}_interval": list(null_interval)}


def neighbour_evidence(synthetic: Sample, holdout: Sample, test: Sample, draws: int, seed: int) -> dict:
    """Precision, recall, density and coverage of the synthetic images among the test images, and of the holdout images (null), at
    equal counts, since all of them depend on these.

    The intervals are of the means over images, by patient, the manifolds being given. `coverage_shortfall` is how much less the
    synthetic images cover. Empty for sets too small to have neighbours.
    """
    random = np.random.default_rng([seed, 6])
    n = min(map(len, (synthetic, holdout, test)))
    if n <= K_COVERAGE:
        return {}
    chosen = random.permutation(len(test))[:n]
    found, null = (neighbours(test.features[chosen], of.features[random.permutation(len(of))[:n]]) for of in (synthetic, holdout))
    of_test = np.unique([test.patients[row] for row in chosen], return_inverse=True)[1]
    # Of precision and density each synthetic image has its own share; of recall and coverage each real one.
    by_synthetic, by_test = group_weights(np.arange(n), draws, random), group_weights(of_test, draws, random)
    shares = {
        "precision": (found.precise, by_synthetic),
        "recall": (found.recalled, by_test),
        "density": (found.density, by_synthetic),
        "coverage": (found.covered, by_test),
        "coverage_shortfall": (null.covered - found.covered, by_test),
    }
    evidence = {}
    for metric, (each, weights) in shares.items():
        means = weights @ each / weights.sum(axis=1)
        evidence[metric] = float(means[0])
        evidence[f"{metric}_interval"] = list(percentile_interval(means[1:]))
    nulls = {"precision": null.precise, "recall": null.recalled, "density": null.density, "coverage": null.covered}
    return {**evidence, **{f"null_{metric}": float(each.mean()) for metric, each in nulls.items()}}
