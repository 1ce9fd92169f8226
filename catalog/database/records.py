"""What the records under data/evidence say of releases: evidence, approvals, recalls, and what was spent of privacy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from catalog import evidence, signoff
from catalog.database.tables import Approval, Evidence, Record, Release, Spent
from schema.digest import sha256_bytes
from schema.evidence import SIGN_OFF, SLSA, TEST_RESULT, Statement

LEDGER = "ledger"
"""The record, in data/evidence, of what releases spend of patients' privacy."""
SPENT = "urn:synthmill:ledger:1"
RECALL = "urn:synthmill:recall:1"
"""A recall's statement: its subject is the digest that people approve, or the tag by name; its predicate has a reason."""


def stale(connection: Connection) -> list[str]:
    """The records whose files are not as they were when they were read: those of datasets in the index, and the ledger."""
    known = dict(connection.execute(select(Record.name, Record.sha256)).all())
    datasets = connection.execute(select(Release.dataset).distinct()).scalars()
    return [name for name in (*sorted(datasets), LEDGER) if (state := _state(name)) is not None and state != known.get(name)]


def read(connection: Connection, name: str) -> None:
    """Replaces what the index has of a record by what its file says; does nothing where there is no file.

    Raises IntegrityError for a record that was tampered with.
    """
    state = _state(name)
    if state is None:
        return
    entries = evidence.read(evidence.record_file(name))
    connection.execute(delete(Record).where(Record.name == name))
    connection.execute(insert(Record).values(name=name, sha256=state))
    if name == LEDGER:
        connection.execute(delete(Spent))
        _insert(connection, Spent, list(spendings(entries)))
        return
    for release in connection.execute(select(Release.__table__).where(Release.dataset == name)).mappings().all():
        connection.execute(delete(Evidence).where(Evidence.release == release["tag"]))
        connection.execute(delete(Approval).where(Approval.release == release["tag"]))
        about = [entry for entry in entries if concerns(entry.statement, release)]
        named = {entry.digest: _name(entry.statement) for entry in about}
        _insert(connection, Evidence, [{"release": release["tag"], "digest": digest, "name": what} for digest, what in named.items()])
        _insert(connection, Approval, list(approvals(about, release["tag"])))
        reasons = [str(one.statement.predicate.get("reason", "")) for one in about if one.statement.predicate_type == RECALL]
        recalled = {"recalled": bool(reasons), "recall_reason": reasons[-1] if reasons else None}
        connection.execute(update(Release).where(Release.tag == release["tag"]).values(recalled))


def concerns(statement: Statement, release: Any) -> bool:
    """Whether a statement is about the release's bytes: about its files or what people approve, or by a gate about exactly the real
    images, the synthetic ones and the model that it was made of."""
    digests = {one["digest"].get("sha256") for one in statement.subject}
    if statement.predicate_type == TEST_RESULT:
        return digests == {release["real"], release["synthetic"], release["model"]}
    own = {release["sums"], release["digest"], release["records"], release["files"]}
    return bool(digests & own) or (statement.predicate_type == RECALL and release["tag"] in {one.get("name") for one in statement.subject})


def approvals(entries: list[evidence.Entry], tag: str) -> Iterator[dict[str, Any]]:
    for one in signoff.history(entries):
        fields = {name: getattr(one, name) for name in ("by", "role", "decision", "at", "expires", "digest", "evidence")}
        yield {"release": tag, **fields}


def spendings(entries: list[evidence.Entry]) -> Iterator[dict[str, Any]]:
    """Of each statement of the ledger that names an epsilon: the release by `tag` or `release`, else by the subject's name."""
    seen: dict[str, int] = {}
    for entry in entries:
        said = entry.statement.predicate
        if entry.statement.predicate_type != SPENT or not isinstance(said.get("epsilon"), int | float):
            continue
        tag = str(said.get("tag") or said.get("release") or entry.statement.subject[0].get("name", ""))
        number = seen[tag] = seen.get(tag, -1) + 1
        patients = said.get("patients")
        yield {
            "tag": tag,
            "entry": number,
            "epsilon": float(said["epsilon"]),
            "delta": said.get("delta"),
            "unit": said.get("unit"),
            "patients": patients if isinstance(patients, int) else len(patients) if isinstance(patients, list) else None,
        }


def _name(statement: Statement) -> str:
    """The stage, the gate, or what kind of statement it is."""
    said = statement.predicate
    if statement.predicate_type == SLSA:
        return str(said["buildDefinition"]["externalParameters"]["stage"])
    if statement.predicate_type == TEST_RESULT:
        return next(iter([*said["passedTests"], *said["warnedTests"], *said["failedTests"]]))
    return "sign-off" if statement.predicate_type == SIGN_OFF else statement.predicate_type


def _state(name: str) -> str | None:
    path: Path = evidence.record_file(name)
    return sha256_bytes(path.read_bytes()) if path.is_file() else None


def _insert(connection: Connection, table: type, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)
