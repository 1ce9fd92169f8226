"""`utility`: does a classifier trained on synthetic images serve on real ones as well as one trained on as many real images?"""

from typing import Literal

import numpy as np
from pydantic import Field

from models.stats import group_index, percentile_interval, resample
from schema.params import GateConfig
from schema.verdict import Null
from tasks.gates import Finding, Gate


class Config(GateConfig):
    kind: Literal["utility"] = "utility"
    threshold: float = Field(allow_inf_nan=False, description="least accuracy ratio, synthetic over real, less that of real over real")
    seeds: int = Field(default=5, ge=5, description="trainings of each kind")
    steps: int = Field(default=300, ge=1, description="training steps of each classifier, the same for all")
    seed: int = Field(default=0, ge=0)
    bootstrap: int = Field(default=2000, ge=100, description="bootstrap draws")


ARMS = ("real", "synthetic", "real_again")


class Plugin(Gate):
    kind = "utility"
    Config = Config
    direction = "at_least"
    method = (
        "A small convolutional classifier is trained on synthetic images and tested on the real test images (train-synthetic-test-real, "
        "Esteban et al. 2017, arXiv:1706.02633, section 3.2), against one trained on as many real images for as many steps, over several "
        "seeds. Null: a second classifier trained on as many other real images. Judged: the ratio of accuracies synthetic over real less "
        "the ratio real over real. Interval: 95 % percentile bootstrap over seeds and test patients together."
    )

    def measure(self, real, synthetic):
        from models.classifier import probabilities, train_classifier
        from models.determinism import pick_device
        from schema.settings import device as asked
        from tasks.progress import ticking

        device = pick_device(asked())
        n = min(len(synthetic), len(real.train) // 2)
        guesses: dict[str, list[np.ndarray]] = {arm: [] for arm in ARMS}
        with ticking("gate utility", "training classifiers", self.config.seeds * len(ARMS) * self.config.steps, "step") as ticker:
            for number in range(self.config.seeds):
                seed = self.config.seed + number
                order = np.random.default_rng([seed, 1]).permutation(len(real.train))
                drawn = np.random.default_rng([seed, 2]).permutation(len(synthetic))[:n]
                sets = {
                    "real": real.train.take(order[:n]),
                    "synthetic": synthetic.take(drawn),
                    "real_again": real.train.take(order[n : 2 * n]),
                }
                for arm, images in sets.items():
                    network = train_classifier(
                        images.pixels, images.labels, len(images.classes), self.config.steps, seed, device, tick=ticker.update
                    )
                    guesses[arm].append(probabilities(network, real.test.pixels, device))
        return self._finding({arm: np.stack(rows) for arm, rows in guesses.items()}, real.test, n)

    def _finding(self, guesses: dict[str, np.ndarray], test, n: int) -> Finding:
        """From class probabilities of each arm: seeds x test images x classes."""
        right = {arm: rows.argmax(axis=2) == test.labels for arm, rows in guesses.items()}
        ratio, null = (float(right[arm].mean() / right["real"].mean()) for arm in ("synthetic", "real_again"))
        random = np.random.default_rng([self.config.seed, 3])
        groups = group_index(test.patients)
        draws = np.array([_ratios(right, groups, random) for _ in range(self.config.bootstrap)])
        low, high = percentile_interval(draws[:, 0] - draws[:, 1])
        scores = {arm: _scores(rows, test.labels) for arm, rows in guesses.items()}
        ratio_low, ratio_high = percentile_interval(draws[:, 0])
        accuracy = {arm: float(np.mean(scores[arm]["accuracy"])) for arm in ARMS}
        return Finding(
            value=ratio - null,
            interval=(low, high),
            null=Null(value=null, interval=percentile_interval(draws[:, 1]), what="accuracy of real over as many other real images"),
            n={"train": n, "test": len(test), "seeds": self.config.seeds},
            unit="accuracy ratio synthetic over real, less real over real",
            reason=(
                f"Trained on {n} synthetic images a classifier is right on {accuracy['synthetic']:.1%} of real test images, trained on "
                f"{n} real ones on {accuracy['real']:.1%}: a ratio of {ratio:.3f} ({ratio_low:.3f} to {ratio_high:.3f}), "
                f"{ratio - null:+.3f} from real over real where at least {self.config.threshold:+g} is asked."
            ),
            evidence={
                "seeds": list(range(self.config.seed, self.config.seed + self.config.seeds)),
                "ratio": ratio,
                "ratio_interval": [ratio_low, ratio_high],
                "n_train": n,
                "n_test": len(test),
                **scores,
            },
        )


def _ratios(right: dict[str, np.ndarray], groups: list[np.ndarray], random: np.random.Generator) -> tuple[float, float]:
    """One bootstrap draw of (synthetic / real, real again / real): the same patients for all arms, seeds drawn for each."""
    rows = resample(groups, random)
    mean = {}
    for arm in ARMS:
        seeds = random.integers(len(right[arm]), size=len(right[arm]))
        mean[arm] = right[arm][seeds][:, rows].mean()
    return mean["synthetic"] / mean["real"], mean["real_again"] / mean["real"]


def _scores(guesses: np.ndarray, labels: np.ndarray) -> dict[str, list[float]]:
    """Accuracy, balanced accuracy and AUROC (one against the rest, unweighted mean) for each seed."""
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    binary = guesses.shape[2] == 2
    return {
        "accuracy": [float((rows.argmax(axis=1) == labels).mean()) for rows in guesses],
        "balanced_accuracy": [float(balanced_accuracy_score(labels, rows.argmax(axis=1))) for rows in guesses],
        "auroc": [float(roc_auc_score(labels, rows[:, 1] if binary else rows, multi_class="ovr")) for rows in guesses],
    }
