"""The domain distance: bad releases fail, what cannot be judged says why, and the kernel and neighbour metrics stand beside their nulls."""

from dataclasses import replace

import numpy as np
import pytest

from models.manifold import polynomial_kernel
from schema.images import Images, RealImages
from schema.verdict import Status
from tasks.gates._frechet import Sample, compare, obstacle
from tasks.gates._manifold import MOST, kernel_distances, neighbour_evidence, sampled
from tasks.gates.fd_domain import Config, Plugin
from tests.contracts.test_gates import blobs

CONFIG = Config(threshold=0.3, steps=40, bootstrap=40)


@pytest.fixture(scope="module")
def real() -> RealImages:
    return RealImages(train=blobs(200, 1), holdout=blobs(100, 2), test=blobs(100, 3))


def judged(real: RealImages, synthetic: Images):
    gate = Plugin(CONFIG, None)
    found = gate.measure(real, synthetic)
    return gate.status(found), found


def names(n: int) -> list[str]:
    return [str(k) for k in range(n)]


def normal(n: int, seed: int, shift: float = 0.0) -> Sample:
    return Sample(np.random.default_rng(seed).normal(shift, 1, (n, 4)), names(n))


def test_the_excess_of_shifted_features_is_the_squared_shift():
    """Equal covariances: the distance is the squared distance of the means, here 4 x 0.5^2."""
    found = compare(normal(3000, 0, 0.5).features, normal(3000, 1), normal(3000, 2), draws=40, seed=0, scale=1.0)
    assert found["excess"] == pytest.approx(1.0, abs=0.1)
    low, high = found["interval"]
    assert low < 1.0 < high
    assert found["null"].value == pytest.approx(0, abs=0.02)


def test_the_kernel_excess_is_of_the_first_set_over_the_second_and_zero_where_they_are_alike():
    far = kernel_distances(normal(200, 0, 1.0), normal(150, 1), normal(150, 2), polynomial_kernel, 200, 0)
    assert far["excess"][0] == pytest.approx(far["distance"][0] - far["null"][0])
    assert far["excess"][1][0] > 0
    like = kernel_distances(normal(200, 3), normal(150, 1), normal(150, 2), polynomial_kernel, 200, 0)
    assert like["excess"][1][0] < 0 < like["excess"][1][1]


def test_neighbour_metrics_of_real_against_real_are_their_own_null():
    same = neighbour_evidence(normal(150, 1), normal(150, 1), normal(150, 2), 50, 0)
    for metric in ("precision", "recall", "density", "coverage"):
        low, high = same[f"{metric}_interval"]
        assert low <= same[metric] <= high
        assert same[metric] == pytest.approx(same[f"null_{metric}"], abs=1e-12)
    assert same["coverage_shortfall"] == 0


def test_large_sets_are_sampled_and_small_ones_kept():
    assert len(sampled(np.zeros((MOST + 1, 1)), names(MOST + 1), 0)) == MOST
    assert len(sampled(np.zeros((5, 1)), names(5), 0)) == 5


def test_few_kinds_of_images_repeated_fail_though_they_lie_close(real):
    status, found = judged(real, blobs(100, 5).take(np.arange(100) % 6))
    assert status is Status.FAIL
    assert found.evidence["coverage_shortfall"] > 0.3
    assert "less" in found.reason


def test_one_constant_image_fails(real):
    images = blobs(100, 5)
    assert judged(real, replace(images, pixels=np.full_like(images.pixels, 90)))[0] is Status.FAIL


def without_judgement(real: RealImages, synthetic: Images, words: str) -> None:
    status, found = judged(real, synthetic)
    assert (status, found.value) == (Status.INSUFFICIENT, None)
    assert words in found.reason


def test_what_cannot_be_judged_says_what_is_missing(real):
    images = blobs(100, 5)
    without_judgement(real, images.take(np.arange(1)), "synthetic images are too few, 1 where")
    one_class = replace(real.train, labels=np.zeros_like(real.train.labels))
    without_judgement(replace(real, train=one_class), images, "one class")
    blank = replace(real.test, pixels=np.full_like(real.test.pixels, 90))
    without_judgement(replace(real, test=blank), images, "all alike")
    larger = replace(images, pixels=images.pixels.repeat(2, axis=1))
    without_judgement(real, larger, "different sizes (16 x 16 x 1, 32 x 16 x 1)")
    one_patient = replace(real.holdout, patients=["a"] * len(real.holdout))
    without_judgement(replace(real, holdout=one_patient), images, "too few patients, 1 where")


def test_features_that_are_not_finite_are_not_judged(real, monkeypatch):
    monkeypatch.setattr("models.classifier.features", lambda network, pixels, device: np.full((len(pixels), 64), np.nan))
    without_judgement(real, blobs(100, 5), "not finite")


def test_the_scarcest_set_is_named(real):
    assert obstacle(real, blobs(100, 5), 50) is None
    assert "real holdout images are too few, 90" in obstacle(replace(real, holdout=real.holdout.take(np.arange(90))), blobs(100, 5), 95)
