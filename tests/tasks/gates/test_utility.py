"""The utility gate's arithmetic on predictions whose accuracy is known."""

import numpy as np
import pytest

from tasks.gates.utility import Config, Plugin
from tests.contracts.test_gates import blobs


def guesses(labels: np.ndarray, wrong: float, seeds: int = 5) -> np.ndarray:
    """Class probabilities, seeds x N x 2, wrong on exactly that share of the images."""
    rows = np.stack([np.random.default_rng(seed).permutation(len(labels)) for seed in range(seeds)])
    said = np.repeat(labels[None], seeds, axis=0)
    for seed in range(seeds):
        said[seed, rows[seed][: int(wrong * len(labels))]] ^= 1
    return np.eye(2)[said] * 0.8 + 0.1


def test_the_ratio_and_its_null_are_what_the_predictions_make_them():
    test = blobs(1000, 1)
    arms = {"real": guesses(test.labels, 0.1), "synthetic": guesses(test.labels, 0.28), "real_again": guesses(test.labels, 0.1)}
    found = Plugin(Config(threshold=-0.05), None)._finding(arms, test, 500)
    assert found.evidence["ratio"] == pytest.approx(0.72 / 0.9)
    assert found.null.value == pytest.approx(1.0)
    assert found.value == pytest.approx(-0.2)
    low, high = found.interval
    assert low < -0.2 < high < -0.15
    assert found.evidence["synthetic"]["balanced_accuracy"] == pytest.approx([0.72] * 5, abs=0.02)
