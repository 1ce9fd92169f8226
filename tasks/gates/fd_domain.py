"""`fd-domain`: the Frechet distance on features of a network trained here, on the real training images. Never called FID."""

from typing import Literal

from pydantic import Field

from schema.params import GateConfig
from tasks.gates import Finding, Gate


class Config(GateConfig):
    kind: Literal["fd-domain"] = "fd-domain"
    threshold: float = Field(ge=0, allow_inf_nan=False, description="largest excess distance, in the real images' variance per feature")
    steps: int = Field(default=400, ge=1, description="training steps of the network")
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
        "Interval: 95 % percentile bootstrap of the excess, corrected for its bias."
    )

    def measure(self, real, synthetic):
        from models.classifier import FEATURES, features, train_classifier
        from models.determinism import pick_device
        from schema.settings import device as asked
        from tasks.gates._frechet import Sample, compare
        from tasks.progress import ticking

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
        test = features(network, real.test.pixels, device)
        spread = test.std(axis=0) + 1e-6
        with ticking("gate fd-domain", "bootstrapping", 1, "test") as ticker:
            found = compare(
                features(network, synthetic.pixels, device) / spread,
                Sample(features(network, real.holdout.pixels, device) / spread, real.holdout.patients),
                Sample(test / spread, real.test.patients),
                self.config.bootstrap,
                self.config.seed,
                FEATURES,
            )
            ticker.update()
        n = {"synthetic": found["n"], "holdout": found["n"], "test": len(test)}
        enough = min(n.values()) > FEATURES
        low, high = found["interval"]
        return Finding(
            value=found["excess"] if enough else None,
            interval=found["interval"] if enough else None,
            null=found["null"],
            n=n,
            unit="squared Frechet distance per feature, in excess of real against real",
            reason=(
                f"Synthetic images lie {found['distance']:.3f} from real ones where real ones lie {found['null'].value:.3f} from one "
                f"another: an excess of {found['excess']:.3f} ({low:.3f} to {high:.3f}), at most {self.config.threshold:g} being allowed."
                if enough
                else f"{min(n.values())} images are too few for a distance on {FEATURES} features: more than {FEATURES} are needed."
            ),
            evidence={
                "distance": found["distance"],
                "null_distance": found["null"].value,
                "features": FEATURES,
                "network": f"SmallCNN trained for {self.config.steps} steps on {len(real.train)} real training images",
            },
        )
