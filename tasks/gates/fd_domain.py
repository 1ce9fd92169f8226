"""`fd-domain`: the Frechet distance on features of a network trained here, on the real training images. Never called FID."""

from typing import Literal

import numpy as np
from pydantic import Field

from schema.params import GateConfig
from schema.verdict import Status, judge
from tasks.gates import Finding, Gate

UNIT = "squared Frechet distance per feature, in excess of real against real"


class Config(GateConfig):
    kind: Literal["fd-domain"] = "fd-domain"
    threshold: float = Field(ge=0, allow_inf_nan=False, description="largest excess distance, in the real images' variance per feature")
    steps: int = Field(default=400, ge=1, description="training steps of the network")
    coverage_threshold: float = Field(
        default=0.3, ge=0, lt=1, description="largest shortfall of the coverage under its null: images of few kinds can still lie close"
    )
    seed: int = Field(default=0, ge=0)
    bootstrap: int = Field(default=200, ge=20, description="bootstrap draws")


class Plugin(Gate):
    kind = "fd-domain"
    Config = Config
    direction = "at_most"
    method = (
        "A small convolutional classifier is trained on the real training images; its 64 features, scaled to unit variance on the real "
        "test images, are compared by the squared Frechet distance (Dowson and Landau 1982, eq. 4), divided by the number of features. "
        "Null: real holdout images against real test images, at the same count. "
        "Interval: 95 % bootstrap of the excess by patient (t on the deviation of the draws). Beside it, on the same features: the "
        "unbiased kernel distance with KID's cubic kernel (Binkowski et al. 2018, arXiv:1801.01401), precision and recall "
        "(Kynkaanniemi et al. 2019, arXiv:1904.06991), density and coverage (Naeem et al. 2020, arXiv:2002.09797). The coverage is judged "
        "too: a few kinds of images, repeated, can lie close to the real ones while most of these have nothing near them."
    )

    def status(self, finding):
        """As every gate's, on the distance and on the shortfall of the coverage: the worse of the two."""
        status, limit = super().status(finding), self.config.coverage_threshold
        if finding.value is None or status is Status.FAIL:
            return status
        coverage = judge(finding.evidence["coverage_shortfall"], finding.evidence["coverage_shortfall_interval"], limit, self.direction)
        return status if coverage is Status.PASS else coverage

    def measure(self, real, synthetic):
        from models.classifier import FEATURES, features, train_classifier
        from models.determinism import pick_device
        from schema.settings import device as asked
        from tasks.gates._frechet import obstacle, unjudged
        from tasks.progress import ticking

        why = obstacle(real, synthetic, FEATURES + 1)
        if why is None and len(set(real.train.labels.tolist())) < 2:
            why = "the training images are all of one class, and the network learns its features by telling classes apart"
        if why is not None:
            return unjudged(real, synthetic, UNIT, f"The distance cannot be judged: {why}.")
        device = pick_device(asked())
        with ticking("gate fd-domain", "training the feature network", self.config.steps, "step") as ticker:
            network = train_classifier(
                real.train.pixels,
                real.train.labels,
                len(real.train.classes),
                self.config.steps,
                self.config.seed,
                device,
                tick=ticker.update,
            )
        sets = [features(network, images.pixels, device) for images in (synthetic, real.holdout, real.test)]
        varies = sets[2].std(axis=0) > 1e-6
        if not all(np.isfinite(of).all() for of in sets):
            return unjudged(real, synthetic, UNIT, "The distance cannot be judged: the network gave numbers that are not finite.")
        if not varies.any():
            return unjudged(real, synthetic, UNIT, "The distance cannot be judged: the real test images are all alike to the network.")
        return self._finding(sets, varies, real)

    def _finding(self, sets: list[np.ndarray], varies: np.ndarray, real) -> Finding:
        """From features N x D of synthetic, holdout and test images, and which of them vary among the test images."""
        from models.manifold import polynomial_kernel
        from tasks.gates._frechet import Sample, compare, excess_finding
        from tasks.gates._manifold import kernel_distances, kernel_evidence, neighbour_evidence, sampled
        from tasks.progress import ticking

        spread = sets[2][:, varies].std(axis=0) + 1e-6
        synthetic, holdout, test = (of[:, varies] / spread for of in sets)
        draws, seed = self.config.bootstrap, self.config.seed
        with ticking("gate fd-domain", "bootstrapping", 2, "comparison") as ticker:
            found = compare(
                synthetic, Sample(holdout, real.holdout.patients), Sample(test, real.test.patients), draws, seed, int(varies.sum())
            )
            ticker.update()
            names = [str(row) for row in range(len(synthetic))], real.holdout.patients, real.test.patients
            few = [sampled(of, whose, seed) for of, whose in zip((synthetic, holdout, test), names, strict=True)]
            kernel = kernel_distances(*few, polynomial_kernel, draws, seed)
            near = neighbour_evidence(*few, draws, seed)
            ticker.update()
        low, high = found["interval"]
        below = near["coverage_shortfall"]
        return excess_finding(
            found,
            len(test),
            UNIT,
            (
                f"Synthetic images lie {found['distance']:.3f} from real ones where real ones lie {found['null'].value:.3f} from one "
                f"another: an excess of {found['excess']:.3f} ({low:.3f} to {high:.3f}), at most {self.config.threshold:g} being allowed. "
                f"They cover {near['coverage']:.1%} of the real images where other real images cover {near['null_coverage']:.1%}: "
                f"{abs(below):.1%} {'more' if below < 0 else 'less'}, at most {self.config.coverage_threshold:.0%} less being allowed."
            ),
            {
                "features": int(varies.sum()),
                "network": f"SmallCNN trained for {self.config.steps} steps on {len(real.train)} real training images",
                **kernel_evidence("kernel_distance", kernel),
                **near,
            },
        )
