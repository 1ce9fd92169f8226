"""The epsilon of a DP-SGD run from what ran, and the run from its epsilon, by opacus' own accountants."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

from schema.privacy import PrivacyAccount

EPS_ERROR = 0.01
"""Error of the PRV accountant's epsilon: opacus' own default, so that its numbers are met to the last digit."""

LARGEST = 100.0
"""Where RDP gives more, PRV is not asked: no such claim protects anyone, and PRV's grid grows with epsilon to many gigabytes."""

PRECISION = 1e-4
"""What `least_noise` rounds up to: some 0.02 % of epsilon, and the same noise on every machine."""


@dataclass(frozen=True)
class Epsilon:
    """The true epsilon lies in `low`..`value`, by `accountant` (rdp or prv): `value` is proven, `low` is 0 where it gives no other end."""

    value: float
    low: float
    accountant: str


def recompute(account: PrivacyAccount, low: bool = True) -> Epsilon:
    """The epsilon at `account.delta` of the run that the account records; infinite without noise or clipping. Without `low` that end is 0,
    which takes half the time.

    The Poisson-sampled Gaussian mechanism, composed: RDP of Mironov, Talwar, Zhang 2019 (arXiv:1908.10530) with the conversion
    of Balle et al. 2020 (arXiv:1905.09982, theorem 21), or PRV of Gopi, Lee, Wutschitz 2021 (arXiv:2106.02848). Both are for
    units added or removed; replacing one is removing and adding, so group privacy for two gives that
    (Vadhan 2017, "The complexity of differential privacy", lemma 2.2). Where PRV cannot be computed, RDP's bound stands.
    """
    if not account.noise_multiplier or not account.max_grad_norm:
        return Epsilon(math.inf, math.inf, account.accountant)
    if account.adjacency == "add-remove":
        return _added_or_removed(account, account.delta, low)
    single = _added_or_removed(account, _delta_of_one([account], account.delta), low=False)
    return Epsilon(2 * single.value, 0.0, single.accountant)


def incomparable(accounts: Sequence[PrivacyAccount]) -> str | None:
    """Why no finite epsilon follows from these accounts together, in words; None where one does."""
    for what, found in (("units", {one.unit for one in accounts}), ("adjacencies", {one.adjacency for one in accounts})):
        if len(found) > 1:
            return f"their guarantees are for different {what} ({' and '.join(sorted(found))}), which do not add up"
    if any(one.sampling != "poisson" for one in accounts):
        return "one drew its batches otherwise than by Poisson sampling, which the accountants assume"
    if not all(one.noise_multiplier and one.max_grad_norm for one in accounts):
        return "one was trained without noise or without clipping"
    return None


def composed(accounts: Sequence[PrivacyAccount], delta: float) -> Epsilon:
    """The epsilon at `delta` of all these runs together on the same units; infinite where `incomparable` says why.

    Adaptive composition of Poisson-sampled Gaussian mechanisms, by the accountants that `recompute` names: RDP adds up order by order
    (Mironov 2017, arXiv:1702.07476, proposition 1), PRV convolves the privacy losses. RDP is taken unless all runs were accounted by PRV.
    The epsilons and deltas that the accounts claim are not used: each is of one run, at its own delta.
    """
    if not accounts:
        return Epsilon(0.0, 0.0, "rdp")
    accountant = "prv" if all(one.accountant == "prv" for one in accounts) else "rdp"
    if incomparable(accounts):
        return Epsilon(math.inf, math.inf, accountant)
    if accounts[0].adjacency == "add-remove":
        return _of_all(accounts, accountant, delta, low=True)
    single = _of_all(accounts, accountant, _delta_of_one(accounts, delta), low=False)
    return Epsilon(2 * single.value, 0.0, single.accountant)


def least_noise(account: PrivacyAccount, epsilon: float, most: float) -> float | None:
    """The least noise multiplier, a multiple of PRECISION, that the account's steps can be taken with for `epsilon`; None above `most`."""
    from scipy.optimize import brentq

    @cache
    def under(noise: float, accountant: str = account.accountant) -> float:
        return -_over(account.model_copy(update={"noise_multiplier": noise, "accountant": accountant}), epsilon)

    if under(most) < 0:
        return None
    start = _around(partial(under, accountant="rdp"), most, 0.0, most, by=2.0)[1]
    places = math.ceil(brentq(under, *_around(under, start, 0.0, most, by=1.25), xtol=PRECISION / 2) / PRECISION)
    while under(places / round(1 / PRECISION)) < 0:
        places += 1
    return places / round(1 / PRECISION)


def last_step(account: PrivacyAccount, epsilon: float) -> int:
    """How many of the account's steps `epsilon` is enough for: with one more it is not, unless that is all of them."""

    @cache
    def over(steps: int, accountant: str = account.accountant) -> float:
        return _over(account.model_copy(update={"steps": steps, "accountant": accountant}), epsilon)

    if over(account.steps) <= 0:
        return account.steps
    if over(1) > 0:
        return 0
    start = _around(lambda steps: over(int(steps), "rdp"), 1, 1, account.steps, by=2.0)[0]
    low, high = map(int, _around(lambda steps: over(int(steps)), start, 1, account.steps, by=1.25))
    while high - low > 1:
        # Where a straight line between the two would cross 0, and in between in any case.
        guess = low + round((high - low) * over(low) / (over(low) - over(high)))
        middle = min(max(guess, low + 1), high - 1)
        low, high = (middle, high) if over(middle) <= 0 else (low, middle)
    return low


def _over(account: PrivacyAccount, epsilon: float) -> float:
    """How far above `epsilon` the account's own is, in logarithms, in which the search for it is nearly straight."""
    return math.log(recompute(account, low=False).value / epsilon)


def _around(rises: Callable[[float], float], start: float, least: float, most: float, by: float) -> tuple[float, float]:
    """Two places, a factor `by` apart, between which a function that rises passes 0, found outwards from `start`; `least` or `most`
    twice where it passes 0 beyond them.

    With RDP, which takes no time, the search for PRV's begins near it: where noise is little, PRV's grid takes gigabytes.
    """
    low = high = start
    while rises(low) > 0 and low > least:
        high, low = low, max(least, low / by)
    while rises(high) <= 0 and high < most:
        low, high = high, min(most, high * by)
    return low, high


def _added_or_removed(account: PrivacyAccount, delta: float, low: bool) -> Epsilon:
    return _of_all([account], account.accountant, delta, low)


def _of_all(accounts: Sequence[PrivacyAccount], accountant: str, delta: float, low: bool) -> Epsilon:
    bound = Epsilon(_rdp(accounts, delta), 0.0, "rdp")
    if accountant == "rdp" or bound.value > LARGEST:
        return bound
    try:
        return _prv(accounts, delta, low)
    except (ValueError, RuntimeError):  # opacus refuses a delta that is under the rounding errors of its grid
        return bound


def _history(accounts: Sequence[PrivacyAccount]) -> list[tuple[float, float, int]]:
    """What opacus' accountants add up: noise multiplier, sampling rate and steps; equal neighbours as one, as opacus itself has them."""
    history: list[tuple[float, float, int]] = []
    for noise, rate, steps in sorted((one.noise_multiplier, one.sample_rate, one.steps) for one in accounts):
        before = history.pop() if history and history[-1][:2] == (noise, rate) else (noise, rate, 0)
        history.append((noise, rate, before[2] + steps))
    return history


def _prv(accounts: Sequence[PrivacyAccount], delta: float, low: bool) -> Epsilon:
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    accountant.history = _history(accounts)
    error = delta / 1000  # opacus' own default
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the logarithm of 1 - sample_rate, where that is 0
        value = accountant.get_epsilon(delta, eps_error=EPS_ERROR, delta_error=error)
        # Its estimate errs by EPS_ERROR in epsilon and `error` in delta at most (Gopi et al., theorem 5.5), and this is its upper end.
        least = accountant.get_epsilon(delta + 2 * error, eps_error=EPS_ERROR, delta_error=error) - 2 * EPS_ERROR if low else 0.0
    return Epsilon(float(value), max(0.0, float(least)), "prv")


def _rdp(accounts: Sequence[PrivacyAccount], delta: float) -> float:
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = _history(accounts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the best order may be the first or the last of its list: the bound holds all the same
        return accountant.get_epsilon(delta)


def _delta_of_one(accounts: Sequence[PrivacyAccount], delta: float) -> float:
    """The largest delta' with (1 + e^epsilon(delta')) delta' <= delta: what one unit may have for two to have `delta`."""
    low, high = math.log(delta) - 600, math.log(delta / 2)
    for _ in range(60):
        middle = (low + high) / 2
        epsilon = _rdp(accounts, math.exp(middle))
        # In logarithms, since e^epsilon may be out of all range.
        fits = middle + epsilon + math.log1p(math.exp(-epsilon)) <= math.log(delta)
        low, high = (middle, high) if fits else (low, middle)
    return math.exp(low)
