"""Recalled releases: the tag that says so, and what may not be published for it.

A tombstone is the annotated tag `<dataset>@vX.Y.Z!`, on the commit of the release that it recalls: GTO's name for a version that is
registered no more, so `gto show` offers it no longer. The release's own tag stays: a version is never used again, and what was given out
can still be verified.
"""

import csv
from pathlib import Path

from catalog import folder as release_folder
from catalog import git, ledger, versions
from catalog.store import released_path
from schema.errors import GateFailed
from schema.release import Release, Tombstone
from schema.settings import root
from schema.withdrawn import Withdrawn


def bury(release: Release, reason: str, by: str, at: str) -> Tombstone:
    """Makes the tombstone of a release; the one that is there afterwards, which may be another's. Raises SynthmillError where git
    cannot make it."""
    there = versions.recalled(release)
    if there:
        return there
    where = root()
    stone = Tombstone(release=release.tag, digests=release.digests, reason=reason, by=by, at=at)
    commit = git.git(where, "rev-parse", f"refs/tags/{release.tag}^{{commit}}").strip()
    made = git.tag_object(where, commit, stone.tag, versions.write_tombstone(stone))
    try:
        git.git(where, "update-ref", "--stdin", text=f"start\ncreate refs/tags/{stone.tag} {made}\nprepare\ncommit\n")
    except git.GitError:
        there = versions.recalled(release)
        if there is None:
            raise
        return there
    return stone


def refuse_recalled(dataset: str) -> None:
    """Raises GateFailed where data/releases/<dataset> holds what was recalled: the images of a recalled release, under whatever
    version, or images drawn from a recalled model."""
    folder = root() / released_path(dataset)
    said = release_folder.provenance(folder)
    for stone in versions.tombstones(dataset).values():
        if stone.digests.records == said.digests.records:
            raise GateFailed(
                f"{dataset} is not published: its images are those of {stone.release}, which {stone.by} recalled on {stone.at[:10]} "
                f"({stone.reason}); `./mill run {dataset}` makes others where the recall withdrew a patient"
            )
    row = ledger.candidate(dataset)
    gone = ledger.recalled_models()
    for model in (row.model, (row.init or {}).get("digest")):
        if model in gone:
            raise GateFailed(
                f"{dataset} is not published: its images come of the model {model[:16]}, which was recalled ({gone[model]}); "
                "train another, on data without those who were withdrawn"
            )


def refuse_withdrawn(dataset: str) -> None:
    """Raises GateFailed where a patient who was withdrawn is still in the ingest that lies there."""
    gone = Withdrawn.of(dataset).patients
    there = gone.keys() & patients_in(root() / "data" / "ingest" / dataset / "splits.csv") if gone else ()
    if there:
        raise GateFailed(
            f"{dataset} is not published: what was ingested still holds {len(there)} of the {len(gone)} patients who were withdrawn; "
            f"`./mill run {dataset}` ingests and trains without them"
        )


def patients_in(path: Path) -> set[str]:
    """The keyed patients of an ingest's list of splits."""
    with path.open(encoding="utf-8", newline="") as stream:
        return {line["patient"] for line in csv.DictReader(stream)}
