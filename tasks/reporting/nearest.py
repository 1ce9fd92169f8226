"""The nearest training image of each synthetic one, and of each holdout one: the null, for holdout images cannot have been copied.

The comparison follows Meehan, Chaudhuri and Dasgupta (A Non-Parametric Test to Detect Data-Copying in Generative
Models, AISTATS 2020): a generator that copies lies closer to its training images than unseen real images do.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from models.neighbours import Nearest, nearest
from schema.errors import SynthmillError
from tasks.gates import Images
from tasks.progress import ticking

QUANTILES = (0.0, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95)
TAILS = (0.001, 0.01)
BIN_WIDTHS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
MOST_BINS = 48


@dataclass(frozen=True)
class Closest:
    """Nearest training images of the synthetic images and of the holdout images."""

    synthetic: Nearest
    holdout: Nearest

    def order(self, which: str) -> np.ndarray:
        """Indices of the queries, closest first; ties in their own order."""
        return np.argsort(getattr(self, which).distance, kind="stable")

    def threshold(self, tail: float) -> float:
        """The distance that the closest `tail` of holdout images reach: an observed distance, never an interpolated one."""
        return float(np.quantile(self.holdout.distance, tail, method="inverted_cdf"))


def compare(train: Images, holdout: Images, synthetic: Images) -> Closest:
    """Raises SynthmillError where there is nothing to compare with."""
    for name, images in (("train", train), ("holdout", holdout), ("synthetic", synthetic)):
        if not len(images):
            raise SynthmillError(f"there is no image in {name}: the report cannot compare distances; see the split in params.yaml")
    with ticking("report", "nearest training images", len(synthetic) + len(holdout), "image") as ticker:
        return Closest(nearest(synthetic.pixels, train.pixels, ticker.update), nearest(holdout.pixels, train.pixels, ticker.update))


def summary(closest: Closest) -> dict[str, Any]:
    """The two distributions in JSON: quantiles, what lies in the holdout's own tails, exact copies, a histogram."""
    synthetic, holdout = closest.synthetic.distance, closest.holdout.distance
    return {
        "n": {"synthetic": len(synthetic), "holdout": len(holdout)},
        "quantiles": [
            {"quantile": q, "synthetic": _quantile(synthetic, q), "holdout": _quantile(holdout, q), "pointwise": q < 0.05}
            for q in QUANTILES
        ],
        "tails": [_tail(closest, tail) for tail in TAILS],
        "copies": {"synthetic": int((synthetic == 0).sum()), "holdout": int((holdout == 0).sum())},
        "histogram": _histogram(synthetic, holdout),
    }


def _quantile(distances: np.ndarray, quantile: float) -> float:
    return float(np.quantile(distances, quantile, method="inverted_cdf"))


def _tail(closest: Closest, tail: float) -> dict[str, Any]:
    """How many images lie as close as the closest `tail` of the holdout, or closer. Interval: Clopper and Pearson (1934), 95 %."""
    bound = closest.threshold(tail)
    inside = {name: int((getattr(closest, name).distance <= bound).sum()) for name in ("synthetic", "holdout")}
    n = len(closest.synthetic.distance)
    interval = binomtest(inside["synthetic"], n).proportion_ci(0.95, method="exact")
    return {
        "tail": tail,
        "distance": bound,
        "synthetic": inside["synthetic"],
        "synthetic_share": inside["synthetic"] / n,
        "synthetic_share_interval": [float(interval.low), float(interval.high)],
        "holdout": inside["holdout"],
        "holdout_share": inside["holdout"] / len(closest.holdout.distance),
    }


def _histogram(synthetic: np.ndarray, holdout: np.ndarray) -> dict[str, Any]:
    """Shares by bins of a round width, from 0."""
    most = max(synthetic.max(), holdout.max())
    width = next((width for width in BIN_WIDTHS if most / width < MOST_BINS), BIN_WIDTHS[-1])
    edges = np.arange(int(most / width) + 2) * width
    shares = {
        name: (np.histogram(values, edges)[0] / len(values)).tolist() for name, values in (("synthetic", synthetic), ("holdout", holdout))
    }
    return {"width": width, "edges": edges.tolist(), **shares}
