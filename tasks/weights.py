"""Trained weights on the disk: a folder a component in diffusers' own layout (safetensors, config beside it), and model.json."""

from pathlib import Path

import models.generators
from models.determinism import pick_device
from models.generators import Generator, Shape
from schema.digest import read_json, sha256_file, sha256_json, write_json
from schema.errors import IntegrityError, SynthmillError
from schema.params import validate
from schema.plugins import named
from schema.settings import device


def build(dataset: str, section: dict, manifest: dict) -> Generator:
    """An untrained generator for what an ingest manifest describes, on the device of the environment."""
    plugin = named(models.generators, section["kind"], f"datasets.{dataset}.train")
    config = validate(plugin.Config, section, f"datasets.{dataset}.train")
    shape = Shape(**manifest["image"], classes=len(manifest["labels"]))
    try:
        place = pick_device(device())
    except (ValueError, RuntimeError) as error:
        raise SynthmillError(f"SYNTHMILL_DEVICE={device()!r} cannot be used: {error}") from None
    return plugin(config, shape, place)


def save(generator: Generator, folder: Path, dataset_digest: str, labels: list[str], loss: float) -> dict:
    """Writes the weights and model.json into `folder`; what model.json says."""
    for name, component in generator.components().items():
        component.save_pretrained(folder / name)
    said = {
        "digest": _digest(folder),
        "kind": generator.kind,
        "parameters": sum(
            tensor.numel() for part in generator.components().values() if hasattr(part, "parameters") for tensor in part.parameters()
        ),
        "params": generator.config.model_dump(mode="json"),
        "shape": vars(generator.shape),
        "labels": labels,
        "dataset_digest": dataset_digest,
        "loss": loss,
    }
    write_json(folder / "model.json", said)
    return said


def open_model(folder: Path) -> tuple[Generator, dict]:
    """The generator that was saved in `folder`, ready to sample, and its model.json.

    Raises IntegrityError if the files are not the ones that model.json vouches for.
    """
    import diffusers

    path = folder / "model.json"
    if not path.is_file():
        raise SynthmillError(f"{path} is missing: train first (`./mill run {folder.name}` runs every stage)")
    said = read_json(path)
    if _digest(folder) != said["digest"]:
        raise IntegrityError(f"the weights in {folder} are not the ones that {path.name} names: delete the folder and run again")
    plugin = named(models.generators, said["kind"], str(path))
    generator = plugin(plugin.Config(**said["params"]), Shape(**said["shape"]), pick_device(device()))
    generator.adopt({name: getattr(diffusers, kind).from_pretrained(folder / name) for name, kind in plugin.parts.items()})
    return generator, said


def _digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "model.json")
    return sha256_json([[path.relative_to(folder).as_posix(), sha256_file(path)] for path in files])
