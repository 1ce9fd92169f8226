"""The index itself: a release is added after its publication; all of it can be made again from git tags, DVC's store and the records.

add(release)       # idempotent, one transaction
rebuild()          # every table anew
opened()           # for readers: what is missing is added first, and what could not be is said
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, cast, delete, insert, select, update
from sqlalchemy.dialects.postgresql import TSVECTOR

from catalog import store, sums, versions
from catalog.cache import cache_folder
from catalog.database import records
from catalog.database.engine import connect, discard_if_damaged, reading, writing
from catalog.database.rows import Rows
from catalog.database.tables import TSVECTORS, WORDS, Base, Dataset, Image, Record, Release, ValueBitmap, ValueCount, Verdict
from schema import release as schema
from schema.errors import IntegrityError, SynthmillError
from schema.settings import root


@dataclass(frozen=True)
class Index:
    """An open index. `behind`: what it lacks of the tags that are here, and why."""

    engine: Engine
    behind: tuple[str, ...] = ()


def add(release: schema.Release) -> None:
    """Puts a release into the index; does nothing where it is there.

    Raises SynthmillError where its bytes cannot be had, IntegrityError where the index has other bytes under its tag.
    """
    engine = connect()
    _add(engine, release)
    faults = list(_read_records(engine))
    _recall(engine)
    if faults:
        raise IntegrityError(f"{release.tag} is in the index, but {'; '.join(faults)}")


def rebuild() -> int:
    """Makes every table anew from the tags of this checkout, and of no other, in one transaction: readers see the old index until it
    is whole. How many releases it holds.

    Raises SynthmillError, and leaves the index as it was, where a release's bytes cannot be had.
    """
    known = versions.releases()
    discard_if_damaged()
    engine = connect()
    with writing(engine) as connection:
        for table in (_words(connection), *reversed(Base.metadata.sorted_tables)):
            connection.execute(delete(table))
        for release in known:
            with bytes_of(release) as folder:
                put(connection, Rows(release, folder))
        for name in (*sorted({release.dataset for release in known}), records.LEDGER):
            records.read(connection, name)
        records.recall(connection, versions.tombstones())
    tune(engine)
    return len(known)


def opened(tell: Callable[[str], None] | None = None) -> Index:
    """The index, caught up with the tags and the records of this checkout. What could not be added is in `behind`: a search goes on.
    `tell` is told of each release that is added: its bytes may have to be fetched.

    Releases whose tags are not here stay: a database may be shared by checkouts that have fetched different tags.
    """
    engine, behind = connect(), []
    try:
        known, newer = versions.readable()
    except SynthmillError as error:
        return Index(engine, (f"the releases of this checkout could not be read: {error}",))
    behind += [f"a release is not in the index: {error}" for error in newer]
    with reading(engine) as connection:
        there = dict(connection.execute(select(Release.tag, Release.sums)).all())
    for release in known:
        if there.get(release.tag) != release.sums:
            if tell is not None:
                tell(f"the index lacks {release.tag}: adding it")
            try:
                _add(engine, release)
            except SynthmillError as error:
                behind.append(f"{release.tag} is not in the index: {error}")
    behind += _read_records(engine)
    try:
        _recall(engine)
    except IntegrityError as error:
        behind.append(f"what was recalled could not be read: {error}")
    return Index(engine, tuple(behind))


def _add(engine: Engine, release: schema.Release) -> None:
    with reading(engine) as connection:
        if _has(connection, release):
            return
    with bytes_of(release) as folder:
        rows = Rows(release, folder)
        with writing(engine) as connection:
            # Another process may have added it meanwhile.
            if not _has(connection, release):
                put(connection, rows)
    tune(engine)


def _has(connection: Connection, release: schema.Release) -> bool:
    found = connection.execute(select(Release.sums).where(Release.tag == release.tag)).scalar()
    if found not in (None, release.sums):
        raise IntegrityError(
            f"the index has other bytes under {release.tag} than its tag here: `catalog rebuild` makes it anew from the tags"
        )
    return found is not None


def _read_records(engine: Engine) -> Iterator[str]:
    """Reads the records that grew since; what could not be read."""
    with reading(engine) as connection:
        names = records.stale(connection)
    for name in names:
        try:
            with writing(engine) as connection:
                records.read(connection, name)
        except SynthmillError as error:
            yield f"the record of {name} is not in the index: {error}"


def _recall(engine: Engine) -> None:
    stones = versions.tombstones()
    with reading(engine) as connection:
        unmarked = records.unmarked(connection, stones)
    # Whoever only searches waits for no writer.
    if unmarked:
        with writing(engine) as connection:
            records.recall(connection, stones)


def put(connection: Connection, rows: Rows) -> None:
    """Inserts all that the tables hold of a release, but for what records say: theirs is to be read again."""
    name = rows.release["dataset"]
    if connection.execute(select(Dataset.name).where(Dataset.name == name)).scalar() is None:
        connection.execute(insert(Dataset).values(name=name, latest=rows.tag))
    connection.execute(insert(Release), [rows.release])
    order = (Release.major.desc(), Release.minor.desc(), Release.patch.desc())
    latest = select(Release.tag).where(Release.dataset == name).order_by(*order).limit(1).scalar_subquery()
    connection.execute(update(Dataset).where(Dataset.name == name).values(latest=latest))
    if rows.verdicts:
        connection.execute(insert(Verdict), rows.verdicts)
    for images, bitmaps in rows.images():
        if images:
            connection.execute(insert(Image), images)
        if bitmaps:
            connection.execute(insert(ValueBitmap), bitmaps)
    connection.execute(insert(ValueCount), rows.values.counts())
    connection.execute(delete(Record).where(Record.name == name))
    words = _words(connection)
    said = " ".join(rows.words)
    if words is TSVECTORS:
        said = cast(" ".join(f"'{word}':{place}" for place, word in enumerate(rows.words, 1)), TSVECTOR)
    connection.execute(insert(words).values(tag=rows.tag, words=said))


@contextmanager
def bytes_of(release: schema.Release) -> Iterator[Path]:
    """A folder with the release's bytes, checked against its tag: the workspace's own, that of the cache, or one fetched for the time."""
    own = root() / store.released_path(release.dataset)
    for folder in (own, cache_folder(release)):
        if _is(folder, release):
            yield folder
            return
    with tempfile.TemporaryDirectory(prefix="synthmill-") as scratch:
        yield store.fetch(root(), release, Path(scratch) / release.dataset)


def _is(folder: Path, release: schema.Release) -> bool:
    """Whether a folder holds exactly the release's bytes."""
    if not (folder / sums.NAME).is_file() or sums.digest(folder) != release.sums:
        return False
    try:
        sums.check(folder)
    except IntegrityError:
        return False
    return True


def tune(engine: Engine) -> None:
    """Lets the database look at what it holds, so that it plans searches well."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA analysis_limit = 1000")
            connection.exec_driver_sql("PRAGMA optimize")
        else:
            connection.exec_driver_sql("ANALYZE")


def _words(connection: Connection):
    return TSVECTORS if connection.dialect.name == "postgresql" else WORDS
