"""What a set leaves out, against closed forms and against drawing subsets one by one."""

import numpy as np
import pytest

from models.manifold import squared_distances
from models.modes import NEIGHBOURS, centred, coverages, reach, total_variation, worst
from models.scores import draw_weights


def inside(reference: np.ndarray, images: np.ndarray) -> np.ndarray:
    return squared_distances(reference, images) <= reach(reference)[:, None]


def test_coverage_of_the_same_distribution_is_the_papers_closed_form():
    """Naeem et al. 2020, eq. 10: 1 - (N-1)...(N-k) / ((M+N-1)...(M+N-k)) for N real and M others, whatever the distribution."""
    n, m = 300, 100
    k = np.arange(1, NEIGHBOURS + 1)
    expected = 1 - np.prod((n - k) / (m + n - k))
    found = []
    for seed in range(8):
        random = np.random.default_rng(seed)
        reference, images = random.normal(size=(n, 6)), random.normal(size=(400, 6))
        found.append(coverages(inside(reference, images), np.ones((1, 400)), m)[0])
    assert expected == pytest.approx(0.7657, abs=1e-4)
    assert np.mean(found) == pytest.approx(expected, abs=0.02)


def test_coverage_by_m_images_is_the_mean_over_subsets_of_m():
    random = np.random.default_rng(1)
    reach_of = inside(random.normal(size=(60, 3)), random.normal(size=(40, 3)) + 1)
    subsets = [reach_of[:, random.permutation(40)[:15]].any(axis=1).mean() for _ in range(4000)]
    weights = np.vstack([np.ones(40), np.repeat([2, 0], 20)])
    whole, half = coverages(reach_of, weights, 15)
    assert whole == pytest.approx(np.mean(subsets), abs=0.005)
    assert half < whole


def test_a_draw_of_fewer_images_counts_whole():
    reach_of = np.eye(4, dtype=bool)
    assert coverages(reach_of, np.array([[1.0, 1, 0, 0]]), 3) == pytest.approx([0.5])


def test_reach_needs_neighbours():
    with pytest.raises(ValueError, match="neighbours"):
        reach(np.zeros((NEIGHBOURS, 2)))
    assert reach(np.arange(7.0)[:, None])[0] == NEIGHBOURS**2


def test_total_variation_is_half_the_differences():
    assert total_variation(np.array([0.5, 0.5, 0]), np.array([0.2, 0.5, 0.3])) == pytest.approx(0.3)
    assert total_variation(np.array([1, 0]), np.array([0, 1])) == 1


def test_the_worst_of_equal_classes_is_not_made_worse_by_choosing_it():
    """Six classes with no shortfall at all, 50 images each: the largest is 0.06 on average, and the bootstrap knows two fifths of that."""
    raw, corrected, holds = [], [], 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        samples = random.random((6, 50)) < 0.9
        draws = np.stack([draw_weights(list(np.arange(50)[:, None]), 200, random) @ of / 50 for of in samples], axis=1)
        value, (low, high) = worst(0.9 - draws)
        raw.append(0.9 - samples.mean(axis=1).min())
        corrected.append(value)
        holds += low <= 0 <= high
    assert np.mean(raw) == pytest.approx(0.06, abs=0.01)
    assert np.mean(corrected) < 0.7 * np.mean(raw)
    assert holds / 60 > 0.8


def test_centring_keeps_the_estimate_and_the_spread():
    draws = np.random.default_rng(0).normal(3, 2, (1001, 2))
    moved = centred(draws)
    assert np.array_equal(moved[0], draws[0])
    assert moved[1:].mean(axis=0) == pytest.approx(draws[0])
    assert moved[1:].std(axis=0) == pytest.approx(draws[1:].std(axis=0))
