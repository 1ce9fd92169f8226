"""Scores on bootstrap draws, against scikit-learn on the drawn images themselves."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, recall_score, roc_auc_score

from models.scores import draw_weights, interval, scores, seed_weights, summarise
from models.stats import group_index


def sample(n: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and class probabilities that know something of them, with ties."""
    random = np.random.default_rng(seed)
    labels = random.integers(classes, size=n)
    raw = np.round(random.random((n, classes)) + 0.6 * np.eye(classes)[labels], 1) + 1e-9
    return raw / raw.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("classes", [2, 4])
def test_each_draw_scores_as_scikit_learn_scores_the_drawn_images(classes):
    probabilities, labels = sample(90, classes)
    weights = draw_weights(group_index([str(k // 3) for k in range(90)]), 8, np.random.default_rng(1))
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 90).all()
    assert (weights.reshape(9, 30, 3) == weights.reshape(9, 30, 3)[:, :, :1]).all(), "images of one patient go together"
    found = scores(probabilities, labels, weights)
    for draw, row in enumerate(weights.astype(int)):
        drawn = np.repeat(np.arange(90), row)
        said, truth = probabilities[drawn], labels[drawn]
        assert found["accuracy"][draw] == pytest.approx((said.argmax(axis=1) == truth).mean())
        assert found["balanced_accuracy"][draw] == pytest.approx(balanced_accuracy_score(truth, said.argmax(axis=1)))
        assert found["recalls"][draw] == pytest.approx(recall_score(truth, said.argmax(axis=1), average=None))
        area = roc_auc_score(truth, said[:, 1] if classes == 2 else said, multi_class="ovr")
        assert found["auroc"][draw] == pytest.approx(area)


def test_a_class_that_is_not_there_has_no_recall_and_one_class_alone_no_auroc():
    probabilities, labels = sample(50, 3)
    found = summarise(probabilities[None], np.minimum(labels, 1), np.ones((3, 50)), np.ones((3, 1)))
    assert np.isnan(found.recall[2])
    assert np.isnan(found.auroc[2])
    assert 0 < found.value("balanced_accuracy") < 1
    alone = summarise(probabilities[None], np.zeros(50, dtype=int), np.ones((3, 50)), np.ones((3, 1)))
    assert set(alone.by_seed) == {"accuracy", "balanced_accuracy"}


def test_constant_scores_are_worth_half():
    assert scores(np.full((10, 2), 0.5), np.arange(10) % 2, np.ones((1, 10)))["auroc"] == [0.5]


def test_seeds_are_drawn_with_replacement_and_the_first_row_is_all_of_them():
    weights = seed_weights(5, 4000, np.random.default_rng(0))
    assert weights[0] == pytest.approx([0.2] * 5)
    assert weights.sum(axis=1) == pytest.approx(1)
    assert weights[1:].std(axis=0) == pytest.approx([np.sqrt(0.8 / 5 / 5)] * 5, rel=0.05)


def test_the_interval_of_a_mean_is_the_normal_one():
    """A share of 0.9 in 1000 images: plus and minus 1.96 standard errors of 0.0095."""
    probabilities = np.eye(2)[np.repeat([1, 0], [900, 100])]
    weights = draw_weights(group_index([str(k) for k in range(1000)]), 4000, np.random.default_rng(0))
    found = scores(probabilities, np.ones(1000, dtype=int), weights)
    assert interval(found["accuracy"]) == pytest.approx((0.9 - 1.96 * 0.0095, 0.9 + 1.96 * 0.0095), abs=0.0015)
