"""`fid`: the Frechet Inception distance on pytorch-fid's weights; INSUFFICIENT where they cannot be had."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from schema.digest import sha256_file
from schema.errors import SynthmillError
from schema.images import Images
from schema.params import GateConfig
from schema.settings import inception_weights
from schema.verdict import Status
from tasks.gates import Finding, Gate

OFFICIAL = "6726825d"
"""First digits of the sha256 of pytorch-fid's `pt_inception-2015-12-05-6726825d.pth`, by the naming rule of torch's hub files."""
SETTING = "SYNTHMILL_INCEPTION_WEIGHTS"
DIMENSIONS = 2048
UNIT = "FID in excess of real against real"


class Config(GateConfig):
    kind: Literal["fid"] = "fid"
    threshold: float = Field(ge=0, allow_inf_nan=False, description="largest excess of the FID over real against real")
    weights_sha256: str = Field(default=OFFICIAL, min_length=8, description="the weights file's sha256, or how it begins")
    bootstrap: int = Field(default=20, ge=20, description="bootstrap draws; each takes three 2048 x 2048 eigenvalue problems")
    seed: int = Field(default=0, ge=0)


class Plugin(Gate):
    kind = "fid"
    Config = Config
    direction = "at_most"
    method = (
        "Frechet Inception distance (Heusel et al. 2017, eq. 6) on the 2048 pool features of pytorch-fid's Inception-v3. Null: real "
        "holdout images against real test images, at the same count. "
        "Interval: 95 % percentile bootstrap of the excess, corrected for its bias. "
        "Fewer images than features judge nothing."
    )

    def measure(self, real, synthetic):
        weights = inception_weights()
        if weights is None:
            return self._without("the Inception weights are not here", real, synthetic, needs=(SETTING,))
        digest = check_weights(weights, self.config)
        few = min(len(synthetic), len(real.holdout), len(real.test))
        if few < DIMENSIONS:
            return self._without(f"{few} images are fewer than {DIMENSIONS} feature dimensions", real, synthetic)
        import torch

        from models.determinism import pick_device
        from models.inception import inception_features, load_inception
        from schema.settings import device as asked
        from tasks.gates._frechet import Sample, compare
        from tasks.progress import ticking

        device = pick_device(asked())
        network = load_inception(torch.load(weights, map_location="cpu", weights_only=True), device)
        sets = (synthetic, real.holdout, real.test)
        with ticking("gate fid", "Inception features", sum(map(len, sets)), "image") as ticker:
            synthetic_f, holdout_f, test_f = (inception_features(network, images.pixels, device, ticker.update) for images in sets)
        holdout, test = Sample(holdout_f, real.holdout.patients), Sample(test_f, real.test.patients)
        found = compare(synthetic_f, holdout, test, self.config.bootstrap, self.config.seed, 1.0)
        low, high = found["interval"]
        return Finding(
            value=found["excess"],
            interval=found["interval"],
            null=found["null"],
            n={"synthetic": found["n"], "holdout": found["n"], "test": len(test_f)},
            unit=UNIT,
            reason=(
                f"FID {found['distance']:.2f} where real images have {found['null'].value:.2f} among themselves: an excess of "
                f"{found['excess']:.2f} ({low:.2f} to {high:.2f}), at most {self.config.threshold:g} being allowed."
            ),
            evidence={
                "distance": found["distance"],
                "null_distance": found["null"].value,
                "features": DIMENSIONS,
                "network": "Inception-v3 of pytorch-fid",
                "weights_sha256": digest,
            },
        )

    def _without(self, why: str, real, synthetic: Images, needs: tuple[str, ...] = ()) -> Finding:
        remedy = f" Set {SETTING} to a local copy of pytorch-fid's weights." if needs else ""
        return Finding(
            value=None,
            interval=None,
            null=None,
            n={"synthetic": len(synthetic), "holdout": len(real.holdout), "test": len(real.test)},
            unit=UNIT,
            reason=f"FID cannot be judged: {why}.{remedy}",
            evidence={},
            status=Status.INSUFFICIENT,
            needs=needs,
        )


def check_weights(weights: Path, config: Config) -> str:
    """The sha256 of the weights file. Raises SynthmillError if it is not the one that params.yaml asks for."""
    if not weights.is_file():
        raise SynthmillError(f"{SETTING} names {weights}, which is not a file: mend the path or unset it")
    digest = sha256_file(weights)
    if not digest.startswith(config.weights_sha256):
        raise SynthmillError(
            f"{SETTING} names a file with sha256 {digest[:16]}..., and gates.fid.weights_sha256 asks for {config.weights_sha256}: "
            "give pytorch-fid's pt_inception-2015-12-05-6726825d.pth"
        )
    return digest
