"""Kernel distances and nearest-neighbour metrics: against closed forms, scikit-learn's kernels, and the definitions spelt out."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import polynomial_kernel as sklearn_polynomial
from sklearn.metrics.pairwise import rbf_kernel

from models.manifold import gaussian_kernel, group_weights, mean_across, mean_within, neighbours, polynomial_kernel, squared_distances


def normal(n: int, seed: int, shift: float = 0.0, d: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (n, d))


def mmd2(kernel, a: np.ndarray, b: np.ndarray) -> float:
    once = [np.ones((1, len(of))) for of in (a, b)]
    within = [mean_within(kernel(of, of), np.arange(len(of)), weights)[0] for of, weights in zip((a, b), once, strict=True)]
    return sum(within) - 2 * mean_across(kernel(a, b), *once)[0]


def test_the_kernels_are_those_of_scikit_learn():
    a, b = normal(30, 0), normal(20, 1)
    np.testing.assert_allclose(polynomial_kernel(a, b), sklearn_polynomial(a, b, degree=3, gamma=1 / 4, coef0=1))
    np.testing.assert_allclose(gaussian_kernel(a, b, 3.0), rbf_kernel(a, b, gamma=1 / 18))


def test_equal_rows_are_exactly_no_distance_apart():
    a = normal(50, 0, 1000.0, 64)
    assert (np.diag(squared_distances(a, a)) == 0).all()


def test_the_gaussian_discrepancy_of_two_shifted_normals_is_the_closed_form():
    """E k(x, y) of x - y ~ N(m, 2 I) is (s2 / (s2 + 2))^(D/2) exp(-m2 / (2 (s2 + 2)))."""
    s2, shift, d = 4.0, 0.5, 4
    expected = 2 * (s2 / (s2 + 2)) ** (d / 2) * (1 - np.exp(-d * shift**2 / (2 * (s2 + 2))))
    found = [mmd2(lambda x, y: gaussian_kernel(x, y, 2.0), normal(400, k), normal(400, 100 + k, shift)) for k in range(10)]
    assert np.mean(found) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("n", [10, 200])
def test_the_polynomial_discrepancy_of_one_distribution_has_mean_zero_at_any_count(n):
    found = np.array([mmd2(polynomial_kernel, normal(n, k), normal(n, 1000 + k)) for k in range(200)])
    assert abs(found.mean()) < 3 * found.std() / np.sqrt(len(found))


def test_pairs_within_a_patient_are_left_out_and_weights_count_rows():
    groups, weights = np.array([0, 0, 1, 2]), np.array([2.0, 2.0, 0.0, 3.0])
    kernel = polynomial_kernel(normal(4, 0), normal(4, 0))
    pairs = [(i, j) for i in range(4) for j in range(4) if groups[i] != groups[j]]
    expected = sum(weights[i] * weights[j] * kernel[i, j] for i, j in pairs) / sum(weights[i] * weights[j] for i, j in pairs)
    assert mean_within(kernel, groups, weights[None])[0] == pytest.approx(expected)
    assert np.isnan(mean_within(kernel, groups, np.array([[1.0, 1, 0, 0]]))[0])


def test_bootstrap_weights_keep_patients_together():
    weights = group_weights(np.array([0, 1, 0, 2, 1]), 50, np.random.default_rng(0))
    assert (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert weights[:, 0].max() > 1


def by_definition(real: np.ndarray, synthetic: np.ndarray, k: int) -> dict[str, float]:
    def distance(x, y):
        return np.sqrt(((x - y) ** 2).sum())

    def radius(of, row):
        return sorted(distance(of[row], other) for j, other in enumerate(of) if j != row)[k - 1]

    real_radii, synthetic_radii = ([radius(of, row) for row in range(len(of))] for of in (real, synthetic))
    inside = np.array([[distance(r, s) <= reach for s in synthetic] for r, reach in zip(real, real_radii, strict=True)])
    reached = np.array([[distance(r, s) <= reach for s, reach in zip(synthetic, synthetic_radii, strict=True)] for r in real])
    return {
        "precise": inside.any(axis=0).mean(),
        "recalled": reached.any(axis=1).mean(),
        "density": inside.sum() / (k * len(synthetic)),
        "covered": inside.any(axis=1).mean(),
    }


@pytest.mark.parametrize("k", [2, 4])
def test_neighbour_metrics_are_their_definitions(k):
    real, synthetic = normal(40, 0), normal(30, 1, 0.7)
    found = neighbours(real, synthetic, k, k)
    for name, value in by_definition(real, synthetic, k).items():
        assert getattr(found, name).mean() == pytest.approx(value)


def test_more_rows_than_are_held_at_once_change_nothing(monkeypatch):
    real, synthetic = normal(90, 0), normal(70, 1, 0.5)
    whole = neighbours(real, synthetic)
    monkeypatch.setattr("models.manifold.CHUNK", 16)
    in_parts = neighbours(real, synthetic)
    for name in ("precise", "recalled", "density", "covered"):
        np.testing.assert_allclose(getattr(in_parts, name), getattr(whole, name))


def test_a_set_covers_itself_one_image_repeated_does_not_and_too_few_are_refused():
    real = normal(60, 0)
    itself = neighbours(real, real)
    assert itself.covered.mean() == itself.recalled.mean() == itself.precise.mean() == 1
    collapsed = neighbours(real, np.repeat(real[:1], 60, axis=0))
    assert collapsed.precise.mean() == 1
    assert collapsed.covered.mean() < 0.3
    with pytest.raises(ValueError, match="neighbours"):
        neighbours(real, real[:5])
