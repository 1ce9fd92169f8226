"""Trained weights on the disk: a folder a component in diffusers' own layout (safetensors, config beside it), and model.json."""

from pathlib import Path
from typing import Any

import models.generators
from models.determinism import pick_device
from models.generators import Generator, Shape
from schema.conditions import Condition
from schema.digest import read_json, sha256_file, sha256_json, write_json
from schema.errors import IntegrityError, SynthmillError, UsageError
from schema.params import Sample, Training, validate
from schema.plugins import named
from schema.privacy import PrivacyAccount
from schema.settings import device, perceptual_weights

PERCEPTUAL = "SYNTHMILL_PERCEPTUAL_WEIGHTS"


def build(dataset: str, section: Training, manifest: dict, plan: Sample) -> Generator:
    """An untrained generator for what an ingest manifest describes, on the device of the environment, with all that training needs.

    Raises UsageError where it could not train on such images, or not be sampled by this plan: `check` said so, unless nobody asked it.
    """
    plugin = named(models.generators, section.kind, f"datasets.{dataset}.train")
    config = validate(plugin.Config, section.options(), f"datasets.{dataset}.train")
    told = section.conditions_of(manifest.get("attributes", {}))
    shape = Shape(**manifest["image"], classes=len(manifest["labels"]), conditions=[len(one.values) for one in told])
    try:
        place = pick_device(device())
    except (ValueError, RuntimeError) as error:
        raise SynthmillError(f"SYNTHMILL_DEVICE={device()!r} cannot be used: {error}") from None
    if objection := plugin.objections(config, shape, plan) or plugin.misworded(config, manifest["labels"], told):
        raise UsageError(f"datasets.{dataset}: {objection}")
    return equipped(plugin(config, shape, place, manifest["labels"], told))


def equipped(generator: Generator) -> Generator:
    """The generator, given the pretrained features that its training compares images by, where it asks for any.

    Raises SynthmillError where they are not here, or are not the ones that params.yaml asks for.
    """
    asked = generator.features_sha256
    if asked is not None:
        generator.features = _features(asked)
    return generator


def _features(asked: str):
    from models.learning.perceptual import load_perceptual

    path = perceptual_weights()
    if path is None:
        raise SynthmillError(
            f"a perceptual loss is asked for, and the network that it compares images by is not here: set {PERCEPTUAL} to a local file of "
            "SqueezeNet v1.0 or VGG-16, or take `perceptual` out of the train section"
        )
    if not path.is_file():
        raise SynthmillError(f"{PERCEPTUAL} names {path}, which is not a file: mend the path")
    digest = sha256_file(path)
    if not digest.startswith(asked):
        raise SynthmillError(f"{PERCEPTUAL} names a file with sha256 {digest[:16]}..., and params.yaml asks for {asked}: give that file")
    try:
        return load_perceptual(_arrays(path))
    except ValueError as error:
        raise SynthmillError(f"{PERCEPTUAL} names weights of another layout: {error}") from None


def _arrays(path: Path) -> dict:
    import numpy as np
    import torch

    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def save(
    generator: Generator,
    folder: Path,
    dataset_digest: str,
    loss: float,
    canaries: dict | None = None,
    privacy: PrivacyAccount | None = None,
    init: dict | None = None,
    public: bool = False,
) -> dict:
    """Writes the weights and model.json into `folder`; what model.json says.

    `canaries` is the record of what was planted in training, `privacy` the account of a differentially private one, `init` what it
    started from, and `public` whether all images that it ever saw were public. The digest vouches for each of them: a model whose
    account was edited is another model.
    """
    for name, component in generator.components().items():
        component.save_pretrained(folder / name)
    if (pipeline := generator.pipeline()) is not None:
        pipeline.save_config(folder)
    training = {"canaries": canaries, "privacy": privacy.model_dump(mode="json") if privacy else None, "init": init, "public": public}
    said = {
        "kind": generator.kind,
        "parameters": sum(
            tensor.numel() for part in generator.components().values() if hasattr(part, "parameters") for tensor in part.parameters()
        ),
        "params": generator.config.model_dump(mode="json"),
        "shape": vars(generator.shape),
        "labels": generator.labels,
        "conditions": [condition.model_dump(mode="json") for condition in generator.conditions],
        "dataset_digest": dataset_digest,
        "loss": loss,
        **training,
    }
    said = {"digest": _digest(folder, said), **said}
    write_json(folder / "model.json", said)
    return said


def open_model(folder: Path) -> tuple[Generator, dict]:
    """The generator that was saved in `folder`, ready to sample, and its model.json. Raises as `read_model` does."""
    said = read_model(folder)
    plugin = named(models.generators, said["kind"], str(folder / "model.json"))
    told = [Condition(**condition) for condition in said["conditions"]]
    generator = plugin(plugin.Config(**said["params"]), Shape(**said["shape"]), pick_device(device()), said["labels"], told)
    generator.adopt(components(folder, plugin))
    return generator, said


def components(folder: Path, plugin: type[Generator]) -> dict[str, Any]:
    """The objects of diffusers and transformers that a generator was saved as. Weights are read from safetensors alone, never from a
    pickle."""
    kinds = {name: _class(kind) for name, kind in plugin.parts.items()}
    # A scheduler and a tokenizer have no weights, and do not know the word.
    safe = {name: {"use_safetensors": True} if hasattr(kind, "parameters") else {} for name, kind in kinds.items()}
    return {name: kind.from_pretrained(folder / name, **safe[name]) for name, kind in kinds.items()}


def _class(name: str) -> Any:
    """The class of this name, of diffusers or, where that has none, of transformers."""
    import diffusers
    import transformers

    transformers.utils.logging.disable_progress_bar()
    return getattr(diffusers, name, None) or getattr(transformers, name)


def read_model(folder: Path) -> dict:
    """model.json of the model that was saved in `folder`.

    Raises SynthmillError if it is missing, IntegrityError if the weights, or what was recorded of their training, are not the
    ones that it vouches for.
    """
    path = folder / "model.json"
    if not path.is_file():
        raise SynthmillError(f"{path} is missing: train first (`./mill run {folder.name}` runs every stage)")
    said = read_json(path)
    if _digest(folder, said) != said["digest"]:
        raise IntegrityError(f"the weights in {folder} are not the ones that {path.name} names: delete the folder and run again")
    return said


def _digest(folder: Path, said: dict) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "model.json")
    # A claim of privacy is judged by these too: none of them can be edited either.
    judged_by = ("params", "shape", "dataset_digest") if said.get("privacy") else ()
    training = [[name, said[name]] for name in ("canaries", "privacy", "init", "public", *judged_by) if said.get(name)]
    return sha256_json([[path.relative_to(folder).as_posix(), sha256_file(path)] for path in files] + training)
