"""A verdict's evidence, shape by shape. A gate may put anything there; what a page draws or publishes is only what is known here."""

import math
import re
from collections.abc import Callable
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

MOST_ENTRIES = 64
"""A list longer than this could be one number an image: no list of a known shape is, so it is not taken for one."""

COARSE_FPR = np.linspace(0, 1, 21)

LOCAL = "(a local path)"

PATH = re.compile(
    r"""
    (?P<web>https?://[^\s<>"']+)                                                  # stays
    | (?P<quote>["'`])(?:~[\w.-]*|\.{1,2}|[A-Za-z]:)?[/\\](?!\s)[^"'`\n]+(?P=quote)  # '/srv/Anna M/x.png'
    | [A-Za-z][\w+.-]+://[^\s<>"'`]+                                              # file:///srv/x.png, s3://ward-7/x
    | (?<![\w.~/\\<])(?:~[\w.-]*|\.{1,2})?/[\w.~%@+-][^\s<>"'`,;:()\[\]]*          # /srv/x.png, ~/x.png, ../x.png
    | (?<!\w)(?:[A-Za-z]:[\\/]|\\\\)[^\s<>"'`,;()\[\]]+                            # C:\x.png, \\server\x.png
    """,
    re.VERBOSE,
)
"""What looks like a path of this machine, anywhere in a text."""


def number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None


def interval(value: Any) -> list[float] | None:
    return value if isinstance(value, list) and len(value) == 2 and all(number(end) is not None for end in value) else None


def curve(value: Any) -> list[list[float]] | None:
    """[[x, y], ...]: a ROC curve."""
    return value if isinstance(value, list) and len(value) > 1 and all(interval(point) for point in value) else None


def numbers(value: Any) -> list[float] | None:
    short = isinstance(value, list) and 0 < len(value) <= MOST_ENTRIES
    return value if short and all(number(entry) is not None for entry in value) else None


def by_name(value: Any) -> dict[str, float] | None:
    short = isinstance(value, dict) and 0 < len(value) <= MOST_ENTRIES
    return value if short and all(number(entry) is not None for entry in value.values()) else None


def by_seed(value: Any) -> dict[str, list[float]] | None:
    """{metric: [a value for each seed]}."""
    if not isinstance(value, dict):
        return None
    known = {metric: value[metric] for metric in METRICS if metric in value and numbers(value[metric])}
    return known or None


def worst_class(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict) or not isinstance(value.get("label"), str) or number(value.get("auc")) is None:
        return None
    return {"label": value["label"], "auc": value["auc"], "interval": interval(value.get("interval"))}


def text(value: Any) -> str | None:
    return without_paths(value) if isinstance(value, str) and len(value) <= 200 else None


METRICS = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "auroc": "AUROC"}
ARMS = {"real": "trained on real", "synthetic": "trained on synthetic", "real_again": "trained on other real images (null)"}

SHAPES: dict[str, Callable[[Any], Any]] = {
    "auc": number,
    "auc_interval": interval,
    "tpr_at_1_fpr": number,
    "tpr_at_1_fpr_interval": interval,
    "roc": curve,
    "null_roc": curve,
    "timesteps": numbers,
    "auc_by_timestep": by_name,
    "worst_class": worst_class,
    "seeds": numbers,
    "real": by_seed,
    "synthetic": by_seed,
    "real_again": by_seed,
    "ratio": number,
    "ratio_interval": interval,
    "n_train": number,
    "n_test": number,
    "distance": number,
    "null_distance": number,
    "relative": number,
    "features": number,
    "network": text,
    "weights_sha256": text,
}

WORDS = {
    "auc": "AUC of the attack",
    "tpr_at_1_fpr": "TPR of the attack at 1 % FPR",
    "ratio": "Accuracy, trained on synthetic over trained on real",
    "n_train": "Images that each classifier was trained on",
    "n_test": "Real images that each classifier was tested on",
    "distance": "Fréchet distance, synthetic against real",
    "null_distance": "Fréchet distance, null",
    "relative": "Distance relative to the null",
    "features": "Features of the network",
    "network": "Network",
    "weights_sha256": "SHA-256 of its weights",
}


def known(evidence: dict[str, Any]) -> dict[str, Any]:
    """The parts of the evidence that have a known name and the shape that goes with it."""
    read = {key: shape(evidence[key]) for key, shape in SHAPES.items() if key in evidence}
    return {key: value for key, value in read.items() if value is not None}


def publishable(evidence: dict[str, Any]) -> dict[str, Any]:
    """The known parts, with curves made coarse: a fine ROC curve has a step for each image."""
    parts = known(evidence)
    return {key: coarse(value) if SHAPES[key] is curve else value for key, value in parts.items()}


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


def rows(evidence: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """Every scalar of the evidence, known or not, as (words, key, key of its interval or None)."""
    found = []
    for key, value in evidence.items():
        if isinstance(value, str | bool) or number(value) is not None:
            words = WORDS.get(key) or key.replace("_", " ")
            found.append((words, key, f"{key}_interval" if interval(evidence.get(f"{key}_interval")) else None))
    return found


def without_paths(value: Any) -> Any:
    """The same value with every local path taken out: it means nothing elsewhere, and a folder may be named after a person.

    A text that begins with a path is taken for one as a whole, since paths may hold blanks; within a text only quoted ones may.
    """
    if isinstance(value, dict):
        return {key: without_paths(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [without_paths(entry) for entry in value]
    if not isinstance(value, str):
        return value
    if value.startswith("~") or PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute():
        return LOCAL
    return PATH.sub(lambda found: found["web"] or LOCAL, value)


def finite(value: Any) -> Any:
    """The same value with None for what is not a finite number: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
