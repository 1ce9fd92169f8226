"""What training starts from: `train.init`, the weights of a model that is there already, and a generator's `base`.

Aliases of the registry move, and folders change, so what they stand for now is written down by the stage `scan`, as a digest that
training depends on. Where weights are fetched from cannot change a result: they are the ones of that digest, or they are refused.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import catalog.reader
from catalog import store, versions
from schema import starts as references
from schema.conditions import Condition
from schema.digest import read_json, sha256_json, write_json
from schema.errors import IntegrityError, SynthmillError, UsageError
from schema.params import Training, nearest
from schema.release import Release
from schema.settings import root
from tasks.ingesting.seen import Seen
from tasks.stage import model_folder
from tasks.weights import read_model

if TYPE_CHECKING:
    from models.generators import Shape

PICKLES = (".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth")
GET_AGAIN = "get the model again from where it was trained"
NOTHING = {"init": None, "digest": None, "base": None}


@dataclass(frozen=True)
class Start:
    """The model that `reference` stands for now, by the digest in its model.json, and where it is: in a folder, in a run of the
    registry, or beside a release."""

    reference: str
    digest: str
    folder: Path | None = None
    run_id: str | None = None
    release: Release | None = None


def starts_file(dataset: str) -> Path:
    return root() / "data" / "starts" / f"{dataset}.json"


def look(dataset: str, section: Training) -> dict[str, Any]:
    """What training would start from now: {"init", "digest", "base"}, each None where there is nothing of it. Raises as `resolve` does."""
    start = resolve(section.init) if section.init else None
    base = base_of(dataset, section.options())
    return NOTHING if start is None and base is None else {**_named(start), "base": base}


def changed(dataset: str, section: Training) -> bool:
    """Whether training would start from something else than when it was last looked at."""
    path = starts_file(dataset)
    return not path.is_file() or read_json(path) != look(dataset, section)


def write(dataset: str, section: Training) -> None:
    """Writes data/starts/<dataset>.json. Raises as `resolve` does."""
    write_json(starts_file(dataset), look(dataset, section))


def settled(dataset: str, section: Training) -> Start | None:
    """What training starts from, None for random weights. Raises SynthmillError where that is no longer what `scan` wrote down."""
    path = starts_file(dataset)
    said, now = read_json(path) if path.is_file() else NOTHING, look(dataset, section)
    if said != now:
        names = {"digest": "train.init", "init": "train.init", "base": "train.base"}
        moved = sorted({names[key] for key in now if said.get(key) != now[key]})
        raise SynthmillError(
            f"{' and '.join(moved)} of {dataset} stands for something else than {path} says, which this build was planned by: "
            f"run `./mill run {dataset}` again"
        )
    return resolve(section.init) if section.init else None


def base_of(dataset: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a generator's `base` is: a folder by the digest of its files, whatever it is called; a hub's model by id and revision."""
    base = options.get("base")
    if not isinstance(base, str):
        return None
    folder = references.folder_of(base)
    if not folder.is_dir():
        return {"id": base, "revision": options.get("revision")}
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    # A name of its own beside the source's: no dataset can have a dot in its name.
    digests = Seen(f"{dataset}.base").look(files)
    return {"digest": sha256_json([[path.relative_to(folder).as_posix(), digest] for path, digest in digests.items()])}


def resolve(reference: str) -> Start:
    """The model that `train.init` names, as things are now.

    Raises UsageError for what does not exist, saying what does, SynthmillError where it cannot be told what is meant.
    """
    asked = references.parse(reference)
    if asked.kind == "folder":
        return _in_folder(reference)
    if asked.kind == "release":
        return _released(reference, asked)
    from tasks import tracking

    name = tracking.model_name(asked.name) if asked.kind == "alias" else asked.name
    found = tracking.registered(name, asked.mark)
    if found is None:
        there = tracking.aliases(name)
        dataset = asked.name if asked.kind == "alias" else name.removeprefix(tracking.model_name(""))
        raise UsageError(
            f"train.init is {reference}, and the model registry has no {name}@{asked.mark}{nearest(asked.mark, there)} "
            f"(aliases of {name}: {', '.join(there) or 'none'}): `./mill run {dataset}` trains and registers one"
        )
    run_id, digest = found
    if digest is None:
        raise SynthmillError(
            f"train.init is {reference}, which synthmill did not register (it has no tag synthmill.model_digest), so nothing vouches for "
            "its weights: name a model that `./mill run` trained"
        )
    return Start(reference, digest, run_id=run_id)


def check(dataset: str, section: Training, kind: str, shape: "Shape", labels: Sequence[str], told: Sequence[Condition]) -> None:
    """Raises SynthmillError for a start that cannot be had or does not fit, as far as can be known without reading its weights."""
    if section.init is None:
        return
    start = resolve(section.init)
    model = model_folder(dataset) / "model.json"
    if model.is_file() and (read_json(model).get("init") or {}).get("digest") == start.digest:
        return  # It was trained from there already: whether those weights are still here does not matter.
    kept = root() / "data" / "scratch" / "starts" / f"{start.digest[:16]}.json"
    if not kept.is_file():
        with tempfile.TemporaryDirectory(prefix="synthmill-") as scratch:
            write_json(kept, _model_json(_bring(start, Path(scratch), "model.json"), start.reference))
    said = read_json(kept)
    check_fit(start, said, kind, shape, labels, told)
    is_public(start, said, section)


def fetch(start: Start, scratch: Path) -> tuple[Path, dict[str, Any]]:
    """The folder with the start's weights, put under `scratch` unless it is on this machine's disk already, and its model.json.

    Raises SynthmillError where they are nowhere to be had, IntegrityError unless they are the ones that the digest names, and refuses
    pickles: reading one runs the code in it.
    """
    folder = _bring(start, scratch / "start")
    _refuse_pickles(start, folder)
    try:
        said = read_model(folder)
    except IntegrityError:
        raise IntegrityError(
            f"train.init is {start.reference}, and the weights in {folder} are not the ones that its model.json names: {GET_AGAIN}"
        ) from None
    if said["digest"] != start.digest:
        raise IntegrityError(
            f"train.init is {start.reference}, which is the model {start.digest[:16]}, and {folder} holds {said['digest'][:16]}: {GET_AGAIN}"
        )
    _refuse_damaged(start, folder)
    return folder, said


def check_fit(start: Start, said: Mapping[str, Any], kind: str, shape: "Shape", labels: Sequence[str], told: Sequence[Condition]) -> None:
    """Raises SynthmillError unless a model of this kind, shape, labels and conditions can start from the one that model.json describes."""
    if said["kind"] != kind:
        raise SynthmillError(f"train.init {start.reference} is a {said['kind']} model, and train.kind is {kind}: name one of that kind")
    theirs = {
        **{f"image.{side}": said["shape"][side] for side in ("height", "width", "channels")},
        "labels": said["labels"],
        "conditions": {each["attribute"]: each["values"] for each in said.get("conditions", [])},
    }
    ours = {
        **{f"image.{side}": getattr(shape, side) for side in ("height", "width", "channels")},
        "labels": list(labels),
        "conditions": {each.attribute: list(each.values) for each in told},
    }
    differs = [f"{name} {_short(theirs[name])} there and {_short(ours[name])} here" for name in ours if theirs[name] != ours[name]]
    if differs:
        raise SynthmillError(
            f"train.init {start.reference} draws something else than this dataset asks for ({'; '.join(differs)}): "
            "name a model of the same, or leave train.init out"
        )


def is_public(start: Start, said: Mapping[str, Any], section: Training) -> bool:
    """Whether the start saw public images alone, by its own model.json or by the user's word in `train.privacy.public_init`.

    Raises SynthmillError where it did not and this training is to be differentially private.
    """
    privacy = section.options().get("privacy")
    public = bool(said.get("public")) or bool(privacy and privacy.get("public_init"))
    if privacy and not public:
        raise SynthmillError(
            f"train.init {start.reference} was trained on images that are not known to be public, and train.privacy would promise nothing "
            "to the patients in them: start from a model of phantoms, leave train.init out, or, if those images are public, say "
            "`public_init: true` in train.privacy"
        )
    return public


def _named(start: Start | None) -> dict[str, Any]:
    return {"init": start.reference, "digest": start.digest} if start else {"init": None, "digest": None}


def _in_folder(reference: str) -> Start:
    folder = references.folder_of(reference)
    if not (folder / "model.json").is_file():
        what = "has no model.json, so it is no model that synthmill saved" if folder.is_dir() else "is no folder"
        raise UsageError(f"train.init is {reference}, and {folder} {what}: name {references.EXAMPLES}")
    if folder.resolve().parent == model_folder("any").parent.resolve():
        raise UsageError(
            f"train.init is {reference}, which the build of {folder.name} replaces: name {folder.name}@candidate, which is the same model"
        )
    return Start(reference, _model_json(folder, reference)["digest"], folder=folder)


def _released(reference: str, asked: references.Reference) -> Start:
    try:
        release = versions.find(reference)
    except UsageError as error:
        known = sorted(release.tag for release in versions.releases())
        raise UsageError(f"train.init is {reference}{nearest(reference, known)}: {error}") from None
    said = catalog.reader.said_of(release, root() / "data" / "scratch" / "starts", root())
    return Start(reference, said["model"]["digest"], release=release)


def _bring(start: Start, to: Path, name: str | None = None) -> Path:
    """The folder that holds the start, or the one file `name` of it. Raises SynthmillError with where it was looked for."""
    if start.folder:
        return start.folder
    from tasks import tracking

    path = f"model/{name}" if name else "model"
    if start.run_id:
        found = tracking.download(start.run_id, to, path)
        return found.parent if name else found
    for run_id in tracking.runs_with(start.digest):
        try:
            found = tracking.download(run_id, to, path)
        except SynthmillError:
            continue  # Another run may have the same weights, and after the registry comes DVC's cache.
        return found.parent if name else found
    return _out_of_dvc(start, to / "model", name)


def _out_of_dvc(start: Start, to: Path, name: str | None) -> Path:
    tag, dataset = start.release.tag, start.release.dataset
    try:
        store.trained(root(), f"refs/tags/{tag}", dataset, to, [name] if name else [])
        why = ""
    except SynthmillError as error:
        why = f" ({error})"
    if not (to / "model.json").is_file():
        raise SynthmillError(
            f"train.init is {start.reference}, and its weights ({start.digest[:16]}) are not on this machine: neither the model registry "
            f"nor DVC's cache has them{why}. They are never published: run where {dataset} was trained or its DVC cache is shared, "
            f"set MLFLOW_TRACKING_URI to the registry that has them, or check {tag} out and train it again"
        )
    return to


def _model_json(folder: Path, reference: str) -> dict[str, Any]:
    try:
        said = read_json(folder / "model.json")
        return {**said, "digest": str(said["digest"]), "kind": said["kind"], "shape": said["shape"], "labels": said["labels"]}
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise IntegrityError(
            f"train.init is {reference}, and {folder / 'model.json'} does not describe a model of synthmill: {GET_AGAIN}"
        ) from None


def _refuse_pickles(start: Start, folder: Path) -> None:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICKLES)
    if found:
        raise SynthmillError(
            f"train.init is {start.reference}, and {found[0]} is a pickle, which could run code and is never read: "
            "save the model as safetensors where you trust it, and name that"
        )


def _refuse_damaged(start: Start, folder: Path) -> None:
    """Raises IntegrityError unless every .safetensors is one: a header of JSON and tensors that fill the file."""
    from safetensors import SafetensorError, safe_open

    for path in sorted(folder.rglob("*.safetensors")):
        try:
            with safe_open(path, "pt"):
                pass
        except SafetensorError as error:
            with path.open("rb") as stream:
                head = stream.read(2)
            what = "a pickle under another name, which is never read" if head in (b"PK", *_PROTOCOLS) else f"damaged ({error})"
            raise IntegrityError(f"train.init is {start.reference}, and {path} is {what}: {GET_AGAIN}") from None


_PROTOCOLS = tuple(bytes([0x80, number]) for number in range(2, 6))
"""How a pickle of protocol 2 to 5 begins; torch's newer files are a zip archive with one in it."""


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
