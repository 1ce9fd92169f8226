"""The epsilon of what ran, against closed forms and the numbers that the authors of accountants publish."""

import math
import re

import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from models.accounting import EPS_ERROR, composed, incomparable, recompute
from schema.privacy import PrivacyAccount


def account(**changes) -> PrivacyAccount:
    said = {
        "mechanism": "dp-sgd",
        "unit": "image",
        "adjacency": "add-remove",
        "scope": "the weights",
        "epsilon": 1.0,
        "delta": 1e-5,
        "accountant": "rdp",
        "noise_multiplier": 1.0,
        "max_grad_norm": 1.0,
        "sampling": "poisson",
        "sample_rate": 1.0,
        "steps": 1,
        "examples": 1000,
    }
    return PrivacyAccount(**said | changes)


def gaussian_epsilon(noise: float, delta: float) -> float:
    """The exact epsilon of a Gaussian mechanism of sensitivity 1 (Balle and Wang 2018, arXiv:1805.06530, theorem 8)."""

    def excess(epsilon: float) -> float:
        return norm.cdf(0.5 / noise - epsilon * noise) - math.exp(epsilon) * norm.cdf(-0.5 / noise - epsilon * noise) - delta

    return brentq(excess, 0, 100)


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("delta", [1e-5, 1e-3])
def test_one_step_on_all_images_is_the_analytic_gaussian_mechanism(noise, delta):
    exact = gaussian_epsilon(noise, delta)
    prv = recompute(account(accountant="prv", noise_multiplier=noise, delta=delta))
    assert prv.low <= exact <= prv.value
    assert prv.value - prv.low <= 2.5 * EPS_ERROR
    rdp = recompute(account(noise_multiplier=noise, delta=delta))
    assert rdp.low == 0
    assert exact <= rdp.value < 1.25 * exact


def test_many_steps_on_all_images_are_one_with_less_noise():
    """k Gaussian mechanisms compose into one with noise / sqrt(k)."""
    prv = recompute(account(accountant="prv", noise_multiplier=20.0, steps=100))
    assert prv.low <= gaussian_epsilon(2.0, 1e-5) <= prv.value


@pytest.mark.parametrize(
    ("noise", "rate", "steps", "delta", "published"),
    [
        (1.3, 150 / 60_000, 15 * 400, 1e-5, 0.7242234026109595),
        (1.0, 100 / 100_000, 30 * 1000, 1e-7, 1.4154988495444845),
        (1.5, 0.04, 2250, 1e-5, 7.32911117143),
    ],
    ids=["TensorFlow Privacy, 15 epochs of MNIST", "TensorFlow Privacy, 30 epochs", "opacus"],
)
def test_the_epsilons_that_accountants_publish(noise, rate, steps, delta, published):
    """tensorflow_privacy/privacy/analysis/compute_dp_sgd_privacy_test.py and opacus/tests/accountants_test.py."""
    said = {"noise_multiplier": noise, "sample_rate": rate, "steps": steps, "delta": delta}
    assert recompute(account(**said)).value == pytest.approx(published, abs=1e-7)
    prv = recompute(account(accountant="prv", **said))
    assert 0.75 * published < prv.value < published, "PRV is the tighter of the two"


@pytest.mark.parametrize("accountant", ["rdp", "prv"])
def test_replacing_one_image_moves_the_sum_twice_as_far(accountant):
    """The exact epsilon is that of sensitivity 2, which is half the noise; group privacy bounds it from above."""
    found = recompute(account(accountant=accountant, adjacency="replace-one", noise_multiplier=4.0))
    assert gaussian_epsilon(2.0, 1e-5) <= found.value < 1.4 * gaussian_epsilon(2.0, 1e-5)
    assert found.low == 0


@pytest.mark.parametrize("missing", [{"noise_multiplier": 0}, {"max_grad_norm": None}, {"max_grad_norm": 0}, {"max_grad_norm": math.inf}])
def test_without_noise_or_clipping_there_is_no_epsilon(missing):
    assert recompute(account(**missing)).value == math.inf


def test_what_prv_cannot_compute_is_bounded_by_rdp():
    """Next to no noise, whose grid would fill the memory, and a delta under the rounding errors."""
    for asked in ({"noise_multiplier": 1e-3, "sample_rate": 0.1, "steps": 1000}, {"delta": 1e-18}):
        found = recompute(account(accountant="prv", **asked))
        assert found == recompute(account(**asked))
        assert found.accountant == "rdp"
        assert math.isfinite(found.value)
    assert math.isfinite(recompute(account(adjacency="replace-one", noise_multiplier=1e-3)).value)


@pytest.mark.parametrize("accountant", ["rdp", "prv"])
def test_k_equal_runs_are_one_with_k_times_the_steps(accountant):
    run = account(accountant=accountant, noise_multiplier=1.1, sample_rate=0.01, steps=200)
    once = recompute(account(accountant=accountant, noise_multiplier=1.1, sample_rate=0.01, steps=600))
    assert composed([run, run, run], 1e-5) == once
    assert once.value < 3 * recompute(run).value


def test_runs_without_sampling_compose_as_gaussian_mechanisms_do():
    """Of noise s1 and s2 together: one of noise s with 1/s^2 = 1/s1^2 + 1/s2^2; 3 and 4 give 12/5 (Balle and Wang 2018, section 2.2)."""
    runs = [account(accountant="prv", noise_multiplier=noise) for noise in (3.0, 4.0)]
    found = composed(runs, 1e-5)
    assert found.low <= gaussian_epsilon(2.4, 1e-5) <= found.value
    assert found.value == pytest.approx(composed(runs[::-1], 1e-5).value)
    replaced = [one.model_copy(update={"adjacency": "replace-one"}) for one in runs]
    assert gaussian_epsilon(1.2, 1e-5) <= composed(replaced, 1e-5).value < 1.5 * gaussian_epsilon(1.2, 1e-5)
    assert composed([], 1e-5).value == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"unit": "patient"}, r"different units \(image and patient\)"),
        ({"adjacency": "replace-one"}, r"different adjacencies \(add-remove and replace-one\)"),
        ({"sampling": "shuffled"}, "otherwise than by Poisson sampling"),
        ({"noise_multiplier": 0.0}, "without noise or without clipping"),
    ],
)
def test_what_does_not_add_up_has_no_finite_bound_and_says_why(change, words):
    runs = [account(), account(**change)]
    assert composed(runs, 1e-5).value == math.inf
    assert re.search(words, incomparable(runs))
