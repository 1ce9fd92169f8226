"""Kernel densities against scipy's, and coordinates against their definition."""

import numpy as np
import pytest
from scipy.stats import gaussian_kde

from models.density import Coordinates, log_density


def test_it_is_scipys_density_where_the_covariance_is_one():
    random = np.random.default_rng(0)
    centres = random.normal(size=(300, 4))
    centres -= centres.mean(axis=0)
    centres = centres @ np.linalg.inv(np.linalg.cholesky(np.cov(centres.T))).T
    points = np.concatenate([random.normal(size=(50, 4)), 40 + random.normal(size=(2, 4))])
    np.testing.assert_allclose(log_density(points, centres, block=7), gaussian_kde(centres.T).logpdf(points.T), rtol=1e-9)


def test_coordinates_are_uncorrelated_of_unit_variance_and_as_many_as_vary():
    random = np.random.default_rng(0)
    rows = random.normal(size=(500, 3)) @ random.normal(size=(3, 10)) + 5
    found = Coordinates(rows, 8).of(rows)
    assert found.shape == (500, 3)
    np.testing.assert_allclose(found.T @ found / 500, np.eye(3), atol=1e-8)


def test_where_nothing_varies_every_place_is_alike():
    rows = np.full((20, 6), 3.0)
    space = Coordinates(rows, 4)
    assert log_density(space.of(rows), space.of(rows[:1])) == pytest.approx(np.zeros(20))
