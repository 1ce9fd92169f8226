"""What the records under data/evidence say of releases (evidence, approvals, what was spent of privacy), and tombstones: recalls."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from catalog import evidence, signoff
from catalog.database.tables import Approval, Base, Evidence, Record, Release, Spent
from schema.digest import sha256_bytes
from schema.evidence import LEDGER as LEDGER_TYPE
from schema.evidence import TEST_RESULT, Statement
from schema.release import Tombstone

LEDGER = "ledger"
"""The record, in data/evidence, of what releases spend of patients' privacy."""


def stale(connection: Connection) -> list[str]:
    """The records whose files are not as they were when they were read: those of datasets in the index, and the ledger."""
    known = dict(connection.execute(select(Record.name, Record.sha256)).all())
    datasets = connection.execute(select(Release.dataset).distinct()).scalars()
    return [name for name in (*sorted(datasets), LEDGER) if (state := _state(name)) is not None and state != known.get(name)]


def read(connection: Connection, name: str) -> None:
    """Adds what a record says and the index has not got; does nothing where there is no file. A record only ever grows, and other
    checkouts that share the database may have longer ones.

    Raises IntegrityError for a record that was tampered with.
    """
    state = _state(name)
    if state is None:
        return
    entries = evidence.read(evidence.record_file(name))
    connection.execute(delete(Record).where(Record.name == name))
    connection.execute(insert(Record).values(name=name, sha256=state))
    if name == LEDGER:
        _add(connection, Spent, spendings(entries))
        return
    for release in connection.execute(select(Release.__table__).where(Release.dataset == name)).mappings().all():
        about = [entry for entry in entries if concerns(entry.statement, release)]
        named = {entry.digest: entry.statement.about for entry in about}
        _add(connection, Evidence, ({"release": release["tag"], "digest": digest, "name": what} for digest, what in named.items()))
        _add(connection, Approval, approvals(about, release["tag"]))


def concerns(statement: Statement, release: Any) -> bool:
    """Whether a statement is about the release's bytes: about its files or what people approve, or by a gate about exactly the real
    images, the synthetic ones and the model that it was made of."""
    digests = {one["digest"].get("sha256") for one in statement.subject}
    if statement.predicate_type == TEST_RESULT:
        return digests == {release["real"], release["synthetic"], release["model"]}
    return bool(digests & {release["sums"], release["digest"], release["records"], release["files"]})


def unmarked(connection: Connection, stones: Mapping[str, Tombstone]) -> dict[str, str]:
    """{tag: reason} of the releases that have a tombstone and are not recalled for its reason in the index. A tombstone is never taken
    back: a checkout without its tag is behind."""
    known = connection.execute(select(Release.tag, Release.recalled, Release.recall_reason)).all() if stones else ()
    return {tag: stones[tag].reason for tag, *said in known if tag in stones and said != [True, stones[tag].reason]}


def recall(connection: Connection, stones: Mapping[str, Tombstone]) -> None:
    """Marks the releases that have a tombstone as recalled."""
    for tag, reason in unmarked(connection, stones).items():
        connection.execute(update(Release).where(Release.tag == tag).values(recalled=True, recall_reason=reason))


def approvals(entries: list[evidence.Entry], tag: str) -> Iterator[dict[str, Any]]:
    for one in signoff.history(entries):
        fields = {name: getattr(one, name) for name in ("by", "role", "decision", "at", "expires", "digest", "evidence")}
        yield {"release": tag, **fields}


def spendings(entries: list[evidence.Entry]) -> Iterator[dict[str, Any]]:
    """Of each release in the ledger that claims an epsilon: what it claims, and how many patients it was trained on."""
    seen: dict[str, int] = {}
    for entry in entries:
        said = entry.statement.predicate
        if entry.statement.predicate_type != LEDGER_TYPE or not said.get("account"):
            continue
        tag, account = entry.statement.subject[0]["name"], said["account"]
        number = seen[tag] = seen.get(tag, -1) + 1
        claimed = {field: account[field] for field in ("epsilon", "delta", "unit")}
        yield {"tag": tag, "entry": number, **claimed, "patients": said["patients"]}


def _state(name: str) -> str | None:
    path: Path = evidence.record_file(name)
    return sha256_bytes(path.read_bytes()) if path.is_file() else None


def _add(connection: Connection, table: type[Base], rows: Iterable[dict[str, Any]]) -> None:
    key = table.__table__.primary_key.columns
    known = {tuple(row) for row in connection.execute(select(*key))}
    new = [row for row in rows if tuple(row[column.name] for column in key) not in known]
    if new:
        connection.execute(insert(table), new)
