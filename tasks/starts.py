"""What training starts from: `train.init`, the weights of a model that is there already, and a generator's `base`.

Aliases of the registry move, and folders change, so what they stand for now is written down by the stage `scan`, as a digest that
training depends on. Where weights are fetched from cannot change a result: they are the ones of that digest, or they are refused.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import catalog.reader
from catalog import ledger, store, versions
from schema import starts as references
from schema.conditions import Condition
from schema.digest import read_json, sha256_json, write_json
from schema.errors import SynthmillError, UsageError
from schema.params import Training, nearest
from schema.release import Release
from schema.settings import root
from tasks import borrowed
from tasks.ingesting.seen import Seen
from tasks.stage import model_folder

if TYPE_CHECKING:
    from models.generators import Shape

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
    return _told(dataset, section, _start(section))


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
    start = _start(section)
    said, now = read_json(path) if path.is_file() else NOTHING, _told(dataset, section, start)
    if said != now:
        names = {"digest": "train.init", "init": "train.init", "base": "train.base"}
        moved = sorted({names[key] for key in now if said.get(key) != now[key]})
        raise SynthmillError(
            f"{' and '.join(moved)} of {dataset} stands for something else than {path} says, which this build was planned by: "
            f"run `./mill run {dataset}` again"
        )
    return start


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
    start = _start(section)
    model = model_folder(dataset) / "model.json"
    if model.is_file() and (read_json(model).get("init") or {}).get("digest") == start.digest:
        return  # It was trained from there already: whether those weights are still here does not matter.
    kept = root() / "data" / "scratch" / "starts" / f"{start.digest[:16]}.json"
    if not kept.is_file():
        with tempfile.TemporaryDirectory(prefix="synthmill-") as scratch:
            write_json(kept, borrowed.described(_bring(start, Path(scratch), "model.json"), start.reference))
    said = read_json(kept)
    borrowed.check_fit(start.reference, said, kind, shape, labels, told)
    borrowed.is_public(start.reference, said, section)


def fetch(start: Start, scratch: Path) -> tuple[Path, dict[str, Any]]:
    """The folder with the start's weights, put under `scratch` unless it is on this machine's disk already, and its model.json.

    Raises SynthmillError where they are nowhere to be had, and as `borrowed.verified` does.
    """
    folder = _bring(start, scratch / "start")
    return folder, borrowed.verified(folder, start.digest, start.reference)


def _start(section: Training) -> Start | None:
    """Raises as `resolve` does, and SynthmillError for a model that was recalled."""
    start = resolve(section.init) if section.init else None
    why = ledger.recalled_models().get(start.digest) if start else None
    if why:
        raise SynthmillError(
            f"train.init is {start.reference}, and that model was recalled ({why}): what starts from it would still hold what it learned "
            "of those who were withdrawn; name another model, or none"
        )
    return start


def _told(dataset: str, section: Training, start: Start | None) -> dict[str, Any]:
    named = {"init": start.reference, "digest": start.digest} if start else {}
    return {**NOTHING, **named, "base": base_of(dataset, section.options())}


def _in_folder(reference: str) -> Start:
    folder = references.folder_of(reference)
    if not (folder / "model.json").is_file():
        what = "has no model.json, so it is no model that synthmill saved" if folder.is_dir() else "is no folder"
        raise UsageError(f"train.init is {reference}, and {folder} {what}: name {references.EXAMPLES}")
    if folder.resolve().parent == model_folder("any").parent.resolve():
        raise UsageError(
            f"train.init is {reference}, which the build of {folder.name} replaces: name {folder.name}@candidate, which is the same model"
        )
    return Start(reference, borrowed.described(folder, reference)["digest"], folder=folder)


def _released(reference: str, asked: references.Reference) -> Start:
    try:
        release = versions.usable(reference)
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
