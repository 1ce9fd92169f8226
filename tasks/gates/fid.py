"""`fid`: the Frechet Inception distance on pytorch-fid's weights; INSUFFICIENT where they cannot be had."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from schema.digest import sha256_file
from schema.errors import SynthmillError
from schema.images import Images, RealImages
from schema.params import GateConfig
from schema.settings import ROOT, inception_weights
from schema.verdict import Status
from tasks.gates import Finding, Gate

if TYPE_CHECKING:
    from models.frechet import Moments
    from tasks.gates._features import Extract, Summary
    from tasks.gates._frechet import Sample

OFFICIAL = "6726825d"
"""First digits of the sha256 of pytorch-fid's `pt_inception-2015-12-05-6726825d.pth`, by the naming rule of torch's hub files."""
SETTING = "SYNTHMILL_INCEPTION_WEIGHTS"
DIMENSIONS = 2048
UNIT = "FID in excess of real against real"


@dataclass(frozen=True)
class Summaries:
    """Of as many synthetic as holdout images, and of the test images. `whole`: the moments of all the synthetic ones."""

    synthetic: "Summary"
    holdout: "Summary"
    test: "Summary"
    whole: "Moments"


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
        "The distances are of all images, whose moments are gathered batch by batch; of a set of more than 4096, 4096 drawn at random "
        "give the interval, which is then wider than that of all would be, and what stands beside it. That is, on the same features: "
        "FID-infinity (Chong and Forsyth 2020, arXiv:1911.07023; both sets shrink together), KID "
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
        found = self._summaries(weights, digest, real, synthetic)
        if not all(np.isfinite(of.mean).all() for of in (found.whole, found.holdout.moments, found.test.moments)):
            return unjudged(real, synthetic, UNIT, "FID cannot be judged: the network gave features that are not finite.")
        return self._finding(found, real, digest)

    def _summaries(self, weights: Path, digest: str, real: RealImages, synthetic: Images) -> Summaries:
        """What is held of the features of the images, in memory that does not grow with their number. That of real images is kept for
        the next time."""
        import torch

        from models.determinism import pick_device
        from models.inception import inception_features, load_inception
        from schema.settings import device as asked

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

        def extract(pixels: np.ndarray, tick: Callable[[int], None]) -> np.ndarray:
            return inception_features(network, pixels, device, tick, precision=self.config.precision)

        return self._summarised(real, synthetic, extractor, extract)

    def _summarised(self, real: RealImages, synthetic: Images, extractor: dict[str, str], extract: "Extract") -> Summaries:
        """Of the features that `extract` takes from pixels; `extractor` says all that decides them."""
        from models.frechet import Moments
        from tasks.gates._features import kept_summary, summarise
        from tasks.gates._manifold import MOST
        from tasks.progress import ticking

        n = min(len(synthetic), len(real.holdout))
        sets = synthetic, real.holdout, real.test
        orders = [np.random.default_rng([self.config.seed, k]).permutation(len(of)) for k, of in enumerate(sets)]
        with ticking("gate fid", "Inception features", len(synthetic) + n + len(real.test), "image") as ticker:
            first = summarise(synthetic.pixels, orders[0][:n], MOST, DIMENSIONS, extract, ticker.update)
            rest = summarise(synthetic.pixels, orders[0][n:], 0, DIMENSIONS, extract, ticker.update)
            holdout, test = (
                kept_summary(of.pixels, order, MOST, DIMENSIONS, extractor, extract, ticker.update)
                for of, order in ((real.holdout, orders[1][:n]), (real.test, orders[2]))
            )
            ticker.update(ticker.event["total"] - ticker.done)
        return Summaries(first, holdout, test, Moments(DIMENSIONS).join(first.moments).join(rest.moments))

    def _finding(self, of: Summaries, real: RealImages, digest: str) -> Finding:
        from models.manifold import polynomial_kernel
        from tasks.gates._frechet import Sample, excess_finding
        from tasks.gates._manifold import kernel_distances, kernel_evidence, neighbour_evidence
        from tasks.progress import ticking

        draws, seed = self.config.bootstrap, self.config.seed
        whose = [str(row) for row in of.synthetic.rows], of.holdout.whose(real.holdout), of.test.whose(real.test)
        few = [Sample(part.few.astype(np.float64), names) for part, names in zip((of.synthetic, of.holdout, of.test), whose, strict=True)]
        n = {"synthetic": of.whole.n, "holdout": len(real.holdout), "test": of.test.moments.n}
        with ticking("gate fid", "distances", 2, "comparison") as ticker:
            kid = kernel_distances(*few, polynomial_kernel, 10 * draws, seed)
            evidence = {
                "features": DIMENSIONS,
                "network": f"Inception-v3 of pytorch-fid in {self.config.precision}",
                "weights_sha256": digest,
                **kernel_evidence("kid", kid),
                **neighbour_evidence(*few, 10 * draws, seed),
            }
            ticker.update()
            if min(n.values()) < DIMENSIONS:
                reason = f"FID cannot be judged: {min(n.values())} images are fewer than {DIMENSIONS} feature dimensions."
                return Finding(None, None, None, n, UNIT, reason, evidence, Status.INSUFFICIENT)
            found, beside = self._distances(of, few)
            ticker.update()
        low, high = found["interval"]
        return excess_finding(
            found,
            n["test"],
            UNIT,
            (
                f"FID {found['distance']:.2f} where real images have {found['null'].value:.2f} among themselves: an excess of "
                f"{found['excess']:.2f} ({low:.2f} to {high:.2f}), at most {self.config.threshold:g} being allowed."
            ),
            {**beside, **evidence},
        )

    def _distances(self, of: Summaries, few: list["Sample"]) -> tuple[dict, dict[str, float]]:
        """What `compared` says, and as evidence the FID of all the synthetic images and what it tends to as they become endless."""
        from models.frechet import Reference, distance_at_infinity
        from tasks.gates._frechet import compared

        reference = Reference(of.test.moments.mean, of.test.moments.cov)
        distance, null, whole = (
            reference.distance(moments.mean, moments.cov) for moments in (of.synthetic.moments, of.holdout.moments, of.whole)
        )
        synthetic, holdout, test = few
        random = np.random.default_rng(self.config.seed)
        found = compared(distance, null, of.synthetic.moments.n, synthetic.features, holdout, test, self.config.bootstrap, random)
        infinity = [
            distance_at_infinity(part.features, test.features, self.config.infinity_points, self.config.seed)
            for part in (synthetic, holdout)
        ]
        return found, {"fid": whole, "fid_infinity": infinity[0], "null_fid_infinity": infinity[1]}


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
