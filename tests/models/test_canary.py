"""The audit's bound against closed forms, the paper's own numbers, and a mechanism whose epsilon is known."""

from functools import cache

import numpy as np
import pytest

from models import canary
from models.generators import Shape
from schema.images import Images

SHAPE = Shape(16, 12, 3, 4)
bound = cache(canary.epsilon_bound)


@pytest.mark.parametrize("guesses", [8, 64, 1000])
def test_with_every_guess_right_the_bound_is_the_closed_form(guesses):
    accuracy = 0.05 ** (1 / guesses)  # accuracy^guesses = 0.05, and accuracy = e^epsilon / (1 + e^epsilon)
    assert bound(1000, guesses, guesses, 0.0) == pytest.approx(np.log(accuracy / (1 - accuracy)), abs=1e-9)


@pytest.mark.parametrize(
    ("canaries", "guesses", "correct", "delta", "published"),
    [(1000, 100, 75, 1e-4, 0.673), (100_000, 1510, 1439, 1e-5, 2.675)],
    ids=["appendix D", "section 7"],
)
def test_the_bounds_printed_in_the_paper(canaries, guesses, correct, delta, published):
    """arXiv:2305.08846v1, pages 46 and 28. The paper rounds the one and cuts the other."""
    assert bound(canaries, guesses, correct, delta) == pytest.approx(published, abs=1e-3)


def test_a_larger_delta_and_fewer_right_guesses_never_raise_the_bound():
    by_delta = [bound(128, 64, 56, delta) for delta in (0.0, 1e-6, 1e-4, 1e-2)]
    by_correct = [bound(128, 64, correct, 1e-5) for correct in range(65)]
    assert by_delta == sorted(by_delta, reverse=True)
    assert by_delta[0] > by_delta[-1]
    assert by_correct == sorted(by_correct)
    assert by_correct[:33] == [0.0] * 33


@pytest.mark.parametrize(("epsilon", "n", "draws"), [(0.5, 100, 400), (1.0, 100, 400), (2.0, 100, 400), (1.0, 2000, 40)])
def test_randomised_response_is_bounded_by_the_epsilon_that_it_has(epsilon, n, draws):
    """Each coin is told truly with probability e^epsilon / (1 + e^epsilon), which is epsilon-DP with nothing to spare."""
    random = np.random.default_rng(0)
    bounds = []
    for _ in range(draws):
        coins = random.integers(0, 2, n).astype(bool)
        told = coins ^ (random.random(n) > 1 / (1 + np.exp(-epsilon)))
        bounds.append(bound(n, n, canary.correct_guesses(told + random.random(n) / 2, coins, n), 0.0))
    assert np.mean(np.array(bounds) <= epsilon) >= 0.95
    if n == 2000:
        assert np.median(bounds) > epsilon / 2


def test_scores_that_know_nothing_of_the_coins_give_no_bound_in_19_of_20_audits():
    random = np.random.default_rng(1)
    right = [canary.correct_guesses(random.random(128), random.integers(0, 2, 128).astype(bool), 64) for _ in range(1000)]
    assert np.mean([bound(128, 64, correct, 1e-5) > 0 for correct in right]) <= 0.05
    assert np.mean(right) == pytest.approx(32, abs=0.5)


def test_guesses_are_made_at_both_ends_and_the_middle_is_passed_over():
    scores = np.array([9.0, 8.0, 5.0, 4.0, 1.0, 0.0])
    included = np.array([True, False, False, True, True, False])
    assert canary.correct_guesses(scores, included, 2) == 2
    assert canary.correct_guesses(scores, included, 4) == 2


def test_canaries_come_from_the_seed_and_the_shape_alone():
    one, again, other = canary.draw(200, 5, SHAPE), canary.draw(200, 5, SHAPE), canary.draw(200, 6, SHAPE)
    strangers = canary.draw(200, 5, SHAPE, canary.NEVER_SHOWN)
    assert one.pixels.shape == (200, 16, 12, 3)
    assert set(np.unique(one.pixels)) == {0, 255}
    assert set(one.labels) == {0, 1, 2, 3}
    assert 70 < one.included.sum() < 130
    assert one.record(5) == again.record(5)
    images = [image.tobytes() for family in (one, other, strangers) for image in family.pixels]
    assert len(set(images)) == 600
    flipped = canary.Canaries(one.pixels, one.labels, one.included ^ (np.arange(200) == 7))
    assert flipped.record(5)["digest"] != one.record(5)["digest"]


def test_those_that_the_coins_chose_are_trained_on_after_the_members():
    ids = list("vwxyz")
    members = Images(
        np.zeros((5, 16, 12, 3), np.uint8), np.zeros(5, np.int64), ids, list("aabbc"), list("klmn"), np.zeros((5, 1), np.int64)
    )
    canaries = canary.draw(20, 0, SHAPE)
    shown = canary.with_planted(members, canaries, Shape(16, 12, 3, 4, (2,)))
    planted = int(canaries.included.sum())
    assert np.array_equal(shown.pixels[:5], members.pixels)
    assert np.array_equal(shown.pixels[5:], canaries.pixels[canaries.included])
    assert np.array_equal(shown.conditions[5:, 0], canaries.labels[canaries.included])
    assert (shown.conditions[:5] == 0).all()
    assert (shown.conditions[5:, 1] == -1).all()
    assert shown.conditions.dtype == np.int64
    assert shown.patients.tolist() == [0, 0, 1, 1, 2, *range(3, 3 + planted)]
