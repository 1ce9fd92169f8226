"""Curves, rates and intervals of a membership attack, and bootstraps by patient.

Scores: the higher, the more like a member.
"""

from collections.abc import Callable, Sequence

import numpy as np

Interval = tuple[float, float]


def auc(members: np.ndarray, non_members: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a member outscores a non-member, ties counted half (Mann-Whitney U / (n m))."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([members, non_members]))
    n, m = len(members), len(non_members)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def tpr_at_fpr(members: np.ndarray, non_members: np.ndarray, fpr: float) -> float:
    """Share of members above the lowest threshold that no more than `fpr` of the non-members exceed (Carlini et al. 2022,
    arXiv:2112.03570, section IV): never interpolated, so never flattering."""
    allowed = int(np.floor(fpr * len(non_members)))
    threshold = np.sort(non_members)[::-1][allowed] if allowed < len(non_members) else -np.inf
    return float((members > threshold).mean())


def roc(members: np.ndarray, non_members: np.ndarray, points: int = 101) -> list[list[float]]:
    """The ROC curve at `points` false positive rates from 0 to 1, as [fpr, tpr]."""
    order = np.sort(non_members)[::-1]
    rates = np.linspace(0, 1, points)
    curve = []
    for rate in rates:
        allowed = int(np.floor(rate * len(order) + 1e-9))
        tpr = 1.0 if allowed >= len(order) else float((members > order[allowed]).mean())
        curve.append([round(float(rate), 6), round(tpr, 6)])
    return curve


def percentile_interval(draws: Sequence[float] | np.ndarray, level: float = 0.95) -> Interval:
    """The central `level` share of bootstrap draws (Efron's percentile interval)."""
    tail = (1 - level) / 2
    low, high = np.quantile(np.asarray(draws, dtype=float), [tail, 1 - tail])
    return float(low), float(high)


def group_index(groups: Sequence[str]) -> list[np.ndarray]:
    """The rows of each group, in the order in which groups first appear."""
    rows: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    return [np.array(of) for of in rows.values()]


def resample(groups: list[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """Row indices of a bootstrap draw of whole groups with replacement: images of one patient go together."""
    if all(len(rows) == 1 for rows in groups):
        return np.concatenate(groups)[random.integers(len(groups), size=len(groups))]
    return np.concatenate([groups[chosen] for chosen in random.integers(len(groups), size=len(groups))])


def bootstrap_two(
    statistic: Callable[[np.ndarray, np.ndarray], float],
    groups_a: list[np.ndarray],
    groups_b: list[np.ndarray],
    draws: int,
    seed: int,
) -> np.ndarray:
    """`draws` values of a statistic of row indices into two samples, both resampled by group."""
    random = np.random.default_rng(seed)
    return np.array([statistic(resample(groups_a, random), resample(groups_b, random)) for _ in range(draws)])
