"""The record of a dataset: an append-only file of in-toto statements, each chained to the one before it, signed if a key is given.

data/evidence/<dataset>.intoto.jsonl is an in-toto bundle (JSON lines of DSSE envelopes). Each line also holds its own digest, and each
statement the digest of the statement before it: a line that is changed, taken out, put in or moved is found and named. The chain
shows an edit; that nobody made it anew as a whole is shown by signatures, and by the head that each release's commit holds.
"""

import base64
import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.signing import Signing, Trusted, read_public, signer, trusted
from schema.digest import sha256_json
from schema.errors import IntegrityError, UsageError
from schema.evidence import PAYLOAD, RECALL, Statement
from schema.settings import root

BEGINNING = b'{"payload": "'
"""How every line begins."""


@dataclass(frozen=True)
class Entry:
    """A line of a record. `signed_by`: the name of a trusted key, the id of another, None where it is not signed."""

    line: int
    statement: Statement
    signed_by: str | None
    trusted: bool

    @property
    def digest(self) -> str:
        return self.statement.digest


def folder() -> Path:
    return root() / "data" / "evidence"


def record_file(dataset: str) -> Path:
    return folder() / f"{dataset}.intoto.jsonl"


def append(path: Path, *statements: Statement) -> list[Statement]:
    """Adds statements to a record, chained and, with SYNTHMILL_SIGNING_KEY, signed; they are on the disk when this returns.

    Processes may append at the same time. A line that a killed process left torn is dropped first. Raises UsageError for a bad key,
    IntegrityError where the last line is not what was written.
    """
    return append_with(path, lambda _: statements)


def append_with(path: Path, make: Callable[[Callable[[], list[Entry]]], Iterable[Statement]]) -> list[Statement]:
    """`append` of what `make` gives, which may read the entries that are there; nobody else adds any in between."""
    by = signer()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        _content(path)
    # Without a buffer: what did not fit on a full disk would be written once more as the file is closed.
    with path.open("a+b", buffering=0) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.seek(0)
        content = stream.read()
        whole = _whole(content, str(path))
        lines = whole.splitlines()
        previous = _opened(lines[-1], f"line {len(lines)} of {path}")[1].digest if lines else None
        written = []
        for statement in make(lambda: list(parse(whole.decode(), str(path)))):
            written.append(statement.after(previous))
            previous = written[-1].digest
        try:
            stream.truncate(min(len(whole), len(content)))
            new = "".join(f"{json.dumps(envelope(one, by))}\n" for one in written).encode()
            # Before them the line end that a whole last line may lack.
            left = whole[len(content) :] + new
            while left:
                left = left[stream.write(left) :]
            os.fsync(stream.fileno())
        except OSError:
            # A full disk: a line is there whole or not at all.
            stream.truncate(min(len(whole), len(content)))
            raise
    return written


def read(path: Path) -> list[Entry]:
    """The entries of a record, none where there is no file. Raises IntegrityError naming the line that is not what was written."""
    if not path.exists():
        return []
    return list(parse(_whole(_content(path), str(path)).decode("utf-8", "replace"), str(path)))


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise IntegrityError(f"{path} is no file, and so no record: put it back from a copy")
    return path.read_bytes()


def _whole(content: bytes, where: str) -> bytes:
    """The record without what a killed process left torn at its end, which was never finished and goes when the next line comes. A last
    line that lacks its line end alone is whole. Raises IntegrityError for an end that is no beginning of a line."""
    lines = content[: content.rfind(b"\n") + 1]
    rest = content[len(lines) :]
    if not rest:
        return content
    if not rest.startswith(BEGINNING[: len(rest)]):
        raise IntegrityError(f"the end of {where} is not a record: it was changed after it was written; put it back from a copy")
    try:
        _opened(rest, "the last line")
    except IntegrityError:
        return lines
    return content + b"\n"


def recalls(dataset: str) -> list[Entry]:
    """The withdrawals of patients in a dataset's record, oldest first."""
    return [one for one in read(record_file(dataset)) if one.statement.predicate_type == RECALL]


def parse(text: str, where: str, trust: Trusted | None = None) -> Iterator[Entry]:
    """The entries of a bundle's text, oldest first. Raises IntegrityError as `read` does."""
    trust = trust or trusted()
    previous = None
    for number, line in enumerate(text.splitlines(), 1):
        place = f"line {number} of {where}"
        found, statement = _opened(line, place)
        if statement.previous != previous:
            raise IntegrityError(f"{place} does not follow the line before it: a line was changed, taken out or put in there")
        previous = statement.digest
        yield Entry(number, statement, *_signer_of(found, trust, place))


def envelope(statement: Statement, by: Signing | None) -> dict[str, Any]:
    """A DSSE envelope, with its own digest and the signer's public key beside what DSSE asks for."""
    from securesystemslib.dsse import Envelope

    sealed = Envelope(statement.payload(), PAYLOAD, {})
    if by is not None:
        sealed.sign(by.signer)
    whole = sealed.to_dict() | ({"publicKey": by.public} if by is not None else {})
    return whole | {"sha256": sha256_json(whole)}


def _opened(line: str | bytes, place: str) -> tuple[dict[str, Any], Statement]:
    """The envelope and the statement of a line. Raises IntegrityError for one that is not what was written."""
    try:
        found = json.loads(line)
        digest = found.pop("sha256")
        if sha256_json(found) != digest:
            raise IntegrityError(f"{place} was changed after it was written")
        if found["payloadType"] != PAYLOAD:
            raise ValueError(found["payloadType"])
        return found, Statement.model_validate_json(base64.b64decode(found["payload"], validate=True))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"{place} is not a record ({type(error).__name__}): it was changed after it was written") from None


def _signer_of(found: dict[str, Any], trust: Trusted, place: str) -> tuple[str | None, bool]:
    """The name or id of the key that signed an envelope, and whether it is trusted.

    Raises IntegrityError for a signature that does not fit and, where somebody said which keys to trust, for one by another key.
    """
    if found.get("signatures") == []:
        return None, False
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError

    try:
        sealed = Envelope.from_dict({**found, "signatures": [dict(one) for one in found["signatures"]]})
        own = read_public(found["publicKey"].encode(), place)
    except (KeyError, ValueError, TypeError, AttributeError, UsageError):
        raise IntegrityError(f"{place} is signed and does not say how or by which key: it was changed after it was written") from None
    keys = trust.keys or {}
    known = [keys[keyid] for keyid in sealed.signatures if keyid in keys]
    try:
        sealed.verify(known or [own], 1)
    except VerificationError:
        raise IntegrityError(f"{place} has a signature that does not fit it: it was changed, or signed by somebody else") from None
    if known:
        return trust.names[known[0].keyid], True
    if trust.named:
        raise IntegrityError(f"{place} is signed by a key that is not trusted here ({own.keyid[:16]}): see SYNTHMILL_TRUSTED_KEYS")
    return own.keyid[:16], False
