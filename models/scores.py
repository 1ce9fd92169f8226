"""How good class probabilities are, on the images as they are and on bootstrap draws of them at once.

A bootstrap draw is a row of weights: how often it holds each image. Row 0 is the images as they are, so every result's
entry 0 is the estimate and the rest are its draws.
"""

from dataclasses import dataclass

import numpy as np

from models.stats import Interval, percentile_interval, resample

METRICS = ("accuracy", "balanced_accuracy", "auroc")


def draw_weights(groups: list[np.ndarray], draws: int, random: np.random.Generator) -> np.ndarray:
    """Weights of the images, then of `draws` bootstrap draws of whole groups: float64, (1 + draws) x images."""
    images = sum(map(len, groups))
    rows = [np.ones(images)]
    rows += [np.bincount(resample(groups, random), minlength=images).astype(float) for _ in range(draws)]
    return np.stack(rows)


def recalls(said: np.ndarray, labels: np.ndarray, classes: int, weights: np.ndarray) -> np.ndarray:
    """Recall (sensitivity) of each class: draws x classes, NaN where a draw holds none of a class."""
    shown = np.eye(classes)[labels]
    with np.errstate(invalid="ignore"):
        return (weights @ (shown * (said == labels)[:, None])) / (weights @ shown)


def aurocs(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUROC of each class against the rest: draws x classes, NaN where a draw holds only one of the two; ties count half.

    Of two classes each is the other's rest, so both have the second one's.
    """
    classes = probabilities.shape[1]
    if classes == 2:
        return _auroc(probabilities[:, 1], labels == 1, weights)[:, None].repeat(2, axis=1)
    return np.stack([_auroc(probabilities[:, label], labels == label, weights) for label in range(classes)], axis=1)


def _auroc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The chance that a positive outscores a negative (Mann-Whitney), for each row of weights."""
    order = np.argsort(scores, kind="stable")
    ranked, weights = scores[order], weights[:, order]
    positives, negatives = weights * positive[order], weights * ~positive[order]
    below = np.concatenate([np.zeros((len(weights), 1)), negatives.cumsum(axis=1)], axis=1)
    first, last = np.searchsorted(ranked, ranked, side="left"), np.searchsorted(ranked, ranked, side="right")
    won = (positives * (below[:, first] + below[:, last])).sum(axis=1) / 2
    with np.errstate(invalid="ignore"):
        return won / (positives.sum(axis=1) * negatives.sum(axis=1))


def scores(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """From probabilities N x classes: `accuracy`, `balanced_accuracy` and `auroc` for each row of weights, and their parts
    by class, `recalls` and `aurocs`, draws x classes.

    Balanced accuracy and AUROC are unweighted means over the classes that a draw holds (as scikit-learn's `balanced_accuracy_score`
    and `roc_auc_score(multi_class="ovr")`); AUROC is NaN where there is one class only.
    """
    said = probabilities.argmax(axis=1)
    by_class = recalls(said, labels, probabilities.shape[1], weights)
    areas = aurocs(probabilities, labels, weights)
    return {
        "accuracy": weights @ (said == labels) / weights.sum(axis=1),
        "balanced_accuracy": _mean_of_known(by_class),
        "auroc": _mean_of_known(areas),
        "recalls": by_class,
        "aurocs": areas,
    }


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean of each row over what is not NaN; NaN where all of it is."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis=1) / known.sum(axis=1)


def seed_weights(seeds: int, draws: int, random: np.random.Generator) -> np.ndarray:
    """Weights of the trainings, as `draw_weights` gives those of the images: (1 + draws) x seeds, each row adding up to one."""
    drawn = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws)
    return np.concatenate([np.ones((1, seeds)), drawn]) / seeds


@dataclass(frozen=True)
class Summary:
    """Trainings of one kind over their seeds. By metric: `by_seed`, and `drawn`, the mean over seeds with its bootstrap draws
    (1 + draws); by class the mean `recall` and `auroc`, NaN where there is none. A metric that no seed has is left out."""

    by_seed: dict[str, list[float]]
    drawn: dict[str, np.ndarray]
    recall: list[float]
    auroc: list[float]

    def value(self, metric: str) -> float:
        return float(self.drawn[metric][0])

    def interval(self, metric: str) -> Interval:
        return interval(self.drawn[metric])


def summarise(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray, over_seeds: np.ndarray) -> Summary:
    """From probabilities seeds x images x classes, `draw_weights` of the images, and `seed_weights` of the seeds."""
    rows = [scores(of_seed, labels, weights) for of_seed in probabilities]
    by_metric = {metric: np.stack([row[metric] for row in rows], axis=1) for metric in METRICS}
    known = {metric: values for metric, values in by_metric.items() if not np.isnan(values[0]).any()}
    return Summary(
        by_seed={metric: values[0].tolist() for metric, values in known.items()},
        drawn={metric: (values * over_seeds).sum(axis=1) for metric, values in known.items()},
        recall=np.mean([row["recalls"][0] for row in rows], axis=0).tolist(),
        auroc=np.mean([row["aurocs"][0] for row in rows], axis=0).tolist(),
    )


def interval(drawn: np.ndarray, level: float = 0.95) -> Interval:
    """Percentile interval of an estimate and its draws (1 + draws), never without the estimate; draws that are NaN are passed over."""
    low, high = percentile_interval(drawn[1:][~np.isnan(drawn[1:])], level)
    return min(low, float(drawn[0])), max(high, float(drawn[0]))
