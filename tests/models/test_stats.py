"""Attack curves and intervals against closed forms and scikit-learn."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from models.membership import Ranked, drawn_weights
from models.stats import group_index, percentile_interval, resample, roc


def scores(shift: float, n: int = 4000, m: int = 3000):
    random = np.random.default_rng(0)
    return random.normal(shift, 1, n), random.normal(0, 1, m)


def test_auc_of_two_normals_is_phi_of_their_distance():
    assert Ranked(*scores(1.0)).auc() == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.01)


def test_auc_counts_ties_half_as_scikit_learn_does():
    members, others = np.array([1, 1, 2, 3.0]), np.array([1, 2, 2.0])
    assert Ranked(members, others).auc() == pytest.approx(roc_auc_score([1] * 4 + [0] * 3, [*members, *others]), abs=1e-12)
    assert Ranked(np.ones(5), np.ones(7)).auc() == 0.5


def test_tpr_at_one_percent_of_two_normals():
    members, others = scores(2.0, 20000, 20000)
    expected = norm.sf(norm.isf(0.01) - 2)
    assert Ranked(members, others).tpr_at_fpr(0.01) == pytest.approx(expected, abs=0.03)  # three standard errors


def test_tpr_is_never_flattered_by_ties_or_few_non_members():
    assert Ranked(np.ones(10), np.ones(10)).tpr_at_fpr(0.01) == 0.0
    assert Ranked(np.array([3.0, 0.0]), np.array([1.0, 2.0])).tpr_at_fpr(0.01) == 0.5


def test_the_curve_goes_from_nothing_to_everything():
    curve = np.array(roc(*scores(1.0)))
    assert curve[-1].tolist() == [1.0, 1.0]
    assert (np.diff(curve, axis=0) >= 0).all()
    assert np.trapezoid(curve[:, 1], curve[:, 0]) == pytest.approx(Ranked(*scores(1.0)).auc(), abs=0.01)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    truth, covered = norm.cdf(0.5 / np.sqrt(2)), 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        ranked = Ranked(random.normal(0.5, 1, 120), random.normal(0, 1, 90))
        draws = [ranked.auc(*(drawn_weights(np.arange(n), random) for n in (120, 90))) for _ in range(200)]
        low, high = percentile_interval(draws)
        covered += low <= truth <= high
    assert covered >= 52  # 95 % of 60 is 57; fewer than 52 has a chance under 1 %


def test_patients_are_drawn_whole():
    groups = group_index(["p", "q", "p", "r"])
    for seed in range(20):
        counts = np.bincount(resample(groups, np.random.default_rng(seed)), minlength=4)
        assert counts[0] == counts[2]
