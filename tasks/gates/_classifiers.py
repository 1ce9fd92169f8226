"""Which network judges utility, and how it is trained."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from schema.digest import sha256_file, sha256_json
from schema.errors import SynthmillError
from schema.settings import vit_weights

SETTING = "SYNTHMILL_VIT_WEIGHTS"
FILES = ("config.json", "model.safetensors")
VIT_FROM = 64
"""Height and width from which `auto` takes a vision transformer for colour images."""


@dataclass(frozen=True)
class Judge:
    """`train(pixels, labels, seed) -> network`, and what the evidence says of it."""

    train: Callable[[np.ndarray, np.ndarray, int], Any]
    about: dict[str, str]


def choose(asked: str, shape: tuple[int, int, int]) -> str:
    """`small-cnn` or `vit` for images of H x W x C; `auto` takes the ViT for colour images of 64 px and more."""
    height, width, channels = shape
    if asked != "auto":
        return asked
    return "vit" if channels == 3 and min(height, width) >= VIT_FROM else "small-cnn"


def judge_network(kind: str, classes: int, steps: int, weights_sha256: str | None, device, tick: Callable[[], None]) -> Judge:
    """Raises SynthmillError for pretrained weights that are not the ones that params.yaml asks for, or not of a ViT."""
    if kind == "small-cnn":
        from models.classifier import train_classifier

        return Judge(
            lambda pixels, labels, seed: train_classifier(pixels, labels, classes, steps, seed, device, tick=tick), {"network": "small CNN"}
        )
    from models.vit import train_vit

    if weights_sha256 is None:
        vit, about = None, {"network": "vision transformer, from scratch"}
    else:
        vit, digest = _pretrained(vit_weights(), weights_sha256)
        about = {"network": "vision transformer, pretrained, fine-tuned whole", "weights_sha256": digest}
    return Judge(lambda pixels, labels, seed: train_vit(pixels, labels, classes, steps, seed, device, vit, tick), about)


def _pretrained(folder: Path, asked: str):
    """The ViT in `folder`, and the folder's digest: of the sha256 of both its files."""
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise SynthmillError(f"{SETTING} names {folder}, which has no {' and no '.join(missing)}: give a folder as transformers saves one")
    digest = sha256_json([[name, sha256_file(folder / name)] for name in FILES])
    if not digest.startswith(asked):
        raise SynthmillError(f"{SETTING} names weights of digest {digest}, and gates.utility.weights_sha256 asks for {asked}")
    from transformers import ViTModel

    vit, said = ViTModel.from_pretrained(
        folder, add_pooling_layer=False, local_files_only=True, use_safetensors=True, attn_implementation="eager", output_loading_info=True
    )
    if said["missing_keys"]:
        raise SynthmillError(f"the weights in {folder} are not a whole ViT: {len(said['missing_keys'])} tensors are missing")
    return vit, digest
