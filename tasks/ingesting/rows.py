"""What was read of each unit, kept between runs in one SQLite file: a nightly ingest reads what is new or changed and finds the rest here.

Nothing in it names anybody: ids are keyed before they come here. It holds images of patients all the same, as private as the source;
what a later source no longer has is deleted from it, and overwritten.
"""

import errno
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schema.errors import SynthmillError
from schema.settings import root

SCHEMA = """
CREATE TABLE IF NOT EXISTS units (mark BLOB PRIMARY KEY, rows INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rows (
    mark BLOB, place INTEGER, facts TEXT, thumbnail BLOB, seal BLOB, digest BLOB, images BLOB, PRIMARY KEY (mark, place)
);
"""
COMMIT_EVERY = 256
"""Units between two commits: what a kill can cost."""


def rows_file(dataset: str) -> Path:
    return root() / "data" / "scratch" / "rows" / f"{dataset}.sqlite"


class Damaged(Exception):
    """The store is not what was written to it. What it held can be read from the source again."""


@dataclass(frozen=True)
class Row:
    """One record as it will be written, or one that was set aside. `facts` is what JSON can hold; `images` are PNG files by name;
    `thumbnail` is what near copies are told by."""

    facts: dict[str, Any]
    images: dict[str, bytes] = field(default_factory=dict)
    thumbnail: bytes = b""


class Rows:
    """Rows by the mark of the unit that they were read from: a digest of all that decides them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._told():
            self._base = sqlite3.connect(path, isolation_level=None)
            self._base.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA secure_delete=ON; {SCHEMA}")
            self._base.execute("BEGIN")
        self._uncommitted = 0

    def close(self) -> None:
        with self._told():
            if self._base.in_transaction:
                self._base.execute("COMMIT")
            self._base.close()

    def has(self, mark: bytes) -> bool:
        with self._told():
            return self._base.execute("SELECT 1 FROM units WHERE mark = ?", (mark,)).fetchone() is not None

    def put(self, mark: bytes, rows: list[Row]) -> None:
        with self._told():
            for place, row in enumerate(rows):
                facts, images = json.dumps(row.facts, ensure_ascii=False), _packed(row.images)
                digest = hashlib.sha256(images).digest()
                values = (mark, place, facts, row.thumbnail, _seal(facts, row.thumbnail, digest), digest, images)
                self._base.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?, ?)", values)
            self._base.execute("INSERT OR REPLACE INTO units VALUES (?, ?)", (mark, len(rows)))
            self._uncommitted += 1
            if self._uncommitted >= COMMIT_EVERY:
                self.commit()

    def commit(self) -> None:
        with self._told():
            self._base.execute("COMMIT")
            self._base.execute("BEGIN")
        self._uncommitted = 0

    def facts(self, mark: bytes) -> list[tuple[dict[str, Any], bytes]]:
        """Facts and thumbnail of each of a unit's rows, in order. Raises Damaged where they are not those that were put there."""
        with self._told():
            found = self._base.execute("SELECT facts, thumbnail, digest, seal FROM rows WHERE mark = ? ORDER BY place", (mark,)).fetchall()
            expected = self._base.execute("SELECT rows FROM units WHERE mark = ?", (mark,)).fetchone()
        if expected is None or len(found) != expected[0] or any(_seal(*row[:3]) != row[3] for row in found):
            raise Damaged
        return [(json.loads(facts), thumbnail) for facts, thumbnail, _, _ in found]

    def images(self, mark: bytes, place: int) -> dict[str, bytes]:
        """PNG files by name. Raises Damaged unless they are those that were put there."""
        with self._told():
            found = self._base.execute("SELECT images, digest FROM rows WHERE mark = ? AND place = ?", (mark, place)).fetchone()
        if found is None or hashlib.sha256(found[0]).digest() != found[1]:
            raise Damaged
        return _unpacked(found[0])

    def keep_only(self, marks: Iterable[bytes]) -> None:
        """Forgets every other unit: its bytes are overwritten, and its space is used again."""
        with self._told():
            self.commit()
            self._base.execute("CREATE TEMP TABLE kept (mark BLOB PRIMARY KEY) WITHOUT ROWID")
            self._base.executemany("INSERT OR IGNORE INTO kept VALUES (?)", ((mark,) for mark in marks))
            for table in ("rows", "units"):
                self._base.execute(f"DELETE FROM {table} WHERE mark NOT IN (SELECT mark FROM kept)")
            self._base.execute("DROP TABLE kept")
            self._base.execute("COMMIT")
            self._base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._base.execute("BEGIN")

    def forget(self, marks: Iterable[bytes]) -> None:
        """Forgets these units: their bytes are overwritten, and they are read anew when they are next wanted."""
        gone = set(marks)
        if gone:
            with self._told():
                kept = [mark for (mark,) in self._base.execute("SELECT mark FROM units").fetchall() if mark not in gone]
            self.keep_only(kept)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """A full disk as the OSError that it is, and damage as Damaged."""
        try:
            yield
        except sqlite3.OperationalError as error:
            if "full" in str(error):
                raise OSError(errno.ENOSPC, "the store of what was read does not fit") from None
            if "locked" in str(error) or "unable to open" in str(error):
                raise SynthmillError(f"{self._path} is in use by another ingest, or cannot be opened ({error}): run again later") from None
            raise Damaged from None
        except sqlite3.DatabaseError:
            raise Damaged from None


def _packed(images: dict[str, bytes]) -> bytes:
    heads = json.dumps({name: len(data) for name, data in images.items()}).encode()
    return len(heads).to_bytes(4, "big") + heads + b"".join(images.values())


def _unpacked(data: bytes) -> dict[str, bytes]:
    at = 4 + int.from_bytes(data[:4], "big")
    images = {}
    for name, size in json.loads(data[4:at]).items():
        images[name] = data[at : at + size]
        at += size
    return images


def _seal(facts: str, thumbnail: bytes, digest: bytes) -> bytes:
    """Digest of a row with its images' digest: facts can be checked without reading the images."""
    return hashlib.sha256(b"\0".join((facts.encode(), thumbnail, digest))).digest()
