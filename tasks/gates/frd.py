"""`frd`: the Frechet radiomics distance. Features written down in a standard, no weights, and few images are enough."""

from typing import Literal

import numpy as np
from pydantic import Field

from schema.images import Images
from schema.params import GateConfig
from tasks.gates import Finding, Gate

UNIT = "squared Frechet distance per radiomics feature, in excess of real against real"
FEWEST = 32
"""Fewer images than this leave an interval that says nothing."""


class Config(GateConfig):
    kind: Literal["frd"] = "frd"
    threshold: float = Field(ge=0, allow_inf_nan=False, description="largest excess distance, per feature in the real images' deviations")
    images: int = Field(default=256, ge=FEWEST, description="images drawn from each set: one takes about 0.03 s")
    seed: int = Field(default=0, ge=0)
    bootstrap: int = Field(default=200, ge=20, description="bootstrap draws")


class Plugin(Gate):
    kind = "frd"
    Config = Config
    direction = "at_most"
    method = (
        "Frechet radiomics distance (Osuala et al. 2024, arXiv:2403.13890; Konz et al. 2024, arXiv:2412.01496): intensity statistics, "
        "grey level co-occurrence and neighbourhood grey tone difference of whole images as the IBSI standard defines them (by mirp; "
        "16 grey levels; of colour images the statistics of each channel and the textures of the luminance), scaled robustly by the "
        "real test images, tails by the inverse hyperbolic sine; squared Frechet distance (Dowson and Landau 1982, eq. 4), divided by "
        "the number of features. Null: real holdout images against real test images, at the same count. "
        "Interval: 95 % bootstrap of the excess by patient (t on the deviation of the draws)."
    )

    def measure(self, real, synthetic):
        from models.radiomics import Scaler, radiomics
        from tasks.gates._frechet import drawn, obstacle, unjudged
        from tasks.progress import ticking

        why = obstacle(real, synthetic, FEWEST)
        if why is not None:
            return unjudged(real, synthetic, UNIT, f"The radiomics distance cannot be judged: {why}.")
        sets = [drawn(images, self.config.images, [self.config.seed, k]) for k, images in enumerate((synthetic, real.holdout, real.test))]
        with ticking("gate frd", "radiomics features", sum(map(len, sets)), "image") as ticker:
            found = [radiomics(images.pixels, ticker.update) for images in sets]
        scaler = Scaler(found[2][0])
        if not len(scaler.kept):
            why = "no radiomics feature varies among the real test images, which look blank or all alike"
            return unjudged(real, synthetic, UNIT, f"The radiomics distance cannot be judged: {why}.")
        undefined = int((~np.isfinite(found[0][0])).any(axis=1).sum())
        names = [found[2][1][column] for column in scaler.kept]
        return self._finding([scaler(features) for features, _ in found], names, sets, undefined)

    def _finding(self, features: list[np.ndarray], names: list[str], sets: list[Images], undefined: int) -> Finding:
        """From scaled features N x D of synthetic, holdout and test images."""
        from tasks.gates._frechet import Sample, compare, excess_finding
        from tasks.gates._manifold import neighbour_evidence

        synthetic, holdout, test = (Sample(of, images.patients) for of, images in zip(features, sets, strict=True))
        draws, seed = self.config.bootstrap, self.config.seed
        found = compare(synthetic.features, holdout, test, draws, seed, len(names))
        apart = synthetic.features.mean(axis=0) - test.features.mean(axis=0)
        furthest = sorted(range(len(names)), key=lambda column: (-abs(apart[column]), names[column]))[:5]
        low, high = found["interval"]
        return excess_finding(
            found,
            len(test),
            UNIT,
            (
                f"On {len(names)} radiomics features synthetic images lie {found['distance']:.3f} from real ones where real ones lie "
                f"{found['null'].value:.3f} from one another: an excess of {found['excess']:.3f} ({low:.3f} to {high:.3f}), "
                f"at most {self.config.threshold:g} being allowed."
            ),
            {
                "features": len(names),
                "furthest_features": {names[column]: float(apart[column]) for column in furthest},
                "images_without_a_feature": undefined,
                **neighbour_evidence(synthetic, holdout, test, draws, seed),
            },
        )
