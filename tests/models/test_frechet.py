"""The Frechet distance, by its closed forms and against SciPy's matrix square root."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from models.frechet import Moments, distance_at_infinity, feature_distance, frechet_distance, line_at_infinity


def test_equal_covariances_leave_the_squared_distance_of_the_means():
    cov = np.cov(np.random.default_rng(0).normal(size=(50, 6)), rowvar=False)
    shift = np.arange(6.0)
    assert frechet_distance(shift, cov, np.zeros(6), cov) == pytest.approx(55.0)


def test_diagonal_covariances_leave_the_differences_of_the_deviations():
    a, b = np.array([1.0, 4.0, 9.0]), np.array([4.0, 1.0, 0.0])
    expected = ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert frechet_distance(np.zeros(3), np.diag(a), np.zeros(3), np.diag(b)) == pytest.approx(expected)


def test_general_covariances_agree_with_the_matrix_square_root():
    random = np.random.default_rng(1)
    a, b = random.normal(size=(200, 12)) @ random.normal(size=(12, 12)), random.normal(size=(150, 12)) + 1
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    difference = a.mean(0) - b.mean(0)
    expected = difference @ difference + np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)
    assert feature_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_fewer_images_than_features_still_give_a_finite_number_and_zero_against_itself():
    few = np.random.default_rng(2).normal(size=(10, 64))
    assert feature_distance(few, few) == pytest.approx(0, abs=1e-5)


def test_moments_of_batches_are_those_of_the_whole():
    features = np.random.default_rng(3).normal(1000, 1, (101, 5))
    whole, rest = Moments(5), Moments(5)
    for start in range(0, 101, 10):
        (whole if start < 60 else rest).add(features[start : start + 10])
    whole.join(rest).join(Moments(5))
    np.testing.assert_allclose(whole.mean, features.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(whole.cov, np.cov(features, rowvar=False), rtol=1e-9)


def test_one_image_has_no_covariance():
    with pytest.raises(ValueError, match="two images"):
        _ = Moments(3).add(np.ones((1, 3))).cov
    with pytest.raises(ValueError, match="two images"):
        feature_distance(np.ones((1, 3)), np.ones((5, 3)))


def test_a_line_in_1_over_n_is_recovered_at_infinity():
    sizes = [100, 150, 400]
    assert line_at_infinity(sizes, [7.5 + 300 / n for n in sizes]) == pytest.approx(7.5)


def test_extrapolation_takes_away_the_bias_of_small_sets():
    """Two normals one apart in each of 16 dimensions: the distance is 16, and finite sets say more."""
    random = np.random.default_rng(4)
    sets = [(random.normal(size=(300, 16)), random.normal(1, 1, (300, 16))) for _ in range(20)]
    plain = np.mean([feature_distance(*pair) for pair in sets]) - 16
    extrapolated = np.mean([distance_at_infinity(*pair, 5, seed) for seed, pair in enumerate(sets)]) - 16
    assert plain > 0.3
    assert abs(extrapolated) < plain / 3


def test_one_feature_is_enough():
    """Of two samples of one feature: the squared differences of the means and of the deviations."""
    a, b = np.arange(9.0)[:, None], 2 * np.arange(9.0)[:, None]
    assert feature_distance(a, b) == pytest.approx(4.0**2 + a.std(ddof=1) ** 2)
