"""`canary`: how well are canaries told apart that were planted in training, and what epsilon does that rule out?"""

from collections.abc import Callable
from functools import cache
from typing import Literal

import numpy as np
from pydantic import Field, NonNegativeInt

from models import canary
from models.generators import Shape
from models.stats import percentile_interval
from schema.params import GateConfig
from schema.privacy import PrivacyAccount
from schema.verdict import Null, Status, judge
from tasks.gates import Finding, Gate

UNIT = "lower bound on epsilon at 95 % confidence, in excess of canaries never shown"


class Config(GateConfig):
    kind: Literal["canary"] = "canary"
    threshold: float = Field(
        ge=0, allow_inf_nan=False, description="largest lower bound on epsilon; where training claims a smaller epsilon, that one counts"
    )
    guesses: int = Field(default=64, ge=2, multiple_of=2, description="canaries guessed at, half as planted and half as left out")
    timesteps: list[NonNegativeInt] = Field(
        default=[200, 300, 400, 500, 600, 700], min_length=1, description="where the loss is taken; all under train.timesteps"
    )
    draws: int = Field(default=2, ge=1, description="draws of noise that each loss is the mean of")
    delta: float = Field(default=1e-5, ge=0, lt=1, description="delta of the bound where training claims none")
    null_draws: int = Field(default=1000, ge=100, description="tosses of new coins for the canaries never shown")
    seed: int = Field(default=0, ge=0)


class Plugin(Gate):
    kind = "canary"
    Config = Config
    direction = "at_most"
    method = (
        "One-run auditing (Steinke, Nasr, Jagielski 2023, arXiv:2305.08846, theorem 5.2): noise images are planted in training, "
        "each by the toss of a coin; the half of the guesses with the lowest diffusion loss is guessed to be planted, the half "
        "with the highest left out, the rest is passed over; the bound is the largest epsilon that so many right guesses rule out "
        "at 95 % confidence. Null: the same guesses on canaries that no training saw, by new coins (median and central 95 %). "
        "Interval: the bound at the central 95 % of as many guesses drawn anew with the accuracy measured (parametric bootstrap)."
    )

    def measure(self, real, synthetic):
        from tasks.weights import read_model

        said = read_model(self.model)
        planted = said.get("canaries")
        if not planted:
            return self._without(
                "No canaries were planted in this training, so there is no lower bound on epsilon: set train.canaries "
                "(such as {n: 128}) in the dataset's section of params.yaml and train again."
            )
        if planted["n"] < self.config.guesses:
            return self._without(
                f"{planted['n']} canaries are too few for {self.config.guesses} guesses: raise train.canaries.n or lower "
                "gates.canary.guesses."
            )
        shape, seed = Shape(**said["shape"]), planted["seed"]
        canaries = canary.draw(planted["n"], seed, shape)
        if canaries.record(seed) != planted:
            return self._without("The canaries of this training can no longer be drawn: the code that draws them has changed. Train again.")
        scores, null_scores = self._scores(canaries, canary.draw(planted["n"], seed, shape, canary.NEVER_SHOWN))
        if not np.isfinite([scores, null_scores]).all():
            return self._without("The model's losses on the canaries are not finite numbers: train again, with a lower train.lr.")
        account = PrivacyAccount.model_validate(said["privacy"]) if said.get("privacy") else None
        return self._finding(scores, canaries.included, null_scores, account)

    def _scores(self, *families: canary.Canaries) -> list[np.ndarray]:
        """For each family a number for each canary, the higher the more like one that was planted: its losses at the timesteps,
        each standardised over the family, averaged, negated."""
        from tasks.progress import ticking
        from tasks.weights import open_model

        generator, _ = open_model(self.model)
        timesteps, scores = self.config.timesteps, []
        with ticking("gate canary", "loss of the canaries", len(families) * self.config.draws, "draw") as ticker:
            for canaries in families:
                losses = np.zeros((len(canaries), len(timesteps)))
                for draw in range(self.config.draws):
                    losses += generator.losses(canaries.pixels, generator.shape.told(canaries.labels), timesteps, self.config.seed + draw)
                    ticker.update()
                spread = losses.std(axis=0)
                scores.append(-((losses - losses.mean(axis=0)) / np.where(spread > 0, spread, 1)).mean(axis=1))
        return scores

    def _finding(self, scores: np.ndarray, included: np.ndarray, null_scores: np.ndarray, account: PrivacyAccount | None) -> Finding:
        """From the scores and coins of the planted canaries, and the scores of as many never shown."""
        from scipy.stats import binom

        guesses, delta = self.config.guesses, account.delta if account else self.config.delta

        @cache
        def bound(correct: int) -> float:
            return canary.epsilon_bound(len(scores), guesses, correct, delta)

        null, null_accuracy = self._null(null_scores, bound)
        correct = canary.correct_guesses(scores, included, guesses)
        value = bound(correct) - null.value
        interval = tuple(bound(int(right)) - null.value for right in binom.ppf([0.025, 0.975], guesses, correct / guesses))
        allowed = min(self.config.threshold, account.epsilon) if account else self.config.threshold
        status = judge(value, interval, allowed, self.direction)
        if account and bound(correct) > account.epsilon:
            status = Status.FAIL
        blind = status is Status.PASS and bound(guesses) <= allowed
        return Finding(
            value=value,
            interval=interval,
            null=null,
            n={"canaries": len(scores), "planted": int(included.sum()), "guesses": guesses},
            unit=UNIT,
            reason=self._reason(correct, bound(correct), null, account) + (self._too_few(bound(guesses), allowed) if blind else ""),
            evidence={
                "accuracy_of_guesses": correct / guesses,
                "null_accuracy_of_guesses": null_accuracy,
                "epsilon_lower_bound": bound(correct),
                "largest_bound_possible": bound(guesses),
                "delta": delta,
                "timesteps": self.config.timesteps,
                **({"epsilon_claimed": account.epsilon} if account else {}),
            },
            status=Status.INSUFFICIENT if blind else status,
        )

    def _null(self, scores: np.ndarray, bound: Callable[[int], float]) -> tuple[Null, float]:
        """The bound from canaries never shown, and the accuracy of the guesses, over many tosses of new coins."""
        random = np.random.default_rng([self.config.seed, 1])
        tosses = random.integers(0, 2, (self.config.null_draws, len(scores))).astype(bool)
        correct = [canary.correct_guesses(scores, coins, self.config.guesses) for coins in tosses]
        bounds = [bound(right) for right in correct]
        what = "the bound from canaries that no training saw"
        null = Null(value=float(np.median(bounds)), interval=percentile_interval(bounds), what=what)
        return null, float(np.mean(correct) / self.config.guesses)

    def _reason(self, correct: int, bound: float, null: Null, account: PrivacyAccount | None) -> str:
        guesses = self.config.guesses
        limit = f"at most {self.config.threshold:g} being allowed"
        if account:
            refuted = "which this refutes" if bound > account.epsilon else "which this does not refute"
            limit += f", and {account.epsilon:g} being claimed, {refuted}"
        return (
            f"Of {guesses} guesses which canaries were in training {correct} are right ({correct / guesses:.0%}), so epsilon is at least "
            f"{bound:.2f} (95 % confidence), where canaries never shown give {null.value:.2f}; {limit}."
        )

    def _too_few(self, largest: float, allowed: float) -> str:
        return (
            f" This is too few guesses to judge by: had all been right, the bound would be {largest:.2f}, and {allowed:g} could not have "
            "been exceeded. Raise train.canaries.n and gates.canary.guesses."
        )

    def _without(self, reason: str) -> Finding:
        return Finding(
            value=None, interval=None, null=None, n={"canaries": 0}, unit=UNIT, reason=reason, evidence={}, status=Status.INSUFFICIENT
        )
