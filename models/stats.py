"""ROC curves, percentile intervals, and bootstraps by patient.

Scores: the higher, the more like a member.
"""

from collections.abc import Sequence

import numpy as np

Interval = tuple[float, float]


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
