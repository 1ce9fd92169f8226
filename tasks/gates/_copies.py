"""What the gates of copies share: where likeness begins to be a copy, by a calibration on images that cannot be copies, and shares
with their intervals."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from schema.images import Images
from schema.params import GateConfig

FEWEST = 40
"""Fewer images than this calibrate nothing: the lower quartile would rest on fewer than ten."""
LEAST_DEVIATION = 0.005
"""Where all images are alike by chance, a hair's breadth is no sign of a copy."""
MOST_PAIRS = 50
CONTROLS, CONTROL_NOISE, CONTROL_SHARE = 64, 3.0, 0.9
"""The positive control: so many training images under noise of so many grey levels, of which so large a share must be recognised."""


class CopiesConfig(GateConfig):
    """What the section of every gate of copies holds."""

    threshold: float = Field(ge=0, lt=1, description="largest share of images that are copies, in excess of the null")
    deviations: float = Field(
        default=7.5,
        gt=0,
        le=100,
        allow_inf_nan=False,
        description="how far below its median, in robust standard deviations, an image's isolation must lie to make it a near copy",
    )


@dataclass(frozen=True)
class Scale:
    """Isolation of images that cannot be copies, in one distance: its median, and its deviation by the lower quartile, which copies
    among them cannot move unless they are a quarter."""

    median: float
    deviation: float

    @classmethod
    def of(cls, match: Any) -> "Scale":
        """Raises ValueError where too few of the images show anything."""
        isolation = match.isolation[~match.blank]
        if len(isolation) < FEWEST:
            raise ValueError(f"only {len(isolation)} of the images to calibrate on are of more than one value; {FEWEST} are needed")
        quartile, median = np.quantile(isolation, [0.25, 0.5])
        # A quartile of a normal distribution lies 0.6745 deviations from its median.
        return cls(float(median), max(float(median - quartile) / 0.6745, LEAST_DEVIATION))

    def deviations(self, isolation: np.ndarray) -> np.ndarray:
        """How far below the median, in deviations."""
        return (self.median - isolation) / self.deviation


@dataclass(frozen=True)
class Found:
    """What N images are copies of: `exact` the reference with the same pixels or -1, `mirrored` whether only when flipped; `matches` by
    distance; `scores` N x distances, in deviations; `near`: beyond the bound in one of them, or exact."""

    exact: np.ndarray
    mirrored: np.ndarray
    matches: dict
    scores: np.ndarray
    near: np.ndarray

    @classmethod
    def by(cls, scales: dict[str, Scale], bound: float, exact: tuple[np.ndarray, np.ndarray], matches: dict) -> "Found":
        scores = np.stack([scales[name].deviations(match.isolation) for name, match in matches.items()], axis=1)
        return cls(*exact, matches, scores, (scores > bound).any(axis=1) | (exact[0] >= 0))

    @property
    def counts(self) -> tuple[int, int]:
        """How many have the very pixels of a reference, and how many more are near copies."""
        exact = self.exact >= 0
        return int(exact.sum()), int((self.near & ~exact).sum())

    def origin(self, row: int) -> dict[str, Any]:
        """Where the copy comes from and how it was altered, by the distance that shows it best."""
        name = list(self.matches)[int(self.scores[row].argmax())]
        match = self.matches[name]
        view, source = match.view[row], int(match.index[row])
        if self.exact[row] >= 0:
            return {"source": int(self.exact[row]), "flipped": bool(self.mirrored[row]), "shift": [0, 0], "rmse": 0.0, "exact": True}
        shift = [view.down, view.across]
        return {"source": source, "flipped": view.flipped, "shift": shift, "rmse": float(match.rmse[row]), "exact": False}

    def alterations(self) -> dict[str, int]:
        """How many of the copies were altered how."""
        kinds = {"none": 0, "mirrored": 0, "shifted": 0, "mirrored_and_shifted": 0, "otherwise": 0}
        for row in np.flatnonzero(self.near):
            how = self.origin(row)
            moved = any(how["shift"])
            both = "mirrored_and_shifted" if how["flipped"] and moved else "mirrored" if how["flipped"] else "shifted" if moved else None
            kinds[both or ("none" if how["exact"] else "otherwise")] += 1
        return kinds

    def pairs(self, key: str, queries: Images, references: Images) -> list[dict[str, Any]]:
        """The copies beside what they are copies of, worst first; names real images, so never for the public."""
        worst = np.flatnonzero(self.near)
        worst = worst[np.lexsort((-self.scores[worst].max(axis=1), self.exact[worst] < 0))][:MOST_PAIRS]
        rows = []
        for row in worst:
            how = self.origin(row)
            rows.append(
                {
                    key: queries.ids[row],
                    "train": references.ids[how["source"]],
                    "distance": how["rmse"],
                    "feature_distance": float(self.matches["feature"].distance[row]),
                    "pixel_distance": float(self.matches["pixel"].distance[row]),
                    "deviations": float(self.scores[row].max()),
                    "flipped": how["flipped"],
                    "shift": how["shift"],
                }
            )
        return rows


def recognised(finder: Any, scales: dict[str, Scale], bound: float, train: Images) -> float:
    """The share of known copies that are found: training images with a little noise, the positive control. Raises ValueError where too
    few are, for then it says nothing that no copy was found."""
    random = np.random.default_rng(0)
    rows = random.permutation(len(train))[:CONTROLS]
    noise = random.normal(0, CONTROL_NOISE, train.pixels[rows].shape)
    known = np.clip(train.pixels[rows] + noise, 0, 255).round().astype(np.uint8)
    nowhere = np.full(len(rows), -1), np.zeros(len(rows), dtype=bool)
    share = float(Found.by(scales, bound, nowhere, finder.match(known)).near.mean())
    if share < CONTROL_SHARE:
        raise ValueError(
            f"of {len(rows)} training images with a little noise only {share:.0%} are recognised as copies, so nothing is shown by "
            "finding none: there may be many images of each patient under ids of their own, or `deviations` is set too high"
        )
    return share


def calibration(scales: dict[str, Scale], bound: float, components: dict[str, int]) -> list[dict[str, Any]]:
    """The numbers behind the bound, a row for each distance."""
    return [
        {
            "distance": name,
            "components": components[name],
            "median": scale.median,
            "deviation": scale.deviation,
            "bound": scale.median - bound * scale.deviation,
        }
        for name, scale in scales.items()
    ]


def share_interval(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share of n (Clopper and Pearson 1934), which need not be a whole number of them."""
    from scipy.stats import beta

    count = share * n
    low = beta.ppf(0.025, count, n - count + 1) if count > 0 else 0.0
    high = beta.ppf(0.975, count + 1, n - count) if count < n else 1.0
    return float(low), float(high)


def excess_interval(share: tuple[float, int], null: tuple[float, int]) -> tuple[float, float]:
    """95 % interval of the difference of two shares, each given with its n: Newcombe (1998), method 10, on exact intervals."""
    (p, n), (q, m) = share, null
    (p_low, p_high), (q_low, q_high) = share_interval(p, n), share_interval(q, m)
    return p - q - float(np.hypot(p - p_low, q_high - q)), p - q + float(np.hypot(p_high - p, q - q_low))
