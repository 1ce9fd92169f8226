"""Verdicts of every gate there is, and of one that nobody has seen, as the report's tests are given them."""

from functools import cache
from typing import Any

import numpy as np

from schema.images import Images, RealImages
from schema.verdict import Null, Status, Subject, Verdict
from tasks.gates import Finding
from tasks.gates._attack import AttackConfig, Candidates, Trial

LABELS = ["normal", "pneumonia"]

PANEL = {
    "mia-white-box": (0.1, True),
    "mia-query": (0.1, True),
    "mia-release": (0.1, True),
    "utility": (-0.05, True),
    "fd-domain": (0.5, True),
    "frd": (0.5, True),
    "fid": (20.0, False),
    "cmmd": (1.0, False),
    "coverage": (0.05, True),
    "replica": (0.01, True),
    "split": (0.05, True),
    "canary": (8.0, False),
    "dp-claim": (10.0, False),
    "odd-one": (1.0, False),
}
"""Each gate's threshold, and whether it is required."""

NULL = Null(value=0.5012, interval=(0.47, 0.53), what="holdout against holdout")
NEIGHBOURS = {
    "precision": 0.91,
    "precision_interval": [0.88, 0.94],
    "null_precision": 0.93,
    "recall": 0.72,
    "recall_interval": [0.68, 0.76],
    "null_recall": 0.9,
    "density": 1.02,
    "density_interval": [0.95, 1.1],
    "null_density": 1.0,
    "coverage": 0.83,
    "coverage_interval": [0.79, 0.87],
    "null_coverage": 0.95,
}
EVIDENCE: dict[str, dict[str, Any]] = {
    "utility": {
        "seeds": [0, 1, 2, 3, 4],
        "real": {"accuracy": [0.94, 0.93, 0.95, 0.94, 0.945], "auroc": [0.98, 0.981, 0.979, 0.983, 0.98]},
        "synthetic": {"accuracy": [0.93, 0.92, 0.94, 0.93, 0.925], "auroc": [0.97, 0.971, 0.969, 0.973, 0.97]},
        "real_again": {"accuracy": [0.938, 0.932, 0.948, 0.94, 0.944], "auroc": [0.98, 0.98, 0.98, 0.981, 0.98]},
        "real_on_synthetic": {"accuracy": [0.91, 0.92, 0.9, 0.93, 0.91]},
        "real_on_synthetic_intervals": {"accuracy": [0.89, 0.94]},
        "intervals": {"synthetic": {"accuracy": [0.91, 0.945], "auroc": [0.96, 0.98]}},
        "metric": "accuracy",
        "n_train": 1000,
        "n_test": 524,
        "hybrid": [
            {"ratio": 0.2, "added": 18, "gain": 0.003, "interval": [-0.004, 0.01], "control": 0.951, "hybrid": 0.954, "says": "none shown"},
            {"ratio": 0.4, "added": 36, "gain": 0.009, "interval": [0.002, 0.016], "control": 0.949, "hybrid": 0.958, "says": "helps"},
        ],
        "hybrid_by_seed": {
            "control_0.2": {"accuracy": [0.95, 0.951, 0.952, 0.95, 0.95]},
            "hybrid_0.2": {"accuracy": [0.953, 0.954, 0.955, 0.954, 0.954]},
        },
        "per_class": {
            "normal": {"real": 0.93, "synthetic": 0.89, "real_again": 0.92, "hybrid_0.2": 0.94},
            "pneumonia": {"real": 0.96, "synthetic": 0.97, "real_again": 0.95, "hybrid_0.2": 0.97},
        },
    },
    "fd-domain": {
        "distance": 12.75,
        "null_distance": 10.125,
        "features": 64,
        "network": "a small classifier",
        "kernel_distance": 0.021,
        "kernel_distance_interval": [0.012, 0.03],
        "null_kernel_distance": 0.001,
        "null_kernel_distance_interval": [-0.004, 0.006],
        **NEIGHBOURS,
    },
    "frd": {
        "distance": 0.31,
        "null_distance": 0.12,
        "features": 23,
        "furthest_features": {"stat_mean": -0.8, "cm_contrast": 0.61},
        "images_without_a_feature": 0,
        **NEIGHBOURS,
    },
    "canary": {
        "accuracy_of_guesses": 0.61,
        "null_accuracy_of_guesses": 0.5,
        "epsilon_lower_bound": 0.12,
        "largest_bound_possible": 3.1,
        "delta": 1e-5,
        "timesteps": [200, 300],
    },
    # A plug-in that nobody has seen: scalars of its own, and a number an image under a name of its own.
    "odd-one": {"spread": 0.731, "site": "ward-seven", "image_scores": [i / 977 for i in range(300)], "roc": "not a curve"},
}
REASONS = {
    "fid": "FID cannot be judged: the Inception weights are not here. Set SYNTHMILL_INCEPTION_WEIGHTS to a local copy.",
    "cmmd": "CMMD cannot be judged: the weights are not here.",
    "dp-claim": "No differential privacy is claimed. The random noise of a diffusion model gives none.",
    "odd-one": "It could not be told.",
}
"""Of the gates that settle nothing here."""

SCENARIOS = {"copied training images, 1 %": True, "copied training images, 50 %": True, "one class missing": True, "other patients": False}
POWER = {
    "format": "synthmill-gate-power/1",
    "made": "2026-11-20",
    "seeds": 20,
    "command": "./mill bench gates",
    "rows": [
        {"scenario": scenario, "bad": bad, "gate": gate, "meant": caught > 18, "caught": caught, "failed": caught // 2, "of": 20}
        for gate, counts in {
            "replica": (20, 20, 1, 0),
            "utility": (0, 3, 20, 1),
            "mia-white-box": (0, 4, 0, 0),
            "mia-release": (2, 18, 0, 1),
            "fd-domain": (0, 0, 19, 1),
            "coverage": (0, 0, 20, 0),
        }.items()
        for (scenario, bad), caught in zip(SCENARIOS.items(), counts, strict=True)
    ],
}
"""docs/gates.json of a made-up measurement: not every gate has been measured."""


@cache
def attack(attacker: str, names: tuple[str, ...], per_patient: bool = False) -> Finding:
    """A finding of the membership gates' own making, on scores of no meaning."""
    rng = np.random.default_rng(8)

    def images(n: int, split: str) -> Images:
        patients = [f"{split}{row // (2 if per_patient else 1)}" for row in range(n)]
        labels = np.arange(n, dtype=np.int64) % 2
        return Images(rng.integers(0, 256, (n, 8, 8, 1), dtype=np.uint8), labels, patients, patients, LABELS)

    config = AttackConfig(threshold=0.1, bootstrap=100)
    real = RealImages(train=images(400, "train"), holdout=images(320, "holdout"), test=images(20, "test"))
    candidates = Candidates.of(real, config)
    scores = {name: rng.normal(0, 1, 720) for name in names}
    return Trial(candidates, scores, config).finding(attacker)


def finding(kind: str, ids: dict[str, list[str]]) -> Finding:
    if kind in REASONS:
        needs = ("SYNTHMILL_SOMETHING",) if kind == "odd-one" else ()
        return Finding(None, None, None, {"synthetic": 80}, "excess", REASONS[kind], EVIDENCE.get(kind, {}), Status.INSUFFICIENT, needs)
    if kind.startswith("mia-"):
        names = {
            "mia-white-box": ("loss", "PIA"),
            "mia-query": ("reconstruction in pixels",),
            "mia-release": ("DOMIAS", "nearest neighbour"),
        }
        return attack(kind, names[kind], per_patient=kind == "mia-release")
    bound = PANEL[kind][0]
    evidence = EVIDENCE.get(kind, {})
    if kind == "replica":
        evidence = {"pairs": pairs(ids)}
    value = bound + 0.06 if kind == "utility" else bound / 2
    return Finding(value, (value - 0.001, value + 0.001), NULL, {"synthetic": 80, "test": 20}, "ratio", "A sentence.", evidence)


def pairs(ids: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Two synthetic images that are training images again."""
    return [
        {
            "synthetic": ids["synthetic"][7],
            "train": ids["train"][min(41, len(ids["train"]) - 1)],
            "distance": 0.0123456,
            "mirrored": False,
        },
        {"synthetic": ids["synthetic"][9], "train": ids["train"][13], "distance": 0.0234567, "flipped": True, "shift": [0, 1]},
    ]


def verdict(kind: str, subject: Subject, ids: dict[str, list[str]]) -> Verdict:
    found = finding(kind, ids)
    threshold, required = PANEL[kind]
    return Verdict(
        gate=kind,
        status=found.status or Status.PASS,
        threshold=threshold,
        direction="at_least" if kind == "utility" else "at_most",
        method="Measured by a test, for a test.",
        required=required,
        config={"required": required, "threshold": threshold},
        subject=subject,
        **{field: getattr(found, field) for field in ("value", "interval", "null", "n", "unit", "reason", "evidence")},
        needs=list(found.needs),
    )
