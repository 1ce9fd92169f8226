"""Writes down that a stage ran: what it made from what, under which params and code, and when; of a check or a gate, what it found."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from catalog import evidence, git, signing
from schema.digest import read_json, sha256_file, sha256_json
from schema.evidence import Statement, described, now, stage_run, test_result
from schema.params import load
from schema.settings import root
from tasks import stage

RESULTS = {"PASS": "PASSED", "FAIL": "FAILED"}


def stage_name() -> str:
    """The stage that this process runs: `train` for `python -m tasks.train`; nothing for a process that is no stage's."""
    spec = sys.modules["__main__"].__spec__
    return spec.name.split(".")[-1] if spec else ""


class Run:
    """A run of a stage that is under way. Begun before the work, so that a key that cannot sign is found before hours are spent."""

    def __init__(self, name: str, dataset: str, gate: str | None = None) -> None:
        signing.signer()
        self.name, self.dataset, self.gate = name, dataset, gate
        self.started = now()

    def finish(self, code: str) -> None:
        """Adds the run to the dataset's record. `code`: digest of all code that a stage could run."""
        made, read, section = PLANS[self.name](self.dataset, self.gate)
        if not made:
            return
        params = load().dataset(self.dataset).model_dump(mode="json")
        # It keys who is dealt where, and is no reader's business.
        params["ingest"]["split"].pop("salt")
        subject = digests(made)
        run = stage_run(
            f"{self.name} {self.gate}" if self.gate else self.name,
            self.dataset,
            subject,
            digests(read),
            section(params),
            code_state(code),
            self.started,
            now(),
            summary(self.name, self.dataset),
        )
        evidence.append(evidence.record_file(self.dataset), run, *findings(self.name, self.dataset, self.gate, subject))


def digests(files: list[Path]) -> list[dict[str, Any]]:
    return [described(path.relative_to(root()).as_posix(), sha256_file(path)) for path in files if path.is_file()]


def code_state(code: str) -> dict[str, Any]:
    """The commit (None outside a repository), what differed from it, and digests of the code and of its dependencies."""
    commit = git.resolve(root(), "HEAD")
    return {
        "commit": commit,
        "modified": git.changed_files(root()) if commit else None,
        "code_sha256": code,
        "requirements_lock_sha256": sha256_file(stage.ROOT / "requirements.lock"),
    }


SUMMARIES = {
    "train": (
        lambda dataset: stage.model_folder(dataset) / "model.json",
        ("digest", "kind", "parameters", "dataset_digest", "labels", "privacy", "init", "canaries"),
    ),
    "sample": (lambda dataset: stage.samples_folder(dataset) / "manifest.json", ("digest", "n", "labels", "image", "conditions", "model")),
    "release": (
        lambda dataset: root() / "data" / "releases" / dataset / "provenance.json",
        ("version", "previous", "digests", "images", "labels"),
    ),
}
"""Of a stage whose result says of itself what it is: the file, and which of its fields the record takes."""


def summary(name: str, dataset: str) -> dict[str, Any]:
    """What a stage wrote of its result: digests of its contents (which verdicts and sign-offs name), sizes, what privacy is claimed."""
    if name not in SUMMARIES:
        return {}
    where, fields = SUMMARIES[name]
    said = read_json(where(dataset))
    return {field: said[field] for field in fields if field in said}


def findings(name: str, dataset: str, gate: str | None, subject: list[dict[str, Any]]) -> list[Statement]:
    """What a check of the data, or a gate, found, as Test Results."""
    if name == "ingest":
        said = read_json(stage.ingest_folder(dataset) / "manifest.json")
        told = {key: said[key] for key in ("checks", "counts", "splits", "copies", "dropped", "missing", "approval", "source", "digest")}
        return [test_result("data-checks", "PASSED" if said["checks"]["success"] else "FAILED", subject, [], told)]
    if name == "gate":
        path = stage.verdict_file(dataset, gate)
        said = read_json(path)
        other = "FAILED" if said["required"] else "WARNED"
        about = [described(f"{dataset}: {part}", digest) for part, digest in said["subject"].items()]
        config = described(f"params.yaml: datasets.{dataset}.gates.{gate}", sha256_json(said["config"]))
        verdict = described(path.relative_to(root()).as_posix(), sha256_file(path))
        return [test_result(gate, RESULTS.get(said["status"], other), about, [config, verdict], said)]
    return []


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _ingest(dataset: str, _: str | None) -> tuple:
    read = [root() / "data" / "sources" / f"{dataset}.json"]
    made = [*_files(stage.ingest_folder(dataset)), root() / "data" / "splits" / f"{dataset}.json"]
    return made, read, lambda params: params["ingest"]


def _train(dataset: str, _: str | None) -> tuple:
    read = [stage.ingest_folder(dataset) / "manifest.json", root() / "data" / "starts" / f"{dataset}.json"]
    return _files(stage.model_folder(dataset)), read, lambda params: params["train"]


def _sample(dataset: str, _: str | None) -> tuple:
    read = [stage.ingest_folder(dataset) / "manifest.json", stage.model_folder(dataset) / "model.json"]
    return _files(stage.samples_folder(dataset)), read, lambda params: params["sample"]


def _outs(dataset: str) -> list[Path]:
    """The file of each stage before the gates that names all its bytes."""
    return [
        stage.ingest_folder(dataset) / "manifest.json",
        stage.model_folder(dataset) / "model.json",
        stage.samples_folder(dataset) / "manifest.json",
    ]


def _gate(dataset: str, gate: str | None) -> tuple:
    return [stage.verdict_file(dataset, gate)], _outs(dataset), lambda params: params["gates"][gate]


def _verdicts(dataset: str) -> list[Path]:
    return sorted((stage.reports_folder(dataset) / "gates").glob("*/verdict.json"))


def _report(dataset: str, _: str | None) -> tuple:
    read = [*_outs(dataset), *_verdicts(dataset)]
    shown = ("report", "card", "policy", "gates")
    return _files(stage.reports_folder(dataset) / "report"), read, lambda params: {key: params[key] for key in shown}


def _release(dataset: str, _: str | None) -> tuple:
    reports = stage.reports_folder(dataset) / "report" / "public"
    read = [*_outs(dataset), *_verdicts(dataset), *_files(reports)]
    return _files(root() / "data" / "releases" / dataset), read, lambda params: {key: params[key] for key in ("card", "policy", "gates")}


PLANS: dict[str, Callable[[str, str | None], tuple]] = {
    "ingest": _ingest,
    "train": _train,
    "sample": _sample,
    "gate": _gate,
    "report": _report,
    "release": _release,
}
"""Of each stage: the files that it made, the files that name what it read, and its part of the dataset's params. `scan`, which always
runs, is not written down: what it finds is among what `ingest` and `train` read."""
