"""The epsilon of a DP-SGD run from what ran, by opacus' own accountants."""

import math
import warnings
from dataclasses import dataclass

from schema.privacy import PrivacyAccount

EPS_ERROR = 0.01
"""Error of the PRV accountant's epsilon: opacus' own default, so that its numbers are met to the last digit."""

LARGEST = 100.0
"""Where RDP gives more, PRV is not asked: no such claim protects anyone, and PRV's grid grows with epsilon to many gigabytes."""


@dataclass(frozen=True)
class Epsilon:
    """The true epsilon lies in `low`..`value`, by `accountant` (rdp or prv): `value` is proven, `low` is 0 where it gives no other end."""

    value: float
    low: float
    accountant: str


def recompute(account: PrivacyAccount) -> Epsilon:
    """The epsilon at `account.delta` of the run that the account records; infinite without noise or clipping.

    The Poisson-sampled Gaussian mechanism, composed: RDP of Mironov, Talwar, Zhang 2019 (arXiv:1908.10530) with the conversion
    of Balle et al. 2020 (arXiv:1905.09982, theorem 21), or PRV of Gopi, Lee, Wutschitz 2021 (arXiv:2106.02848). Both are for
    units added or removed; replacing one is removing and adding, so group privacy for two gives that
    (Vadhan 2017, "The complexity of differential privacy", lemma 2.2). Where PRV cannot be computed, RDP's bound stands.
    """
    if not account.noise_multiplier or not account.max_grad_norm:
        return Epsilon(math.inf, math.inf, account.accountant)
    if account.adjacency == "add-remove":
        return _added_or_removed(account, account.delta)
    single = _added_or_removed(account, _delta_of_one(account))
    return Epsilon(2 * single.value, 0.0, single.accountant)


def _added_or_removed(account: PrivacyAccount, delta: float) -> Epsilon:
    bound = Epsilon(_rdp(account, delta), 0.0, "rdp")
    if account.accountant == "rdp" or bound.value > LARGEST:
        return bound
    try:
        return _prv(account, delta)
    except (ValueError, RuntimeError):  # opacus refuses a delta that is under the rounding errors of its grid
        return bound


def _prv(account: PrivacyAccount, delta: float) -> Epsilon:
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    accountant.history = [(account.noise_multiplier, account.sample_rate, account.steps)]
    error = delta / 1000  # opacus' own default
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the logarithm of 1 - sample_rate, where that is 0
        value = accountant.get_epsilon(delta, eps_error=EPS_ERROR, delta_error=error)
        # Its estimate errs by EPS_ERROR in epsilon and `error` in delta at most (Gopi et al., theorem 5.5), and this is its upper end.
        low = accountant.get_epsilon(delta + 2 * error, eps_error=EPS_ERROR, delta_error=error) - 2 * EPS_ERROR
    return Epsilon(float(value), max(0.0, float(low)), "prv")


def _rdp(account: PrivacyAccount, delta: float) -> float:
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(account.noise_multiplier, account.sample_rate, account.steps)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the best order may be the first or the last of its list: the bound holds all the same
        return accountant.get_epsilon(delta)


def _delta_of_one(account: PrivacyAccount) -> float:
    """The largest delta' with (1 + e^epsilon(delta')) delta' <= delta: what one unit may have for two to have `delta`."""
    low, high = math.log(account.delta) - 600, math.log(account.delta / 2)
    for _ in range(60):
        middle = (low + high) / 2
        epsilon = _rdp(account, math.exp(middle))
        # In logarithms, since e^epsilon may be out of all range.
        fits = middle + epsilon + math.log1p(math.exp(-epsilon)) <= math.log(account.delta)
        low, high = (middle, high) if fits else (low, middle)
    return math.exp(low)
