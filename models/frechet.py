"""The Frechet distance between two Gaussians, and between two sets of features.

Dowson, Landau, "The Frechet distance between multivariate normal distributions", J. Multivariate Anal. 12, 1982 (eq. 4);
Heusel et al., "GANs trained by a two time-scale update rule", NeurIPS 2017 (eq. 6), where the features are Inception's.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch


class Moments:
    """Mean and covariance of features that come batch by batch, in memory that does not grow with their number.

    Chan, Golub, LeVeque, "Algorithms for computing the sample variance", The American Statistician 37, 1983 (eq. 2.1).
    """

    def __init__(self, dimensions: int) -> None:
        self.n = 0
        self.mean = np.zeros(dimensions)
        self.scatter = np.zeros((dimensions, dimensions))

    @classmethod
    def of(cls, n: int, mean: np.ndarray, scatter: np.ndarray) -> Self:
        """Moments as they were: `scatter` is the covariance times n - 1."""
        found = cls(0)
        found.n, found.mean, found.scatter = n, mean, scatter
        return found

    def add(self, features: np.ndarray) -> Self:
        """Takes in a batch, B x D."""
        mean = features.mean(axis=0, dtype=np.float64)
        centred = features - mean
        return self._take_in(len(features), mean, centred.T @ centred)

    def join(self, other: "Moments") -> Self:
        """Takes in what another has taken in."""
        return self._take_in(other.n, other.mean, other.scatter)

    def _take_in(self, count: int, mean: np.ndarray, scatter: np.ndarray) -> Self:
        shift, total = mean - self.mean, max(self.n + count, 1)
        self.scatter += scatter
        self.scatter += np.outer(shift, shift * (self.n * count / total))
        self.mean = self.mean + shift * (count / total)
        self.n += count
        return self

    @property
    def cov(self) -> np.ndarray:
        """The covariance, D x D, divisor N - 1. Raises ValueError for fewer than two images, which have none."""
        if self.n < 2:
            raise ValueError(f"a covariance needs two images or more, not {self.n}")
        return self.scatter / (self.n - 1)


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D) and covariance (D x D, divisor N - 1) of features N x D. Raises ValueError for fewer than two rows."""
    if len(features) < 2:
        raise ValueError(f"a covariance needs two images or more, not {len(features)}")
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))


class Reference:
    """A Gaussian that others are compared with: the square root of its covariance is taken once.

    The eigenvalues are torch's: numpy's are as exact, but take many times as long where other work keeps a core busy.
    """

    def __init__(self, mean: np.ndarray, cov: np.ndarray) -> None:
        self.mean, self.trace = mean, np.trace(cov)
        values, vectors = torch.linalg.eigh(torch.from_numpy(cov))
        self.root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T

    def distance(self, mean: np.ndarray, cov: np.ndarray) -> float:
        """Squared Frechet distance |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)).

        The trace of the square root is the sum of the square roots of the eigenvalues of C_b^(1/2) C_a C_b^(1/2), which is
        symmetric: no general matrix square root, and no imaginary parts to throw away.
        """
        cross = torch.linalg.eigvalsh(self.root @ torch.from_numpy(cov) @ self.root)
        difference = mean - self.mean
        return float(difference @ difference + np.trace(cov) + self.trace - 2 * cross.clamp(min=0).sqrt().sum().item())


def frechet_distance(mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray) -> float:
    """Squared Frechet distance between two Gaussians, from means of length D and covariances D x D."""
    return Reference(mean_b, cov_b).distance(mean_a, cov_a)


def feature_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Frechet distance between two sets of features, N x D and M x D."""
    return frechet_distance(*moments(a), *moments(b))


def line_at_infinity(sizes: Sequence[int], distances: Sequence[float]) -> float:
    """Where the straight line through distances against 1 / N meets N = infinity: the distance without its bias of first order
    (Chong, Forsyth 2020, arXiv:1911.07023, section 3)."""
    return float(np.polyfit(1 / np.asarray(sizes, dtype=float), np.asarray(distances, dtype=float), 1)[1])


def distance_at_infinity(a: np.ndarray, b: np.ndarray, points: int, seed: int) -> float:
    """The Frechet distance of features N x D and M x D extrapolated to endless sets, from `points` random subsets of sizes evenly
    spaced from half the smaller set to all of it. Both sets shrink together: with one of them whole its share of the bias would stay.
    """
    random = np.random.default_rng(seed)
    most = min(len(a), len(b))
    sizes = np.linspace(most // 2, most, points).astype(int)
    distances = [feature_distance(*(of[random.choice(len(of), size, replace=False)] for of in (a, b))) for size in sizes]
    return line_at_infinity(sizes, distances)
