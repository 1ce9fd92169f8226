"""The Frechet distance, by its closed forms and against SciPy's matrix square root."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from models.frechet import feature_distance, frechet_distance


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
