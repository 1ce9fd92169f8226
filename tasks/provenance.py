"""Where a release comes from, so that it can be made again: never a time of day, a path, or a name out of the source."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version as installed
from typing import Any

from catalog import git
from schema import starts
from schema.digest import sha256_file
from schema.errors import SynthmillError, UsageError
from schema.params import Dataset
from schema.release import PROVENANCE_FORMAT, ReleaseDigests
from schema.settings import root


def describe(
    dataset: str,
    version: str,
    previous: str | None,
    digests: ReleaseDigests,
    section: Dataset,
    said: dict[str, Any],
    gates: list[dict[str, Any]],
) -> dict[str, Any]:
    """provenance.json. `said` holds the manifests of ingest and samples, model.json, and where the watermark was found."""
    ingest, samples, model = said["ingest"], said["samples"], said["model"]
    return {
        "format": PROVENANCE_FORMAT,
        "dataset": dataset,
        "version": version,
        "previous": previous,
        "images": samples["n"],
        "labels": samples["labels"],
        "conditions": samples["conditions"],
        "image": samples["image"],
        "digests": digests.model_dump(mode="json"),
        "gates": gates,
        "source": {"kind": ingest["source"]["kind"], "digest": ingest["source"]["digest"]},
        "ingest": ingest["digest"],
        "model": {
            **{field: model[field] for field in ("kind", "digest", "parameters", "canaries", "privacy")},
            "init": started(model.get("init")),
        },
        "samples": samples["digest"],
        "watermark": said["watermark"],
        "seeds": seeds(section),
        "params": public_params(section),
        "code": code(),
    }


def started(init: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the model started from, by the name that may leave, its digest, and whether it saw public images alone; None: nothing."""
    return {**init, "reference": starts.public_name(init["reference"])} if init else None


def seeds(section: Dataset) -> dict[str, Any]:
    """Image i is drawn from `first_image` + i alone."""
    first = section.sample.base_seed
    return {"train": section.train.options().get("seed"), "first_image": first, "last_image": first + section.sample.n - 1}


def public_params(section: Dataset) -> dict[str, Any]:
    """The dataset's section of params.yaml, without what could name files, folders or people inside (the source's options, the
    folders that training started from, the population of patients), and without the salt that keys the ids of patients."""
    said = section.model_dump(mode="json")
    said["ingest"]["source"] = {"kind": section.ingest.source.kind}
    said["ingest"]["split"].pop("salt")
    said["ingest"].pop("population")
    said["train"] = starts.public_options(said["train"])
    return said


def code() -> dict[str, Any]:
    """The commit, whether anything differed from it, and what it ran on."""
    lock = root() / "requirements.lock"
    if not lock.is_file():
        raise SynthmillError(f"{lock} is missing: a release says which dependencies made it; check it out again")
    return {
        "commit": git.head(root()),
        "modified": bool(git.changed_files(root())),
        "params_modified": git.differs_from_head(root(), "params.yaml"),
        "requirements_lock": sha256_file(lock),
        "python": platform.python_version(),
        "torch": installed("torch"),
    }


def date_published() -> str:
    """The day, in UTC, of `SOURCE_DATE_EPOCH` or else of the commit: the same code gives the same day.

    Specification: reproducible-builds.org, SOURCE_DATE_EPOCH.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is not None and not given.isdecimal():
        raise UsageError(f"SOURCE_DATE_EPOCH is {given!r}: it must be whole seconds since 1970, or unset")
    seconds = int(given) if given is not None else git.commit_time(root(), "HEAD")
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
