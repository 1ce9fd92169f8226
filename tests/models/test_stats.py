"""Attack curves and intervals against closed forms and scikit-learn."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from models.stats import auc, bootstrap_two, group_index, percentile_interval, resample, roc, tpr_at_fpr


def scores(shift: float, n: int = 4000, m: int = 3000):
    random = np.random.default_rng(0)
    return random.normal(shift, 1, n), random.normal(0, 1, m)


def test_auc_of_two_normals_is_phi_of_their_distance():
    assert auc(*scores(1.0)) == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.01)


def test_auc_counts_ties_half_as_scikit_learn_does():
    members, others = np.array([1, 1, 2, 3.0]), np.array([1, 2, 2.0])
    assert auc(members, others) == roc_auc_score([1] * 4 + [0] * 3, [*members, *others])
    assert auc(np.ones(5), np.ones(7)) == 0.5


def test_tpr_at_one_percent_of_two_normals():
    members, others = scores(2.0, 20000, 20000)
    assert tpr_at_fpr(members, others, 0.01) == pytest.approx(norm.sf(norm.isf(0.01) - 2), abs=0.03)  # three standard errors


def test_tpr_is_never_flattered_by_ties_or_few_non_members():
    assert tpr_at_fpr(np.ones(10), np.ones(10), 0.01) == 0.0
    assert tpr_at_fpr(np.array([3.0, 0.0]), np.array([1.0, 2.0]), 0.01) == 0.5


def test_the_curve_goes_from_nothing_to_everything():
    curve = np.array(roc(*scores(1.0)))
    assert curve[-1].tolist() == [1.0, 1.0]
    assert (np.diff(curve, axis=0) >= 0).all()
    assert np.trapezoid(curve[:, 1], curve[:, 0]) == pytest.approx(auc(*scores(1.0)), abs=0.01)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    truth, covered = norm.cdf(0.5 / np.sqrt(2)), 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        members, others = random.normal(0.5, 1, 120), random.normal(0, 1, 90)
        singles = [[np.array([k]) for k in range(n)] for n in (120, 90)]
        low, high = percentile_interval(bootstrap_two(lambda a, b, m=members, o=others: auc(m[a], o[b]), *singles, 200, seed))
        covered += low <= truth <= high
    assert covered >= 52  # 95 % of 60 is 57; fewer than 52 has a chance under 1 %


def test_patients_are_drawn_whole():
    groups = group_index(["p", "q", "p", "r"])
    for seed in range(20):
        counts = np.bincount(resample(groups, np.random.default_rng(seed)), minlength=4)
        assert counts[0] == counts[2]
