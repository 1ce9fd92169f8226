"""`fid`: the Frechet Inception distance on pytorch-fid's weights; INSUFFICIENT where they cannot be had."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from schema.digest import sha256_file
from schema.errors import SynthmillError
from schema.images import Images
from schema.params import GateConfig
from schema.settings import ROOT, inception_weights
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
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="of the convolutions: float32 as pytorch-fid, bfloat16 about twice as fast"
    )
    bootstrap: int = Field(default=20, ge=20, description="bootstrap draws; each takes three 2048 x 2048 eigenvalue problems")
    infinity_points: int = Field(default=5, ge=3, description="set sizes that FID-infinity is extrapolated from")
    seed: int = Field(default=0, ge=0)


class Plugin(Gate):
    kind = "fid"
    Config = Config
    direction = "at_most"
    method = (
        "Frechet Inception distance (Heusel et al. 2017, eq. 6) on the 2048 pool features of pytorch-fid's Inception-v3. Null: real "
        "holdout images against real test images, at the same count. "
        "Interval: 95 % bootstrap of the excess by patient (t on the deviation of the draws). Fewer images than features judge nothing. "
        "Beside it, on the same features: FID-infinity (Chong and Forsyth 2020, arXiv:1911.07023; both sets shrink together), KID "
        "(Binkowski et al. 2018, arXiv:1801.01401; unbiased), precision and recall (Kynkaanniemi et al. 2019, arXiv:1904.06991), "
        "density and coverage (Naeem et al. 2020, arXiv:2002.09797)."
    )

    def measure(self, real, synthetic):
        from tasks.gates._frechet import obstacle, unjudged

        weights = inception_weights()
        if weights is None:
            reason = f"FID cannot be judged: the Inception weights are not here. Set {SETTING} to a local copy of pytorch-fid's weights."
            return unjudged(real, synthetic, UNIT, reason, needs=(SETTING,))
        digest = check_weights(weights, self.config)
        why = obstacle(real, synthetic, 10)
        if why is not None:
            return unjudged(real, synthetic, UNIT, f"FID cannot be judged: {why}.")
        features = self._features(weights, digest, [synthetic, real.holdout, real.test])
        if not all(np.isfinite(of).all() for of in features):
            return unjudged(real, synthetic, UNIT, "FID cannot be judged: the network gave features that are not finite.")
        return self._finding(features, real, digest)

    def _features(self, weights: Path, digest: str, sets: list[Images]) -> list[np.ndarray]:
        """Features N x 2048 of synthetic, holdout and test images; those of the real ones are kept for the next time."""
        import torch

        from models.determinism import pick_device
        from models.inception import inception_features, load_inception
        from schema.settings import device as asked
        from tasks.gates._features import features_of

        device = pick_device(asked())
        try:
            network = load_inception(torch.load(weights, map_location="cpu", weights_only=True), device)
        except RuntimeError as error:
            raise SynthmillError(f"{SETTING} names weights of another layout than pytorch-fid's: {str(error)[:200]}") from None
        extractor = {
            "weights": digest,
            "precision": self.config.precision,
            "device": device.type,
            "torch": torch.__version__,
            "code": sha256_file(ROOT / "models" / "inception.py"),
        }

        def compute(pixels: np.ndarray, tick: Callable[[int], None]) -> np.ndarray:
            return inception_features(network, pixels, device, tick, precision=self.config.precision)

        return features_of("gate fid", "Inception features", sets, extractor, compute)

    def _finding(self, features: list[np.ndarray], real, digest: str) -> Finding:
        """From features N x 2048 of synthetic, holdout and test images."""
        from models.frechet import distance_at_infinity, feature_distance
        from models.manifold import polynomial_kernel
        from tasks.gates._frechet import Sample, compare, excess_finding
        from tasks.gates._manifold import kernel_distances, kernel_evidence, neighbour_evidence, sampled
        from tasks.progress import ticking

        draws, seed = self.config.bootstrap, self.config.seed
        names = [str(row) for row in range(len(features[0]))], real.holdout.patients, real.test.patients
        synthetic, holdout, test = (Sample(of, patients) for of, patients in zip(features, names, strict=True))
        with ticking("gate fid", "distances", 2, "comparison") as ticker:
            few = [sampled(of.features, of.patients, seed) for of in (synthetic, holdout, test)]
            kid = kernel_distances(*few, polynomial_kernel, 10 * draws, seed)
            evidence = {
                "features": DIMENSIONS,
                "network": f"Inception-v3 of pytorch-fid in {self.config.precision}",
                "weights_sha256": digest,
                **kernel_evidence("kid", kid),
                **neighbour_evidence(*few, 10 * draws, seed),
            }
            ticker.update()
            n = {"synthetic": len(synthetic), "holdout": len(holdout), "test": len(test)}
            if min(n.values()) < DIMENSIONS:
                reason = f"FID cannot be judged: {min(n.values())} images are fewer than {DIMENSIONS} feature dimensions."
                return Finding(None, None, None, n, UNIT, reason, evidence, Status.INSUFFICIENT)
            found = compare(synthetic.features, holdout, test, draws, seed, 1.0)
            infinity = [distance_at_infinity(of.features, test.features, self.config.infinity_points, seed) for of in (synthetic, holdout)]
            ticker.update()
        low, high = found["interval"]
        return excess_finding(
            found,
            len(test),
            UNIT,
            (
                f"FID {found['distance']:.2f} where real images have {found['null'].value:.2f} among themselves: an excess of "
                f"{found['excess']:.2f} ({low:.2f} to {high:.2f}), at most {self.config.threshold:g} being allowed."
            ),
            {
                "fid": feature_distance(synthetic.features, test.features),
                "fid_infinity": infinity[0],
                "null_fid_infinity": infinity[1],
                **evidence,
            },
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
