"""`coverage`: is every class in the release, in the share asked for, shown by the images that claim it, and in all its forms?"""

from typing import Literal

import numpy as np
from pydantic import Field

from models.modes import NEIGHBOURS, centred, total_variation, worst
from models.scores import interval
from models.stats import percentile_interval
from schema.images import Images, RealImages, joined
from schema.params import GateConfig
from schema.verdict import Null, Status, judge
from tasks.gates import Finding, Gate
from tasks.gates._classes import Comparison, compare

LOST, SHARES = "no class is missing", "class shares are those asked for"
SHOWN, FORMS = "images show the class they are labelled as", "the forms of each class are covered"


class Config(GateConfig):
    kind: Literal["coverage"] = "coverage"
    threshold: float = Field(
        ge=0,
        allow_inf_nan=False,
        description="largest shortfall, in the worst class, of synthetic images that show their class against real ones",
    )
    prevalence: Literal["train", "uniform"] = Field(default="train", description="the class shares asked for, as `sample` has them")
    prevalence_tolerance: float = Field(
        default=0.05, ge=0, le=1, description="largest total variation distance from those shares beyond that of chance"
    )
    mode_threshold: float = Field(
        default=0.2, ge=0, allow_inf_nan=False, description="largest shortfall, in the worst class, of the coverage of real images"
    )
    least_images: int = Field(default=30, ge=10, description="images of a class, real and synthetic alike, below which it is not judged")
    steps: int = Field(default=200, ge=1, description="training steps of the classifier")
    bootstrap: int = Field(default=1000, ge=100, description="bootstrap draws")
    seed: int = Field(default=0, ge=0)


class Plugin(Gate):
    kind = "coverage"
    Config = Config
    direction = "at_most"
    method = (
        "Four claims. No class that was asked for is missing. The class shares lie within a total variation distance of those asked for "
        "(null: labels drawn at random). A small convolutional classifier, trained on the real training images, sees in synthetic images "
        "the class they are labelled as, as often as in real holdout and test images, which are the null; judged is the class that falls "
        "shortest. And the synthetic images of each class cover its real training images as those other real ones do (coverage: Naeem et "
        "al. 2020, arXiv:2002.09797, on the classifier's features; at equal counts by rarefaction, Hurlbert 1971, eq. 14). "
        "Intervals: 95 % bootstrap by patient, the worst class chosen anew in each draw, corrected for the bias of that choice. A class "
        "with too few images, or not told apart on real images by more than the threshold, is not judged, and the gate does not pass."
    )

    def measure(self, real, synthetic):
        asked = self._asked(real.train)
        missing = [name for name, share, n in zip(real.train.classes, asked, _counts(synthetic), strict=True) if share > 0 and n == 0]
        claims = [self._no_class_lost(len(missing), len(synthetic)), self._shares(asked, synthetic)]
        unfit = _unfit(real, synthetic)
        if missing or unfit:
            return self._labels_only(claims, missing, unfit, real, synthetic)
        found = compare(real, synthetic, self.config.steps, self.config.bootstrap, self.config.seed)
        rows = self._rows(found, asked)
        judged = [label for label, row in enumerate(rows) if row["says"] == "judged"]
        if not judged:
            return self._labels_only(claims, [], f"no class can be judged ({_left_out(rows)})", real, synthetic, rows)
        whole = len(judged) == np.count_nonzero(asked)
        claims += [self._shown(found, judged, whole), self._forms(found, judged, whole, rows)]
        return self._finding(claims, rows, found)

    def _asked(self, train: Images) -> np.ndarray:
        """The share of each class that was asked for."""
        counts = _counts(train)
        return counts / max(counts.sum(), 1) if self.config.prevalence == "train" else np.full(len(counts), 1 / len(counts))

    def _no_class_lost(self, missing: int, n: int) -> dict:
        return _claim(LOST, missing, 0, (0, 0), missing, (missing, missing), 0, n, 1)

    def _shares(self, asked: np.ndarray, synthetic: Images) -> dict:
        """The labels of a release are what they are: the interval is that of chance, of as many labels drawn at random."""
        n = len(synthetic)
        measured = float(total_variation(_counts(synthetic) / max(n, 1), asked))
        drawn = np.random.default_rng([self.config.seed, 1]).multinomial(n, asked, size=self.config.bootstrap)
        nulls = total_variation(drawn / max(n, 1), asked)
        null, (low, high) = float(nulls.mean()), percentile_interval(nulls)
        excess = (measured - high, measured - low)
        return _claim(SHARES, measured, null, (low, high), measured - null, excess, self.config.prevalence_tolerance, n, 1)

    def _rows(self, found: Comparison, asked: np.ndarray) -> list[dict]:
        """What each class shows, and whether it can be judged: it has enough images, and is told apart on real ones by more than a
        release may fall short, so that a release without it would be noticed. (No shortfall exceeds 1: a threshold of 1 asks nothing.)"""
        rows, shown, shown_real = [], found.release.recalls()[0], found.others.recalls()[0]
        for label, name in enumerate(found.others.images.classes):
            n, n_real = found.release.count(label), found.others.count(label)
            row = {"class": name, "share_asked": float(asked[label]), "n": n, "n_real": n_real, "says": "too few images"}
            if n and n_real:
                row |= {"shown": float(shown[label]), "shown_real": float(shown_real[label])}
                apart = self.config.threshold >= 1 or row["shown_real"] - found.mistaken(label) > self.config.threshold
                if min(n, n_real) >= self.config.least_images and found.train.count(label) > NEIGHBOURS:
                    row["says"] = "judged" if apart else "not told apart"
            rows.append(row)
        return rows

    def _shown(self, found: Comparison, judged: list[int], whole: bool) -> dict:
        sides = found.others.recalls()[:, judged], found.release.recalls()[:, judged]
        return self._worst(SHOWN, *sides, self.config.threshold, self._fewest(found, judged), whole)

    def _forms(self, found: Comparison, judged: list[int], whole: bool, rows: list[dict]) -> dict:
        """The claim, with the coverage of each class added to its row."""
        real, synthetic = (np.stack(side, axis=1) for side in zip(*map(found.coverages, judged), strict=True))
        for k, label in enumerate(judged):
            rows[label] |= {"coverage": float(synthetic[0, k]), "coverage_real": float(real[0, k])}
        return self._worst(FORMS, real, synthetic, self.config.mode_threshold, self._fewest(found, judged), whole)

    def _fewest(self, found: Comparison, judged: list[int]) -> int:
        return min(side.count(label) for side in (found.others, found.release) for label in judged)

    def _worst(self, words: str, real: np.ndarray, synthetic: np.ndarray, threshold: float, n: int, whole: bool) -> dict:
        """A claim of the class that falls shortest, from draws x judged classes; it cannot hold unless it is of the whole of them."""
        at = int(np.argmax(real[0] - synthetic[0]))
        value, excess = worst(real - synthetic)
        null = float(real[0, at]), interval(centred(real[:, at]))
        claim = _claim(words, float(synthetic[0, at]), *null, value, excess, threshold, n, self.config.least_images)
        return claim if whole or claim["status"] != Status.PASS else claim | {"status": str(Status.INSUFFICIENT)}

    def _finding(self, claims: list[dict], rows: list[dict], found: Comparison) -> Finding:
        shown, forms = claims[2:]
        low, high = shown["interval"]
        left_out = _left_out(rows)
        return Finding(
            value=shown["value"],
            interval=(low, high),
            null=Null(value=shown["null"], interval=shown["null_interval"], what="other real images of that class that show it"),
            n={"synthetic": len(found.release.images), "real": len(found.others.images)},
            unit=self._unit(),
            reason=(
                f"In the class that falls shortest {shown['measured']:.1%} of the synthetic images show it where {shown['null']:.1%} of "
                f"other real ones do, a shortfall of {shown['value']:.3f} ({low:.3f} to {high:.3f}), at most {self.config.threshold:g} "
                f"being allowed; the coverage of real forms falls short by {forms['value']:.3f} (at most {self.config.mode_threshold:g}). "
                f"{self._of_labels(claims, [])}" + (f" Not judged: {left_out}." if left_out else "")
            ),
            evidence={"claims": claims, "classes": rows},
            status=_together(claims),
        )

    def _labels_only(
        self, claims: list[dict], missing: list[str], why: str | None, real: RealImages, synthetic: Images, rows: list[dict] | None = None
    ) -> Finding:
        """What the labels alone say: a class that is missing falls short by all there is, whatever its interval."""
        whole = 1.0 if missing else None
        return Finding(
            value=whole,
            interval=(whole, whole) if missing else None,
            null=Null(value=0.0, interval=(0.0, 0.0), what="classes missing among the real images") if missing else None,
            n={"synthetic": len(synthetic), "real": len(real.holdout) + len(real.test)},
            unit=self._unit(),
            reason=self._of_labels(claims, missing) + (f" What the images show cannot be judged: {why}." if why else ""),
            evidence={"claims": claims, **({"classes": rows} if rows else {})},
            status=Status.FAIL if _together(claims) is Status.FAIL else Status.INSUFFICIENT,
        )

    def _of_labels(self, claims: list[dict], missing: list[str]) -> str:
        lost = f"No image is labelled {', '.join(missing)}" if missing else "No class is missing"
        return f"{lost}, and the class shares are {claims[1]['measured']:.3f} from those asked for (chance alone: {claims[1]['null']:.3f})."

    def _unit(self) -> str:
        return "share of images that show their class, other real ones less synthetic ones, in the worst class"


def _claim(words: str, measured, null, null_interval, value, excess, threshold: float, n: int, needed: int) -> dict:
    status = judge(value, excess, threshold, "at_most") if n >= needed else Status.INSUFFICIENT
    return {
        "claim": words,
        "measured": float(measured),
        "null": float(null),
        "null_interval": [float(end) for end in null_interval],
        "value": float(value),
        "interval": [float(end) for end in excess],
        "threshold": float(threshold),
        "n": n,
        "needed": needed,
        "status": str(status),
        "required": True,
    }


def _together(claims: list[dict]) -> Status:
    said = {claim["status"] for claim in claims}
    return next((status for status in (Status.FAIL, Status.INSUFFICIENT) if status in said), Status.PASS)


def _counts(images: Images) -> np.ndarray:
    return np.bincount(images.labels, minlength=len(images.classes))


def _left_out(rows: list[dict]) -> str:
    """The classes that are not judged, by the reason why not."""
    few, alike = ([row["class"] for row in rows if row["says"] == why] for why in ("too few images", "not told apart"))
    said = [f"too few images of {', '.join(few)}"] if few else []
    return "; ".join([*said, f"not told apart on real images: {', '.join(alike)}"] if alike else said)


def _unfit(real: RealImages, synthetic: Images) -> str | None:
    """Why no classifier can look at these images; None where one can."""
    sets = {"training": real.train, "holdout and test": joined(real.holdout, real.test)}
    if not len(synthetic):
        return "there is no synthetic image"
    shapes = {images.pixels.shape[1:] for images in (*sets.values(), synthetic)}
    if len(shapes) > 1:
        return "real and synthetic images differ in size: sample at the size of the real ones"
    for name, images in sets.items():
        if len(np.unique(images.labels)) < 2:
            return f"the real {name} images are of fewer than two classes, and a classifier needs two"
    return None
