"""Two sets of features compared without a Gaussian assumption: kernel distances, and nearest-neighbour precision and recall.

Binkowski et al. 2018, "Demystifying MMD GANs", arXiv:1801.01401 (KID); Gretton et al. 2012, "A kernel two-sample test", JMLR 13;
Kynkaanniemi et al. 2019, arXiv:1904.06991 (precision, recall); Naeem et al. 2020, arXiv:2002.09797 (density, coverage).
"""

from dataclasses import dataclass

import numpy as np

CHUNK = 512
"""Rows of a distance matrix that are held at once."""
K_RECALL, K_COVERAGE = 3, 5
"""Neighbours that a ball reaches to: of precision and recall, of density and coverage, as in the experiments of their papers."""


def polynomial_kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(x.y / D + 1)^3 for features N x D and M x D: the kernel of KID (Binkowski et al. 2018, section 4)."""
    base = a @ b.T / a.shape[1] + 1
    return base * base * base


def gaussian_kernel(a: np.ndarray, b: np.ndarray, sigma: float) -> np.ndarray:
    """exp(-|x - y|^2 / (2 sigma^2)) for features N x D and M x D."""
    return np.exp(squared_distances(a, b) / (-2 * sigma**2))


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|x - y|^2, N x M. What is below the rounding error of the products is 0, so equal rows are exactly 0 apart."""
    norms = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)
    distances = norms - 2 * (a @ b.T)
    return np.where(distances > 1e-12 * norms, distances, 0.0)


def group_weights(group_of: np.ndarray, draws: int, random: np.random.Generator) -> np.ndarray:
    """How often each of N rows is taken, (draws + 1) x N: first once each, then in bootstrap draws of whole groups.
    `group_of`: the number of each row's group, from 0 with none left out."""
    groups = group_of.max() + 1
    counts = random.multinomial(groups, np.full(groups, 1 / groups), size=draws)
    return np.vstack([np.ones(len(group_of)), counts[:, group_of]])


def mean_within(kernel: np.ndarray, group_of: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean of a kernel, N x N, over pairs of rows of different groups, for each row of weights K x N.

    Leaving out pairs within a group (a patient) makes it unbiased (Gretton et al. 2012, lemma 6, where each group is one image).
    NaN where all the weight is in one group.
    """
    apart = np.where(group_of[:, None] == group_of, 0.0, kernel)
    of_groups = np.zeros((group_of.max() + 1, len(weights)))
    np.add.at(of_groups, group_of, weights.T)
    share = weights.sum(axis=1) ** 2 - (of_groups**2).sum(axis=0)
    return ((weights @ apart) * weights).sum(axis=1) / np.where(share > 0, share, np.nan)


def mean_across(kernel: np.ndarray, weights_a: np.ndarray, weights_b: np.ndarray) -> np.ndarray:
    """The mean of a kernel, N x M, over all pairs, for each row of weights K x N and K x M."""
    return ((weights_a @ kernel) * weights_b).sum(axis=1) / (weights_a.sum(axis=1) * weights_b.sum(axis=1))


@dataclass(frozen=True)
class Neighbours:
    """For each synthetic image `precise` (0 or 1) and `density`; for each real image `recalled` and `covered` (0 or 1).
    The metrics of those names are their means."""

    precise: np.ndarray
    density: np.ndarray
    recalled: np.ndarray
    covered: np.ndarray


def neighbours(real: np.ndarray, synthetic: np.ndarray, k_recall: int = K_RECALL, k_coverage: int = K_COVERAGE) -> Neighbours:
    """Improved precision and recall (Kynkaanniemi et al. 2019, eq. 1 and 2) with balls reaching to the `k_recall`-th neighbour, and
    density and coverage (Naeem et al. 2020, eq. 4 and 5) with balls to the `k_coverage`-th. Features N x D and M x D.

    Raises ValueError where a set has no such neighbour.
    """
    if min(len(real), len(synthetic)) <= max(k_recall, k_coverage):
        raise ValueError(f"{max(k_recall, k_coverage)} neighbours need more images than {min(len(real), len(synthetic))}")
    # The distances stay the same, and with the mean goes most of their rounding error.
    middle = real.mean(axis=0)
    real, synthetic = real - middle, synthetic - middle
    near, wide = radii(real, k_recall, k_coverage)
    (reach,) = radii(synthetic, k_recall)
    precise, density = np.zeros(len(synthetic)), np.zeros(len(synthetic))
    recalled, covered = np.zeros(len(real)), np.zeros(len(real))
    for start in range(0, len(real), CHUNK):
        rows = slice(start, start + CHUNK)
        apart = squared_distances(real[rows], synthetic)
        precise = np.maximum(precise, (apart <= near[rows, None]).any(axis=0))
        density += (apart <= wide[rows, None]).sum(axis=0) / k_coverage
        recalled[rows] = (apart <= reach).any(axis=1)
        covered[rows] = (apart <= wide[rows, None]).any(axis=1)
    return Neighbours(precise, density, recalled, covered)


def radii(features: np.ndarray, *ks: int) -> list[np.ndarray]:
    """Squared distance of each row, of N x D, to its k-th nearest other row, for each k."""
    found = np.empty((len(ks), len(features)))
    for start in range(0, len(features), CHUNK):
        # The nearest of all is the row itself, at 0.
        apart = np.partition(squared_distances(features[start : start + CHUNK], features), ks, axis=1)
        found[:, start : start + CHUNK] = apart[:, list(ks)].T
    return list(found)
