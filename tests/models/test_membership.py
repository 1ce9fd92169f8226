"""Attack statistics against closed forms, against the plain ones, and the attack that needs no model."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from models.membership import Ranked, blind_scores, distances, drawn_weights, halves, lira, needed
from models.stats import group_index


def auc(members, others) -> float:
    """By scikit-learn."""
    return roc_auc_score([1] * len(members) + [0] * len(others), [*members, *others])


def tpr_at_fpr(members, others, fpr: float) -> float:
    """By trying every threshold: the largest share of members above one that no more than `fpr` of the others exceed."""
    allowed = [bound for bound in {*members, *others} if (others > bound).mean() <= fpr]
    return max((members > bound).mean() for bound in allowed)


def test_a_tenth_of_a_percent_needs_2995_non_members():
    assert (needed(0.001), needed(0.01)) == (2995, 299)
    assert 0.999**2995 <= 0.05 < 0.999**2994


@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_the_sorted_statistics_are_the_plain_ones_with_ties_and_without(decimals):
    random = np.random.default_rng(decimals)
    members, others = random.normal(0.7, 1, 500).round(decimals), random.normal(0, 1, 300).round(decimals)
    ranked = Ranked(members, others)
    assert ranked.auc() == pytest.approx(auc(members, others), abs=1e-12)
    for fpr in (0.0, 0.001, 0.01, 0.1, 0.5):
        assert ranked.tpr_at_fpr(fpr) == tpr_at_fpr(members, others, fpr)


def test_weights_count_an_image_as_often_as_they_say():
    random = np.random.default_rng(1)
    members, others = random.normal(0.5, 1, 60), random.normal(0, 1, 40)
    rows = random.integers(60, size=60), random.integers(40, size=40)
    weights = [np.bincount(row, minlength=n) for row, n in zip(rows, (60, 40), strict=True)]
    ranked = Ranked(members, others)
    assert ranked.auc(*weights) == pytest.approx(auc(members[rows[0]], others[rows[1]]), abs=1e-12)
    assert ranked.tpr_at_fpr(0.1, *weights) == tpr_at_fpr(members[rows[0]], others[rows[1]], 0.1)


def test_patients_are_drawn_whole_and_as_many_as_there_are():
    for seed in range(10):
        weights = drawn_weights(np.array([0, 1, 0, 2]), np.random.default_rng(seed))
        assert weights[0] == weights[2]
        assert weights[[0, 1, 3]].sum() == 3


def test_each_image_is_in_half_of_the_shadow_models():
    included = halves(group_index([f"p{k // 2}" for k in range(40)]), 40, 6, seed=3)
    assert (included.sum(axis=0) == 3).all()
    assert (included[:, ::2] == included[:, 1::2]).all()
    with pytest.raises(ValueError, match="pairs"):
        halves([np.arange(4)], 4, 3, seed=0)


def test_lira_sees_what_a_plain_loss_does_not():
    """Each image has a difficulty of its own, far larger than what training takes off: known means make the AUC Phi(d / sqrt 2)."""
    random = np.random.default_rng(0)
    n, shadows, gap, noise = 2000, 16, 0.2, 0.2
    difficulty = random.normal(0, 3, n)
    member = np.arange(n) < n // 2
    included = halves([np.array([k]) for k in range(n)], n, shadows, seed=1)
    observed = difficulty - gap * member + random.normal(0, noise, n)
    trained = difficulty - gap * included + random.normal(0, noise, (shadows, n))
    score = lira(observed, trained, included)
    assert auc(-observed[member], -observed[~member]) == pytest.approx(0.5, abs=0.06)
    # The mean difficulty is known up to noise / sqrt(16), which widens the noise by half a 16th.
    expected = norm.cdf(gap / (noise * np.sqrt(1 + 1 / shadows)) / np.sqrt(2))
    assert auc(score[member], score[~member]) == pytest.approx(expected, abs=0.03)


def pictures(n: int, seed: int, brightness: float = 100) -> np.ndarray:
    return np.random.default_rng(seed).normal(brightness, 20, (n, 16, 16, 1)).clip(0, 255).astype(np.uint8)


def test_the_attack_without_a_model_finds_a_split_by_scanner_and_nothing_in_a_fair_one():
    names = [str(k) for k in range(300)]
    member = np.arange(300) < 200
    fair = blind_scores(pictures(300, 0), member, names, seed=0)
    assert auc(fair[member], fair[~member]) == pytest.approx(0.5, abs=0.1)
    unfair = blind_scores(np.concatenate([pictures(200, 1), pictures(100, 2, 104)]), member, names, seed=0)
    assert auc(unfair[member], unfair[~member]) > 0.95


def test_the_attack_without_a_model_never_judges_an_image_by_its_own_patient():
    """Two equal images of each patient: who had seen the one would know the other."""
    images = np.repeat(pictures(60, 5), 2, axis=0)
    patients = [f"p{k // 2}" for k in range(120)]
    member = np.repeat(np.random.default_rng(0).random(60) < 0.5, 2)
    scores = blind_scores(images, member, patients, seed=0)
    assert auc(scores[member], scores[~member]) < 0.75


def test_a_shift_of_grey_moves_pixels_and_no_edges_and_a_line_moves_both():
    images = np.full((2, 4, 4, 1), 100, np.uint8)
    again = images.copy()
    again[0] += 10
    again[1, :, 2] += 10
    pixels, edges = distances(again, images)
    assert pixels.tolist() == [100, 25]
    # Two of three steps across the line in each row, of height 10; none along it.
    assert edges == pytest.approx([0, 200 / 3])
