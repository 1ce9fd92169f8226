"""What a set of images leaves out: classes, shares, and modes within a class.

Rows of weights are bootstrap draws as in `models.scores`: row 0 is the images as they are.
"""

import numpy as np

from models.manifold import squared_distances
from models.stats import Interval, percentile_interval

NEIGHBOURS = 5
"""A reference image is covered by an image no further away than its fifth neighbour (Naeem et al. 2020, arXiv:2002.09797, section 5)."""


def total_variation(shares: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Half the sum of the absolute differences of shares ... x classes: 0 where they agree, 1 where they have nothing in common."""
    return np.abs(shares - others).sum(axis=-1) / 2


def reach(reference: np.ndarray) -> np.ndarray:
    """Squared distance of each of R reference images (R x features) to its fifth neighbour among them. Raises ValueError for too few."""
    if len(reference) <= NEIGHBOURS:
        raise ValueError(f"{len(reference)} images have no {NEIGHBOURS} neighbours each")
    return np.partition(squared_distances(reference, reference), NEIGHBOURS, axis=1)[:, NEIGHBOURS]


def coverages(inside: np.ndarray, weights: np.ndarray, m: int) -> np.ndarray:
    """Coverage (Naeem et al. 2020) of a reference by m images, for each row of weights; its expectation over all the ways to
    choose m of them, so that sets of different size compare (rarefaction: Hurlbert 1971, Ecology 52:577, eq. 14).

    `inside`: R x n, whether an image lies within a reference image's reach; `weights`: draws x n. A draw of fewer than m counts whole.
    """
    from scipy.special import gammaln

    total = weights.sum(axis=1, keepdims=True)
    outside = total - weights @ inside.T.astype(float)
    m = np.minimum(m, total)
    possible = np.maximum(outside - m, 0)
    missed = gammaln(outside + 1) - gammaln(possible + 1) - gammaln(total + 1) + gammaln(total - m + 1)
    return 1 - np.where(outside >= m, np.exp(missed), 0).mean(axis=1)


def centred(draws: np.ndarray) -> np.ndarray:
    """Draws (1 + draws) x ..., moved so that their mean is the estimate: for numbers that are unbiased themselves, though not in a
    bootstrap, where images come twice and so cover less."""
    return np.concatenate([draws[:1], draws[1:] - np.nanmean(draws[1:], axis=0) + draws[0]])


def worst(by_class: np.ndarray) -> tuple[float, Interval]:
    """The largest of the classes, from draws x classes, and its 95 % interval. A class that a draw has none of (NaN) is passed over.

    The largest of several noisy numbers is too large, and in each draw once more: by how much the draws exceed the estimate is
    taken off the estimate, and off the draws twice (Efron and Tibshirani 1993, section 10.2).
    """
    largest = np.nanmax(centred(by_class), axis=1)
    bias = float(np.mean(largest[1:]) - largest[0])
    low, high = percentile_interval(largest[1:] - 2 * bias)
    value = float(largest[0]) - bias
    return value, (min(low, value), max(high, value))
