"""A verdict's evidence, shape by shape. A gate may put anything there; what a page draws or publishes is only what is known here.

A name that is not known, or a value of another shape than its name goes with, never reaches the public edition. A number that is
known under a name `x` is known under `null_x` too, and its intervals under `x_interval` and `null_x_interval`.
"""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np

from tasks.reporting.scrub import holds
from tasks.reporting.shapes import FEW, Shape, by, curve, flag, interval, list_of, name, number, one_of, row, rows_of, status, text, whole

COARSE_FPR = np.linspace(0, 1, 21)

METRICS = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "auroc": "AUROC"}
ARMS = {
    "real": "trained on real",
    "synthetic": "trained on synthetic (TSTR)",
    "real_again": "trained on other real images (null)",
    "real_on_synthetic": "trained on real, tested on synthetic (TRTS)",
}


def metrics(value: Any) -> dict[str, list[float]] | None:
    """{metric: [a value for each seed]}, of the metrics that are known."""
    if not isinstance(value, dict):
        return None
    known_ones = {metric: value[metric] for metric in METRICS if metric in value and list_of(number)(value[metric])}
    return known_ones or None


CLAIM = {"claim": name, "measured": number, "null": number, "null_interval": interval, "value": number, "interval": interval}
CLAIM |= {"threshold": number, "n": whole, "needed": whole, "status": status, "required": flag}
ARM = one_of("|".join(ARMS) + r"|(control|hybrid)_[\d.]{1,6}")
HYBRID = {"ratio": number, "added": whole, "gain": number, "interval": interval, "control": number, "hybrid": number, "says": name}
CALIBRATION = {"distance": name, "components": whole, "median": number, "deviation": number, "bound": number}
"""Of the gates of copies."""
CLASS = {"class": name, "share_asked": number, "n": whole, "says": name}
SHOWN = {"shown": number, "shown_real": number, "coverage": number, "coverage_real": number}
"""Of a class that has images enough. How many real ones it has stays inside, lest it be a few people."""

SHAPES: dict[str, Shape] = {
    "roc": curve,
    "null_roc": curve,
    "attacks": rows_of("attack", attack=name, auc=number, auc_interval=interval, tpr_at_1_fpr=number, tpr_at_01_fpr=number),
    "claims": rows_of("claim", **CLAIM),
    "worst_class": row("label", label=name, auc=number, interval=interval),
    "auc_by_timestep": by(one_of(r"\d{1,5}"), number),
    "timesteps": list_of(whole),
    "seeds": list_of(whole),
    **dict.fromkeys(ARMS, metrics),
    "intervals": by(ARM, by(one_of("|".join(METRICS)), interval)),
    "real_on_synthetic_intervals": by(one_of("|".join(METRICS)), interval),
    "hybrid": rows_of("ratio", **HYBRID),
    "hybrid_by_seed": by(ARM, metrics),
    "per_class": by(name, by(ARM, number)),
    "per_class_auroc": by(name, by(ARM, number)),
    "furthest_features": by(one_of(r"((red|green|blue)_)?(stat|cm|ngt)_\w{1,60}"), number, FEW),
    "objections": list_of(text, FEW),
    "classes": rows_of("class", SHOWN, **CLASS, **SHOWN),
    "share_by_split": by(one_of("holdout|test"), number),
    "alterations": by(one_of("none|mirrored|shifted|mirrored_and_shifted|otherwise"), whole),
    "calibration": rows_of("distance", **CALIBRATION),
}

CLASSES: dict[str, Callable[[Any], set[str]]] = {
    "worst_class": lambda row: {row["label"]},
    "per_class": set,
    "per_class_auroc": set,
    "classes": lambda rows: {row["class"] for row in rows},
}
"""The classes that evidence of these names speaks of: what is no class of the dataset could be anything."""


class Named(NamedTuple):
    """What a scalar is called on the page, and how it is read and shown."""

    words: str
    shape: Shape = number
    form: str = "number"


SCALARS = {
    "auc": Named("AUC of the best attack"),
    "tpr_at_1_fpr": Named("TPR of the best attack at 1 % FPR", form="percent"),
    "attack": Named("The best attack", name),
    "ratio": Named("Accuracy, trained on synthetic over trained on real"),
    "metric": Named("What the ratio is of", name),
    "classifier": Named("Classifier", name),
    "n_train": Named("Images that each classifier was trained on", form="count"),
    "n_test": Named("Real images that each classifier was tested on", form="count"),
    "n_real": Named("Real training images beside which synthetic ones were added", form="count"),
    "distance": Named("Distance from the real test images"),
    "fid": Named("FID over all images, as pytorch-fid computes it"),
    "fid_infinity": Named("FID-infinity, extrapolated to endless images"),
    "kid": Named("KID"),
    "kernel_distance": Named("Kernel distance, squared and unbiased"),
    "precision": Named("Precision"),
    "recall": Named("Recall"),
    "density": Named("Density"),
    "coverage": Named("Coverage"),
    "coverage_shortfall": Named("Coverage that it falls short of real images by"),
    "features": Named("Features"),
    "images_without_a_feature": Named("Images of which a feature is undefined"),
    "network": Named("Network", text),
    "weights_sha256": Named("SHA-256 of its weights", name),
    "share": Named("Share of copies", form="percent"),
    "copies": Named("Exact copies", form="count"),
    "near_copies": Named("Near copies", form="count"),
    "patients_in_two_splits": Named("Patients in two splits", form="count"),
    "known_copies_recognised": Named("Known copies that are recognised (positive control)", form="percent"),
    "members_share": Named("The same among training images of different patients", form="percent"),
    "unseen_copies": Named("Exact copies among unseen real images", form="count"),
    "unseen_near_copies": Named("Near copies among unseen real images", form="count"),
    "accuracy_of_guesses": Named("Share of guesses that are right", form="percent"),
    "epsilon_lower_bound": Named("Lower bound on ε"),
    "largest_bound_possible": Named("The bound if every guess were right"),
    "epsilon_claimed": Named("ε claimed"),
    "epsilon_recomputed": Named("ε computed again"),
    "delta": Named("δ"),
    "privacy_unit": Named("Unit whose presence is hidden", name),
    "mechanism": Named("Mechanism", name),
    "adjacency": Named("Adjacency", name),
    "scope": Named("Scope", text),
    "accountant": Named("Accountant", name),
    "noise_multiplier": Named("Noise multiplier"),
    "max_grad_norm": Named("Clipping norm"),
    "sampling": Named("Sampling", name),
    "sample_rate": Named("Sampling rate"),
    "schedule": Named("Schedule", name),
    "steps": Named("Steps", form="count"),
    "examples": Named("Units in training", form="count"),
}


def arm_words(arm: str) -> str:
    """An arm of the classifiers in words; those of a ratio are named `control_0.4` and `hybrid_0.4`."""
    kind, _, ratio = arm.partition("_")
    both = {"control": "real and duplicated real", "hybrid": "real and synthetic"}.get(kind)
    return ARMS.get(arm) or (f"{both}, {ratio}" if both and ratio else arm.replace("_", " "))


def shape_of(key: str) -> Shape | None:
    """The shape that goes with a name; None for a name that nobody knows."""
    if key in SHAPES:
        return SHAPES[key]
    base = key.removeprefix("null_")
    if base in SCALARS:
        return SCALARS[base].shape
    of = SCALARS.get(base.removesuffix("_interval"))
    return interval if of is not None and of.shape is number else None


def known(evidence: dict[str, Any]) -> dict[str, Any]:
    """The parts of the evidence that have a known name and the shape that goes with it."""
    shapes = {key: shape_of(key) for key in evidence}
    read = {key: shape(evidence[key]) for key, shape in shapes.items() if shape is not None}
    return {key: value for key, value in read.items() if value is not None}


def publishable(evidence: dict[str, Any], labels: list[str], names: Collection[str]) -> dict[str, Any]:
    """The known parts in which there is none of the `names` of real records, with curves made coarse (a fine ROC curve has a step for
    each image), classes only of the dataset, and as many scores as there are seeds."""
    parts = {key: value for key, value in known(evidence).items() if not holds(value, names)}
    for key, read in CLASSES.items():
        if key in parts and not read(parts[key]) <= set(labels):
            del parts[key]
    for key in parts.keys() & {*ARMS, "hybrid_by_seed"}:
        arms = parts[key].values() if key == "hybrid_by_seed" else [parts[key]]
        if any(len(of_seeds) != len(parts.get("seeds", [])) for arm in arms for of_seeds in arm.values()):
            del parts[key]
    return {key: coarse(value) if SHAPES.get(key) is curve else value for key, value in parts.items()}


def coarse(points: list[list[float]]) -> list[list[float]]:
    """A curve at 21 false positive rates, to two decimals."""
    fpr, tpr = np.array(sorted(map(tuple, points))).T
    return [[round(float(x), 2), round(float(y), 2)] for x, y in zip(COARSE_FPR, np.interp(COARSE_FPR, fpr, tpr), strict=True)]


def means(evidence: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Mean over seeds by metric and arm, where the evidence is a comparison of classifiers."""
    parts = known(evidence)
    arms = {arm: parts[arm] for arm in ARMS if arm in parts}
    table = {metric: {arm: float(np.mean(arms[arm][metric])) for arm in arms if metric in arms[arm]} for metric in METRICS}
    return {metric: row for metric, row in table.items() if row}


class Line(NamedTuple):
    """A scalar of the evidence: what it is called, its form, and the keys of it, its interval, its null and the null's interval."""

    words: str
    form: str
    key: str
    interval: str | None
    null: str | None
    null_interval: str | None


def lines(evidence: dict[str, Any]) -> list[Line]:
    """Every scalar of the evidence, known or not, each with its interval and its null where they are there."""
    found = []
    for key, value in evidence.items():
        of = key.removeprefix("null_")
        if not (isinstance(value, str | bool) or number(value) is not None) or (of != key and of in evidence):
            continue
        null = f"null_{key}" if number(evidence.get(f"null_{key}")) is not None else None
        intervals = [f"{one}_interval" if one and interval(evidence.get(f"{one}_interval")) else None for one in (key, null)]
        called = SCALARS.get(of, Named(of.replace("_", " ")))
        found.append(Line(called.words + (", null" if of != key else ""), called.form, key, intervals[0], null, intervals[1]))
    return found
