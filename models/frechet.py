"""The Frechet distance between two Gaussians, and between two sets of features.

Dowson, Landau, "The Frechet distance between multivariate normal distributions", J. Multivariate Anal. 12, 1982 (eq. 4);
Heusel et al., "GANs trained by a two time-scale update rule", NeurIPS 2017 (eq. 6), where the features are Inception's.
"""

import numpy as np


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D) and covariance (D x D, divisor N - 1) of features N x D."""
    return features.mean(axis=0), np.cov(features, rowvar=False)


def frechet_distance(mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray) -> float:
    """Squared Frechet distance |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)).

    The trace of the square root is the sum of the square roots of the eigenvalues of C_a^(1/2) C_b C_a^(1/2), which is symmetric:
    no general matrix square root, and no imaginary parts to throw away.
    """
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ cov_b @ root)
    difference = mean_a - mean_b
    return float(difference @ difference + np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(np.clip(cross, 0, None)).sum())


def feature_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Frechet distance between two sets of features, N x D and M x D."""
    return frechet_distance(*moments(a), *moments(b))
