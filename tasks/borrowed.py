"""A model that was trained before, here or elsewhere, and is to be trained further: whole, harmless to read, and of the right kind."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schema.conditions import Condition
from schema.digest import read_json
from schema.errors import IntegrityError, SynthmillError
from schema.params import Training
from tasks.weights import read_model

if TYPE_CHECKING:
    from models.generators import Shape

PICKLES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
HEADS = (b"PK", *(bytes([0x80, protocol]) for protocol in range(2, 6)))
"""How a pickle of protocol 2 to 5 begins, and the zip archive that torch puts one in."""

GET_AGAIN = "get the model again from where it was trained"


def described(folder: Path, reference: str) -> dict[str, Any]:
    """model.json of a folder, its weights unseen. Raises IntegrityError for one that no model of synthmill has."""
    try:
        said = read_json(folder / "model.json")
        sides = [int(said["shape"][side]) for side in ("height", "width", "channels")]
        strings = [said["digest"], said["kind"], *said["labels"]]
    except (ValueError, KeyError, TypeError):
        sides, strings = [], [None]
    if not sides or not all(isinstance(each, str) for each in strings):
        raise IntegrityError(f"train.init is {reference}, and {folder / 'model.json'} does not describe a model of synthmill: {GET_AGAIN}")
    return said


def verified(folder: Path, digest: str, reference: str) -> dict[str, Any]:
    """model.json of a folder whose weights are the ones that the digest names.

    Raises IntegrityError for others and for damaged ones, and SynthmillError for pickles: reading one runs the code in it.
    """
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICKLES:
            raise SynthmillError(
                f"train.init is {reference}, and {path} is a pickle, which could run code and is never read: "
                "save the model as safetensors where you trust it, and name that"
            )
    described(folder, reference)
    try:
        said = read_model(folder)
    except IntegrityError:
        raise IntegrityError(
            f"train.init is {reference}, and the weights in {folder} are not the ones that its model.json names: {GET_AGAIN}"
        ) from None
    if said["digest"] != digest:
        raise IntegrityError(
            f"train.init is {reference}, which stands for the model {digest[:16]}, and {folder} holds {said['digest'][:16]}: {GET_AGAIN}"
        )
    for path in sorted(folder.rglob("*.safetensors")):
        _refuse_damaged(path, reference)
    return said


def _refuse_damaged(path: Path, reference: str) -> None:
    """Raises IntegrityError unless the file is what safetensors are: a header of JSON, and tensors that fill the rest."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt"):
            return
    except SafetensorError as error:
        with path.open("rb") as stream:
            head = stream.read(2)
        what = "a pickle under another name, which is never read" if head in HEADS else f"damaged ({error})"
    raise IntegrityError(f"train.init is {reference}, and {path} is {what}: {GET_AGAIN}")


def check_fit(reference: str, said: Mapping[str, Any], kind: str, shape: "Shape", labels: Sequence[str], told: Sequence[Condition]) -> None:
    """Raises SynthmillError unless a model of this kind, shape, labels and conditions can start from the one that model.json describes.

    Classes of other names stand for one another by their places: a model of drawn opacities may learn pneumonia.
    """
    if said["kind"] != kind:
        raise SynthmillError(f"train.init {reference} is a {said['kind']} model, and train.kind is {kind}: name one of that kind")
    theirs = {
        **{f"image.{side}": said["shape"][side] for side in ("height", "width", "channels")},
        "labels": said["labels"] if sorted(said["labels"]) == sorted(labels) else len(said["labels"]),
        "conditions": [_told(Condition(**each)) for each in said.get("conditions", [])],
    }
    ours = {
        **{f"image.{side}": getattr(shape, side) for side in ("height", "width", "channels")},
        "labels": list(labels) if sorted(said["labels"]) == sorted(labels) else len(labels),
        "conditions": [_told(each) for each in told],
    }
    differs = [f"{name} {_written(theirs[name])} there and {_written(ours[name])} here" for name in ours if theirs[name] != ours[name]]
    if differs:
        raise SynthmillError(
            f"train.init {reference} draws something else than this dataset asks for ({'; '.join(differs)}): "
            "name a model of the same, or leave train.init out"
        )


def _told(condition: Condition) -> list[Any]:
    """Name, words and edges: a network knows each by its place alone."""
    return [condition.name, list(condition.values), list(condition.edges)]


def is_public(reference: str, said: Mapping[str, Any], section: Training) -> bool:
    """Whether the start saw public images alone, by its own model.json or by the user's word in `train.privacy.public_init`.

    Raises SynthmillError where it did not and this training is to be differentially private.
    """
    privacy = section.options().get("privacy")
    public = bool(said.get("public")) or bool(privacy and privacy.get("public_init"))
    if privacy and not public:
        raise SynthmillError(
            f"train.init {reference} was trained on images that are not known to be public, and train.privacy would promise nothing "
            "to the patients in them: start from a model of phantoms, leave train.init out, or, if those images are public, say "
            "`public_init: true` in train.privacy"
        )
    return public


def base_is_public(section: Training) -> bool:
    """Whether a generator's `base` is known to have seen public images alone: drawn phantoms, or what `train.privacy.public_init` says.

    Raises SynthmillError where it is not and this training is to be differentially private.
    """
    options = section.options()
    privacy, base = options.get("privacy"), options.get("base")
    public = not isinstance(base, str) or bool(privacy and privacy.get("public_init"))
    if privacy and not public:
        raise SynthmillError(
            f"train.base {base} is not known to be made of public images, and train.privacy would promise nothing to the people in them: "
            "take a base of phantoms, or, if those images are public, say `public_init: true` in train.privacy"
        )
    return public


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
