"""What was ever released, and of whom: an append-only chained record over all datasets, since privacy adds up over releases.

data/evidence/ledger.intoto.jsonl has a statement a row: a release, or a recall. Whom a release was trained on stays in private files of
keyed ids, data/evidence/persons/<digest>.txt, of which a row holds the digest. Before a tag is made its row is laid down in
data/evidence/pending, so that a publication that was killed after the tag loses nothing.
"""

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog import evidence, reader, versions
from catalog import folder as release_folder
from catalog.store import released_path
from schema.digest import read_json, sha256_set, write_bytes, write_json
from schema.errors import IntegrityError
from schema.evidence import LEDGER, Statement, described, now
from schema.release import Release, Tombstone
from schema.settings import root

if TYPE_CHECKING:
    from schema.privacy import PrivacyAccount

ATTACKS = ("replica", "canary", "dp-claim")
"""The gates, beside those whose name begins with `mia-`, whose result a row holds."""


@dataclass(frozen=True)
class Row:
    """A release. `digest`: of its records and files together. `init`: the model that training started from. `account`: None where no
    differential privacy is claimed. `persons`: digest of the ids of those in training, None where they are not known. `key`: what tells
    the id key from another.
    """

    tag: str
    dataset: str
    digest: str
    source: str
    ingest: str
    model: str
    init: dict[str, Any] | None
    account: "PrivacyAccount | None"
    attacks: list[dict[str, Any]]
    patients: int | None
    persons: str | None
    key: str | None
    at: str
    evidence: str | None

    @property
    def attacks_by_gate(self) -> dict[str, dict[str, Any]]:
        return {one["gate"]: one for one in self.attacks}


def ledger_file() -> Path:
    return evidence.folder() / "ledger.intoto.jsonl"


def read() -> tuple[list[Row], list[dict[str, Any]]]:
    """The releases, oldest first, and the recalls as {"subject", "model", "reason", "by", "at"}. Raises IntegrityError naming the line
    that was tampered with."""
    entries = evidence.read(ledger_file())
    return _rows(entries), _recalls(entries)


def rows() -> list[Row]:
    return read()[0]


def recalled_models() -> dict[str, str]:
    """{digest of a model: why it was recalled}: of recalled releases, and of models that were never released."""
    return {one["model"]: one["reason"] for one in read()[1] if one["model"]}


def candidate(dataset: str) -> Row:
    """The row that data/releases/<dataset> would get. Raises SynthmillError where no release was built."""
    folder = root() / released_path(dataset)
    release = release_folder.described(folder)
    return _row(_statement(release, read_json(release_folder.provenance_file(folder))), None)


def prepare(release: Release) -> None:
    """Lays the row of a release that is about to be tagged down, with the ids of those in its training."""
    said = read_json(root() / released_path(release.dataset) / release_folder.PROVENANCE)
    write_json(_pending() / f"{release.tag}.json", _statement(release, said).model_dump(mode="json", by_alias=True))


def forget(release: Release) -> None:
    """Takes away the row that was laid down for a release that was not tagged."""
    (_pending() / f"{release.tag}.json").unlink(missing_ok=True)


def settle() -> None:
    """Enters the rows that were laid down for tags that are there by now."""
    for path in sorted(_pending().glob("*.json")):
        statement = Statement.model_validate(read_json(path))
        digests = {release.digests.together for release in versions.releases() if release.tag == path.stem}
        if digests:
            if statement.subject[0]["digest"]["sha256"] in digests:
                _append(statement)
            path.unlink()


def enter(release: Release) -> None:
    """The row of the release in data/releases/<dataset>, unless it is there."""
    settle()
    if not _has(rows(), release):
        _append(_statement(release, read_json(root() / released_path(release.dataset) / release_folder.PROVENANCE)))


def rebuild() -> list[str]:
    """Enters rows for tags that have none, from their releases' provenance.json; the tags. Whom they were trained on is known only where
    the ingest is still here. Raises SynthmillError where a release's bytes cannot be had."""
    settle()
    known = rows()
    lacking = [release for release in versions.releases() if not _has(known, release)]
    for release in lacking:
        _append(_statement(release, reader.said_of(release, root() / "data" / "scratch" / "ledger", root())))
    return [release.tag for release in lacking]


def recall(tombstone: Tombstone | None, dataset: str, model: str | None, reason: str, by: str, at: str) -> None:
    """Enters that a release was recalled, or (without a tombstone) a model that was never released, unless that is there. `model`: None
    where it is not known."""
    subject = described(tombstone.release, tombstone.digests.together) if tombstone else described(f"{dataset}: model", model)
    said = {"event": "recall", "dataset": dataset, "model": model, "reason": reason, "by": by, "at": at}
    statement = Statement(subject=[subject], predicateType=LEDGER, predicate=said)

    def unless_there(entries: Callable[[], list[evidence.Entry]]) -> list[Statement]:
        there = any(one.statement.predicate.get("event") == "recall" and one.statement.subject == [subject] for one in entries())
        return [] if there else [statement]

    evidence.append_with(ledger_file(), unless_there)


class Persons:
    """Whom releases were trained on, each set read once."""

    def __init__(self, known: Iterable[Row]) -> None:
        self.rows = list(known)
        self._sets: dict[str, frozenset[str] | None] = {}

    def of(self, row: Row) -> frozenset[str] | None:
        """The ids of those in the training of a release and of the models that it started from; None where that cannot be told.

        Raises IntegrityError where a file of ids is not what its digest says.
        """
        return self._of(row, frozenset())

    def share(self, row: Row, other: Row) -> bool | None:
        """Whether two releases were trained on somebody in common; None where that cannot be told, which is to be taken for yes."""
        first, second = self.of(row), self.of(other)
        if row.model == other.model:
            return True
        if first is None or second is None or row.key != other.key:
            return None
        return not first.isdisjoint(second)

    def _of(self, row: Row, seen: frozenset[str]) -> frozenset[str] | None:
        own = self.own(row)
        if not row.init or row.init.get("public") is True:
            return own
        start = row.init["digest"]
        before = [one for one in self.rows if one.model == start]
        if own is None or not before or start in seen:
            return None
        more = self._of(before[-1], seen | {start})
        return None if more is None else own | more

    def own(self, row: Row) -> frozenset[str] | None:
        """The ids of those in the training of a release's own model; None where they are not known."""
        digest = row.persons
        if digest is None:
            return None
        if digest not in self._sets:
            path = persons_file(digest)
            ids = frozenset(path.read_text(encoding="ascii").split()) if path.is_file() else None
            if ids is not None and sha256_set(ids) != digest:
                raise IntegrityError(f"{path} was changed after it was written: put it back from a copy, or delete it to go on without")
            self._sets[digest] = ids
        return self._sets[digest]


def persons_file(digest: str) -> Path:
    return evidence.folder() / "persons" / f"{digest}.txt"


def _pending() -> Path:
    return evidence.folder() / "pending"


def _rows(entries: list[evidence.Entry]) -> list[Row]:
    return [_row(one.statement, one.digest) for one in entries if one.statement.predicate["event"] == "release"]


def _recalls(entries: list[evidence.Entry]) -> list[dict[str, Any]]:
    return [
        {"subject": one.statement.subject[0]["name"], **{key: one.statement.predicate[key] for key in ("model", "reason", "by", "at")}}
        for one in entries
        if one.statement.predicate["event"] == "recall"
    ]


def _has(known: list[Row], release: Release) -> bool:
    return any((row.tag, row.digest) == (release.tag, release.digests.together) for row in known)


def _append(statement: Statement) -> None:
    [subject] = statement.subject

    def unless_there(entries: Callable[[], list[evidence.Entry]]) -> list[Statement]:
        there = any((row.tag, row.digest) == (subject["name"], subject["digest"]["sha256"]) for row in _rows(entries()))
        return [] if there else [statement]

    evidence.append_with(ledger_file(), unless_there)


def _row(statement: Statement, digest: str | None) -> Row:
    from schema.privacy import PrivacyAccount

    [subject], said = statement.subject, statement.predicate
    return Row(
        tag=subject["name"],
        digest=subject["digest"]["sha256"],
        account=PrivacyAccount.model_validate(said["account"]) if said["account"] else None,
        evidence=digest,
        **{field: said[field] for field in ("dataset", "source", "ingest", "model", "init", "attacks", "patients", "persons", "key", "at")},
    )


def _statement(release: Release, said: dict[str, Any]) -> Statement:
    """A release's row, by its provenance.json and the ingest that is here, the ids of which it writes down."""
    found = _trained_on(release.dataset, said["ingest"])
    ids, patients, key = found or (None, None, None)
    persons = None if ids is None else sha256_set(ids)
    if ids is not None:
        write_bytes(persons_file(persons), "".join(f"{one}\n" for one in sorted(ids)).encode("ascii"))
    attacks = [gate for gate in said["gates"] if gate["gate"].startswith("mia-") or gate["gate"] in ATTACKS]
    row = {
        "event": "release",
        "dataset": release.dataset,
        "source": said["source"]["digest"],
        "ingest": said["ingest"],
        "model": said["model"]["digest"],
        "init": said["model"].get("init"),
        "account": said["model"].get("privacy"),
        "attacks": [{field: gate[field] for field in ("gate", "status", "value")} for gate in attacks],
        "patients": patients,
        "persons": persons,
        "key": key,
        "at": now(),
    }
    return Statement(subject=[described(release.tag, release.digests.together)], predicateType=LEDGER, predicate=row)


def _trained_on(dataset: str, ingest: str) -> tuple[frozenset[str], int, str] | None:
    """Ids of those in training, their number, and the mark of the key; None unless the ingest of that digest is the one that is here.

    Both keyed ids of each: `person` tells who is in another dataset too, `patient` who is in another release of this one even where its
    population was named otherwise meanwhile.
    """
    folder, deals = root() / "data" / "ingest" / dataset, root() / "data" / "splits" / f"{dataset}.json"
    files = (folder / "manifest.json", folder / "persons.csv", deals)
    if not all(path.is_file() for path in files) or read_json(files[0])["digest"] != ingest:
        return None
    with files[1].open(encoding="ascii", newline="") as stream:
        trained = [line for line in csv.DictReader(stream) if line["split"] == "train"]
    return frozenset(line[name] for line in trained for name in ("patient", "person")), len(trained), read_json(deals)["key"]
