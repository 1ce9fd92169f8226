"""`utility`: does a classifier trained on synthetic images serve on real ones as well as one trained on as many real images?"""

from typing import Literal, Self

import numpy as np
from pydantic import Field, PositiveFloat, model_validator

from models.scores import Summary, draw_weights, interval, seed_weights, summarise
from models.stats import group_index
from schema.images import Images, RealImages
from schema.params import GateConfig
from schema.settings import vit_weights
from schema.verdict import Null, Status
from tasks.gates import Finding, Gate
from tasks.gates._arms import SINGLE, arms, extra, pair, possible
from tasks.gates._classifiers import SETTING, choose, judge_network

LEAST_IMAGES = 50
"""Fewest training images of each kind that say anything about a classifier."""
LEAST_PATIENTS = 30
"""Fewest test patients: with fewer a bootstrap interval is not to be trusted."""
LEAST_OF_A_CLASS = 10
"""Test images of a class below which nothing is reported of it by itself."""
WORDS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy"}


class Config(GateConfig):
    kind: Literal["utility"] = "utility"
    threshold: float = Field(
        gt=-1, allow_inf_nan=False, description="least ratio of the metric, synthetic over real, less that of real over real"
    )
    metric: Literal["accuracy", "balanced_accuracy"] = Field(
        default="balanced_accuracy", description="what the ratio is of; balanced accuracy counts every class alike, however rare"
    )
    seeds: int = Field(default=5, ge=5, description="trainings of each kind")
    steps: int = Field(default=200, ge=20, description="training steps of each classifier, the same for all")
    ratios: list[PositiveFloat] = Field(
        default=[0.2, 0.4], max_length=8, description="synthetic images added to each real training image, to see whether they help"
    )
    classifier: Literal["auto", "small-cnn", "vit"] = Field(
        default="auto", description="auto: a vision transformer for colour images of 64 px and more, else the small CNN"
    )
    weights_sha256: str | None = Field(
        default=None, min_length=8, description=f"digest, or how it begins, of pretrained ViT weights in {SETTING}; none: from scratch"
    )
    seed: int = Field(default=0, ge=0)
    bootstrap: int = Field(default=2000, ge=100, description="bootstrap draws")

    @model_validator(mode="after")
    def _weights_are_for_a_vit(self) -> Self:
        if self.weights_sha256 and self.classifier == "small-cnn":
            raise ValueError("weights_sha256 pins a pretrained ViT: classifier small-cnn has no use for it")
        if len(set(self.ratios)) != len(self.ratios):
            raise ValueError("ratios must differ from one another")
        return self


class Plugin(Gate):
    kind = "utility"
    Config = Config
    direction = "at_least"
    method = (
        "A classifier is trained on synthetic images and tested on the real test images (train-synthetic-test-real, Esteban et al. 2017, "
        "arXiv:1706.02633, section 3.2), against one trained on as many real images for as many steps, over several seeds. Null: a second "
        "classifier trained on as many other real images. Judged: the ratio of accuracies (or balanced accuracies) synthetic over real "
        "less the ratio real over real. Interval: 95 % percentile bootstrap over seeds and test patients together. Reported beside it: "
        "the real-trained classifiers on synthetic images (train-real-test-synthetic), and all real training images plus synthetic ones "
        "against the same plus duplicates of real ones of the same classes, in the same order, paired by seed: a gain whose interval "
        "(95 % over all ratios together, Bonferroni) holds 0 is not claimed. Where classifiers trained on real images do not beat "
        "guessing, nothing is judged."
    )

    def measure(self, real, synthetic):
        n = min(len(synthetic), len(real.train) // 2)
        unfit = _unfit(real, synthetic, n)
        if unfit:
            return self._without(unfit, n, real.test)
        kind = choose(self.config.classifier, real.train.pixels.shape[1:])
        if kind == "vit" and self.config.weights_sha256 and vit_weights() is None:
            return self._without(f"the pretrained weights are not here: set {SETTING} to their folder", n, real.test, needs=(SETTING,))
        return self._finding(*self._guess(kind, real, synthetic, n), real, synthetic, n)

    def _guess(self, kind: str, real: RealImages, synthetic: Images, n: int) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, str]]:
        """Trains every arm over every seed. Class probabilities of the test images by arm (seeds x images x classes), those of
        the synthetic images by the real-trained networks, and what the networks were."""
        from models.classifier import probabilities
        from models.determinism import pick_device
        from schema.settings import device as asked
        from tasks.progress import ticking

        device = pick_device(asked())
        ratios = possible(self.config.ratios, real.train, synthetic)
        guesses: dict[str, list[np.ndarray]] = {}
        on_synthetic = []
        trainings = self.config.seeds * (len(SINGLE) + 2 * len(ratios))
        with ticking("gate utility", "training classifiers", trainings * self.config.steps, "step") as ticker:
            judge = judge_network(kind, len(real.train.classes), self.config.steps, self.config.weights_sha256, device, ticker.update)
            for seed in self._seeds():
                for arm, pixels, labels in arms(seed, n, ratios, real.train, synthetic):
                    network = judge.train(pixels, labels, seed)
                    guesses.setdefault(arm, []).append(probabilities(network, real.test.pixels, device))
                    if arm == "real":
                        on_synthetic.append(probabilities(network, synthetic.pixels, device))
        return {arm: np.stack(rows) for arm, rows in guesses.items()}, np.stack(on_synthetic), judge.about

    def _seeds(self) -> range:
        return range(self.config.seed, self.config.seed + self.config.seeds)

    def _finding(self, guesses: dict[str, np.ndarray], on_synthetic: np.ndarray, about: dict, real, synthetic: Images, n: int) -> Finding:
        """From class probabilities, seeds x images x classes: of the test images by each arm, and of the synthetic images."""
        metric, test = self.config.metric, real.test
        found = self._summaries(guesses, test)
        evidence = {
            "metric": metric,
            **about,
            "seeds": list(self._seeds()),
            "n_train": n,
            "n_test": len(test),
            "n_real": len(real.train),
            **{arm: found[arm].by_seed for arm in SINGLE},
            **self._other_way(on_synthetic, synthetic),
            "intervals": {arm: {name: list(summary.interval(name)) for name in summary.drawn} for arm, summary in found.items()},
            "per_class": _by_class(found, test, "recall"),
            "per_class_auroc": _by_class(found, test, "auroc"),
            **self._hybrids(found, real.train),
        }
        guessing = 1 / len(np.unique(test.labels))
        sure = found["real"].interval("balanced_accuracy")
        if sure[0] <= guessing:
            why = (
                f"a classifier trained on {n} real images does not beat guessing (balanced accuracy {sure[0]:.3f} to {sure[1]:.3f}, "
                f"guessing {guessing:.3f}), so there is nothing to compare: give it more steps, or images that show their labels"
            )
            return self._without(why, n, test, evidence)
        ratios = found["synthetic"].drawn[metric] / found["real"].drawn[metric]
        nulls = found["real_again"].drawn[metric] / found["real"].drawn[metric]
        return Finding(
            value=float(ratios[0] - nulls[0]),
            interval=interval(ratios - nulls),
            null=Null(value=float(nulls[0]), interval=interval(nulls), what=f"{WORDS[metric]} of real over as many other real images"),
            n={"train": n, "test": len(test), "seeds": self.config.seeds},
            unit=self._unit(),
            reason=self._reason(found, ratios, float(ratios[0] - nulls[0]), n, evidence, synthetic),
            evidence={**evidence, "ratio": float(ratios[0]), "ratio_interval": list(interval(ratios))},
        )

    def _summaries(self, guesses: dict[str, np.ndarray], test: Images) -> dict[str, Summary]:
        """The arms over the same draws of patients; seeds are drawn for each arm, and for both arms of a ratio alike."""
        weights = draw_weights(group_index(test.patients), self.config.bootstrap, np.random.default_rng([self.config.seed, 3]))
        random = np.random.default_rng([self.config.seed, 4])
        found = {}
        for together in [*((arm,) for arm in SINGLE), *map(pair, self.config.ratios)]:
            over_seeds = seed_weights(self.config.seeds, self.config.bootstrap, random)
            found |= {arm: summarise(guesses[arm], test.labels, weights, over_seeds) for arm in together if arm in guesses}
        return found

    def _other_way(self, on_synthetic: np.ndarray, synthetic: Images) -> dict:
        """Train-real-test-synthetic: how right the real-trained networks are on what the synthetic images are labelled."""
        random = np.random.default_rng([self.config.seed, 6])
        weights = draw_weights(group_index(synthetic.patients), self.config.bootstrap, random)
        found = summarise(on_synthetic, synthetic.labels, weights, seed_weights(self.config.seeds, self.config.bootstrap, random))
        return {
            "real_on_synthetic": found.by_seed,
            "real_on_synthetic_intervals": {name: list(found.interval(name)) for name in found.drawn},
        }

    def _hybrids(self, found: dict[str, Summary], train: Images) -> dict:
        """What synthetic images add to all the real ones, in the gate's metric, beyond what duplicates of real ones add."""
        metric, rows = self.config.metric, []
        tried = [ratio for ratio in self.config.ratios if pair(ratio)[0] in found]
        for ratio in tried:
            control, hybrid = (found[arm] for arm in pair(ratio))
            gains = hybrid.drawn[metric] - control.drawn[metric]
            low, high = interval(gains, 1 - 0.05 / len(tried))
            rows.append(
                {
                    "ratio": ratio,
                    "added": extra(ratio, train),
                    "gain": float(gains[0]),
                    "interval": [low, high],
                    "control": control.value(metric),
                    "hybrid": hybrid.value(metric),
                    "says": "helps" if low > 0 else "harms" if high < 0 else "no difference shown",
                }
            )
        by_seed = {arm: found[arm].by_seed for ratio in tried for arm in pair(ratio)}
        return {
            "hybrid": rows,
            "hybrid_by_seed": by_seed,
            "ratios_not_tried": [ratio for ratio in self.config.ratios if ratio not in tried],
        }

    def _reason(self, found: dict[str, Summary], ratios: np.ndarray, excess: float, n: int, evidence: dict, synthetic: Images) -> str:
        metric = self.config.metric
        low, high = interval(ratios)
        said = (
            f"Trained on {n} synthetic images a classifier has {WORDS[metric]} {found['synthetic'].value(metric):.1%} on real test images, "
            f"trained on {n} real ones {found['real'].value(metric):.1%}: a ratio of {ratios[0]:.3f} ({low:.3f} to {high:.3f}), "
            f"{excess:+.3f} from real over real where at least {self.config.threshold:+g} is asked."
        )
        helping = [row for row in evidence["hybrid"] if row["says"] == "helps"]
        if helping:
            best = max(helping, key=lambda row: row["gain"])
            said += f" {best['added']} synthetic images beside all real ones add {best['gain']:+.3f} over duplicated real ones."
        elif evidence["hybrid"]:
            said += " Synthetic images beside all real ones show no gain over duplicated real ones."
        missing = [name for label, name in enumerate(synthetic.classes) if label not in synthetic.labels]
        return said + (f" No synthetic image is of {', '.join(missing)}." if missing else "")

    def _unit(self) -> str:
        return f"{WORDS[self.config.metric]} ratio synthetic over real, less real over real"

    def _without(self, why: str, n: int, test: Images, evidence: dict | None = None, needs: tuple[str, ...] = ()) -> Finding:
        return Finding(
            value=None,
            interval=None,
            null=None,
            n={"train": n, "test": len(test), "seeds": self.config.seeds},
            unit=self._unit(),
            reason=f"Usefulness cannot be judged: {why}.",
            evidence=evidence or {},
            status=Status.INSUFFICIENT,
            needs=needs,
        )


def _unfit(real: RealImages, synthetic: Images, n: int) -> str | None:
    """Why no classifier can be compared on these images; None where one can."""
    shapes = {images.pixels.shape[1:] for images in (real.train, real.test, synthetic)}
    if len(shapes) > 1:
        sizes = ", ".join("x".join(map(str, shape)) for shape in sorted(shapes))
        return f"real and synthetic images differ in size ({sizes}): sample at the size of the real ones"
    if n < LEAST_IMAGES:
        return (
            f"{len(synthetic)} synthetic and {len(real.train)} real training images are too few: at least {LEAST_IMAGES} synthetic "
            f"and {2 * LEAST_IMAGES} real ones are needed"
        )
    if len(set(real.test.patients)) < LEAST_PATIENTS:
        return f"the test images are of {len(set(real.test.patients))} patients: at least {LEAST_PATIENTS} are needed"
    for name, images in (("training", real.train), ("test", real.test)):
        if len(np.unique(images.labels)) < 2:
            return f"the real {name} images are all of one class: a classifier needs two"
    return None


def _by_class(found: dict[str, Summary], test: Images, what: str) -> dict[str, dict[str, float]]:
    """{class: {arm: value}}, over the classes with test images enough that no value speaks of one of them."""
    enough = [label for label in range(len(test.classes)) if (test.labels == label).sum() >= LEAST_OF_A_CLASS]
    return {test.classes[label]: {arm: getattr(summary, what)[label] for arm, summary in found.items()} for label in enough}
