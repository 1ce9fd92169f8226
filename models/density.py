"""Kernel density estimates on principal components, and the ratio of two of them."""

import numpy as np


def log_density(points: np.ndarray, centres: np.ndarray, block: int = 512) -> np.ndarray:
    """Gaussian kernel density at `points` (N x D) of a sample `centres` (M x D), as logarithms: N. The coordinates are to be of unit
    variance; the bandwidth is Scott's, M^(-1 / (D + 4)) (Scott 1992, "Multivariate Density Estimation", eq. 6.42)."""
    from scipy.special import logsumexp

    count, dimensions = centres.shape
    bandwidth = count ** (-1 / (dimensions + 4))
    norms = np.square(centres).sum(axis=1)
    found = np.empty(len(points))
    for start in range(0, len(points), block):
        part = points[start : start + block]
        squared = np.square(part).sum(axis=1)[:, None] + norms - 2 * part @ centres.T
        found[start : start + block] = logsumexp(-np.maximum(squared, 0) / (2 * bandwidth**2), axis=1)
    return found - np.log(count) - dimensions * np.log(bandwidth * np.sqrt(2 * np.pi))


class Coordinates:
    """Principal components of `rows` (N x D), scaled to unit variance: at most `components`, and none that does not vary."""

    def __init__(self, rows: np.ndarray, components: int) -> None:
        self.mean = rows.mean(axis=0, dtype=np.float64)
        centred = rows - self.mean
        variances, vectors = np.linalg.eigh(centred.T @ centred / len(rows))
        kept = [k for k in np.argsort(-variances, kind="stable")[:components] if variances[k] > 1e-6 * max(variances.max(), 1e-300)]
        self.project = vectors[:, kept] / np.sqrt(variances[kept])

    def of(self, rows: np.ndarray) -> np.ndarray:
        """N x components."""
        return (rows - self.mean) @ self.project
