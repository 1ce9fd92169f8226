"""Canaries: patterns planted in training by the toss of a coin, and the bound on epsilon that telling the planted ones gives.

Steinke, Nasr, Jagielski, "Privacy auditing with one (1) training run", NeurIPS 2023 (arXiv:2305.08846): since each canary is in
or out by a coin of its own, one training run is enough.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.generators import Material, Shape
from schema.digest import sha256_json, sha256_pixels
from schema.images import Images

PLANTED, NEVER_SHOWN = 0, 1
"""The two families of canaries that a seed gives: of the first about half are trained on, of the second none ever is."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Canaries:
    """`pixels` uint8, N x H x W x C; `labels` int64, N; `included` bool, N: the coins."""

    pixels: np.ndarray
    labels: np.ndarray
    included: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def record(self, seed: int) -> dict[str, Any]:
        """What a model says of the canaries in its training: enough to draw them again, and to know that they are the same."""
        rows = zip(map(sha256_pixels, self.pixels), self.labels.tolist(), self.included.tolist(), strict=True)
        return {"n": len(self), "seed": seed, "included": int(self.included.sum()), "digest": sha256_json([list(row) for row in rows])}


def draw(n: int, seed: int, shape: Shape, family: int = PLANTED) -> Canaries:
    """`n` canaries of this shape from the seed alone: every pixel black or white by a coin, a random class, and the coin that
    decides whether it is trained on.

    Noise has no structure to share with other images, so what a model knows of a pattern it has learnt by heart.
    """
    random = np.random.default_rng([seed, family])
    pixels = random.integers(0, 2, (n, shape.height, shape.width, shape.channels), dtype=np.uint8) * np.uint8(255)
    return Canaries(pixels, random.integers(shape.classes, size=n), random.integers(0, 2, n).astype(bool))


def with_planted(members: Images, canaries: Canaries, shape: Shape) -> Material:
    """What to train on: the members, and after them the canaries that the coins put in, each a patient of its own."""
    planted, own = canaries.included, Material.of(members)
    return Material(
        np.concatenate([own.pixels, canaries.pixels[planted]]),
        np.concatenate([own.conditions, shape.told(canaries.labels[planted])]),
        np.concatenate([own.patients, own.patients.max(initial=-1) + 1 + np.arange(planted.sum())]),
    )


def correct_guesses(scores: np.ndarray, included: np.ndarray, guesses: int) -> int:
    """How many of `guesses` are right when the best half of them is guessed to be planted, the worst half left out, and the
    canaries between are passed over (algorithm 1, with k+ = k- = guesses / 2). Scores: the higher, the more like planted."""
    order = np.argsort(-scores, kind="stable")
    half = guesses // 2
    return int(included[order[:half]].sum() + (~included[order[len(order) - half :]]).sum())


def p_value(canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """The largest chance that a mechanism which is (epsilon, delta)-DP lets `correct` of `guesses` or more be right.

    Theorem 5.2 (published as code in appendix D): with W of Binomial(guesses, e^epsilon / (1 + e^epsilon)), it is
    P[W >= correct] + 2 canaries delta max_i P[correct > W >= correct - i] / i.
    """
    from scipy.special import expit
    from scipy.stats import binom

    accuracy = expit(epsilon)
    chance = binom.sf(correct - 1, guesses, accuracy)
    near = np.cumsum(binom.pmf(np.arange(correct)[::-1], guesses, accuracy))
    slack = max(near / np.arange(1, correct + 1), default=0.0)
    return min(1.0, float(chance + 2 * canaries * delta * slack))


def epsilon_bound(canaries: int, guesses: int, correct: int, delta: float, confidence: float = CONFIDENCE) -> float:
    """The lower bound on epsilon at this confidence: the largest that so many correct guesses refute (appendix D); 0 if none."""
    alpha = 1 - confidence

    def refuted(epsilon: float) -> bool:
        return p_value(canaries, guesses, correct, epsilon, delta) < alpha

    if not refuted(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while refuted(high):
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low
