"""`cmmd`: maximum mean discrepancy on CLIP's image embeddings; INSUFFICIENT where the weights cannot be had."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from schema.digest import sha256_bytes, sha256_file, sha256_set
from schema.errors import SynthmillError
from schema.images import Images
from schema.params import GateConfig
from schema.settings import ROOT, clip_weights
from schema.verdict import Null
from tasks.gates import Finding, Gate

SETTING = "SYNTHMILL_CLIP_WEIGHTS"
SIGMA, SCALE = 10.0, 1000.0
"""Of the Gaussian kernel and of the result (Jayasumana et al. 2024, section 5)."""
UNIT = "CMMD in excess of real against real"
FEWEST = 32
"""Fewer images than this leave an interval that says nothing."""


class Config(GateConfig):
    kind: Literal["cmmd"] = "cmmd"
    threshold: float = Field(ge=0, allow_inf_nan=False, description="largest excess of the CMMD over real against real")
    weights_sha256: str | None = Field(
        default=None, min_length=8, description="sha256 of model.safetensors, or how it begins; must be given where the gate is required"
    )
    images: int = Field(default=2048, ge=FEWEST, description="images drawn from each set")
    seed: int = Field(default=0, ge=0)
    bootstrap: int = Field(default=1000, ge=100, description="bootstrap draws")


class Plugin(Gate):
    kind = "cmmd"
    Config = Config
    direction = "at_most"
    method = (
        "CMMD (Jayasumana et al. 2024, arXiv:2401.09603): squared maximum mean discrepancy with a Gaussian kernel (sigma 10, times 1000) "
        "between CLIP embeddings of unit length, of synthetic and of real test images; by the unbiased estimator (Gretton et al. 2012, "
        "JMLR 13, lemma 6; pairs of one patient left out), so that it holds for few images. Null: real holdout images against real test "
        "images. Interval: 95 % bootstrap of the excess by patient (t on the deviation of the draws)."
    )

    def measure(self, real, synthetic):
        from tasks.gates._frechet import drawn, obstacle, unjudged

        folder = clip_weights()
        if folder is None:
            reason = (
                f"CMMD cannot be judged: CLIP's weights are not here. Set {SETTING} to a local folder of CLIP in the layout of Hugging "
                "Face transformers (config.json, model.safetensors, preprocessor_config.json)."
            )
            return unjudged(real, synthetic, UNIT, reason, needs=(SETTING,))
        if self.config.required and self.config.weights_sha256 is None:
            reason = "CMMD cannot be judged: any weights would do. Give gates.cmmd.weights_sha256, or set required: false."
            return unjudged(real, synthetic, UNIT, reason)
        digest = check_weights(folder, self.config)
        why = obstacle(real, synthetic, FEWEST)
        if why is not None:
            return unjudged(real, synthetic, UNIT, f"CMMD cannot be judged: {why}.")
        sets = [drawn(images, self.config.images, [self.config.seed, k]) for k, images in enumerate((synthetic, real.holdout, real.test))]
        embeddings = self._embeddings(folder, digest, sets)
        if not all(np.isfinite(of).all() for of in embeddings):
            return unjudged(real, synthetic, UNIT, "CMMD cannot be judged: the network gave embeddings that are not finite.")
        if np.ptp(embeddings[2], axis=0).max() < 1e-6:
            return unjudged(real, synthetic, UNIT, "CMMD cannot be judged: the real test images are all alike to the network.")
        return self._finding(embeddings, sets, digest)

    def _embeddings(self, folder: Path, digest: str, sets: list[Images]) -> list[np.ndarray]:
        """Embeddings N x D of synthetic, holdout and test images; those of the real ones are kept for the next time."""
        import torch
        import transformers

        from models.clip import clip_embeddings, load_clip
        from models.determinism import pick_device
        from schema.settings import device as asked
        from tasks.gates._features import features_of

        device = pick_device(asked())
        try:
            network, processor = load_clip(folder, device)
        except (OSError, ValueError, RuntimeError) as error:
            raise SynthmillError(f"{SETTING} names a folder that CLIP cannot be read from: {str(error)[:300]}") from None
        extractor = {
            "weights": digest,
            "processor": sha256_bytes(processor.to_json_string().encode()),
            "device": device.type,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "code": sha256_file(ROOT / "models" / "clip.py"),
        }

        def compute(pixels: np.ndarray, tick: Callable[[int], None]) -> np.ndarray:
            return clip_embeddings(network, processor, pixels, device, tick)

        return features_of("gate cmmd", "CLIP embeddings", sets, extractor, compute)

    def _finding(self, embeddings: list[np.ndarray], sets: list[Images], digest: str) -> Finding:
        """From embeddings N x D of synthetic, holdout and test images."""
        from models.manifold import gaussian_kernel
        from tasks.gates._frechet import REAL_NULL, Sample
        from tasks.gates._manifold import kernel_distances, neighbour_evidence

        samples = [Sample(of, images.patients) for of, images in zip(embeddings, sets, strict=True)]
        draws, seed = self.config.bootstrap, self.config.seed
        found = kernel_distances(*samples, lambda a, b: SCALE * gaussian_kernel(a, b, SIGMA), draws, seed)
        (distance, _), (null, null_interval), (excess, (low, high)) = found["distance"], found["null"], found["excess"]
        return Finding(
            value=excess,
            interval=(low, high),
            null=Null(value=null, interval=null_interval, what=REAL_NULL),
            n=dict(zip(("synthetic", "holdout", "test"), map(len, samples), strict=True)),
            unit=UNIT,
            reason=(
                f"CMMD {distance:.3f} where real images have {null:.3f} among themselves: an excess of {excess:.3f} "
                f"({low:.3f} to {high:.3f}), at most {self.config.threshold:g} being allowed."
            ),
            evidence={
                "distance": distance,
                "null_distance": null,
                "features": embeddings[0].shape[1],
                "network": "vision tower of CLIP",
                "weights_sha256": digest,
                **neighbour_evidence(*samples, draws, seed),
            },
        )


def check_weights(folder: Path, config: Config) -> str:
    """The sha256 of the folder's safetensors file (of several, that of the set of their digests). Raises SynthmillError where there
    is none, or not the one that params.yaml asks for."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise SynthmillError(
            f"{SETTING} names {folder}, where there are no *.safetensors: save CLIP there with save_pretrained, or unset it"
        )
    digests = [sha256_file(path) for path in files]
    digest = digests[0] if len(digests) == 1 else sha256_set(digests)
    if not digest.startswith(config.weights_sha256 or ""):
        raise SynthmillError(
            f"{SETTING} names weights with sha256 {digest[:16]}..., and gates.cmmd.weights_sha256 asks for {config.weights_sha256}: "
            "give the weights that the threshold was set for"
        )
    return digest
