"""Opening the database: which one, and in the layout that this code knows."""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DataError, DBAPIError, IntegrityError, NoSuchModuleError, ProgrammingError
from sqlalchemy.pool import NullPool

from catalog.database.tables import Base
from schema.errors import SynthmillError
from schema.settings import root

HEAD = "0002"
"""The newest migration."""
DAMAGED = "malformed|not a database|disk I/O error|no such (table|column)|already exists"
"""How SQLite says that a file is not what it was, or lacks what it should have."""
SETTING = "SYNTHMILL_CATALOG_URL"
WAIT = 60
"""Seconds that a writer waits for another."""
ADVISORY = 0x53594E4D494C4C
"""The number of the lock that migrations and writers take on PostgreSQL."""
MIGRATIONS = Path(__file__).with_name("migrations")


def address() -> URL:
    """`SYNTHMILL_CATALOG_URL`, else SQLite at data/catalog.db. Raises SynthmillError for what is no address of either database."""
    given = os.environ.get("SYNTHMILL_CATALOG_URL")
    if not given:
        return URL.create("sqlite", database=str(root() / "data" / "catalog.db"))
    hint = f"write {SETTING} as postgresql://user:password@host:5432/name, or unset it for SQLite at data/catalog.db"
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        raise SynthmillError(f"{SETTING} is no address of a database: {hint}") from None
    if url.get_backend_name() == "sqlite":
        if not url.database or url.database == ":memory:":
            raise SynthmillError(f"{SETTING} names no file: write sqlite:///path/to/catalog.db, or unset it")
        return url
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise SynthmillError(f"{SETTING} is for {url.drivername}, which the catalog does not speak: {hint}")
    return url.set(drivername="postgresql+psycopg")


def connect(url: URL | None = None) -> Engine:
    """The database with its tables, made or brought up to date where they are not; safe while other processes do the same.

    Raises SynthmillError where it cannot be reached or was written by a newer synthmill.
    """
    url = url or address()
    shown = url.render_as_string(hide_password=True)
    try:
        engine = _sqlite(url) if url.get_backend_name() == "sqlite" else _postgresql(url)
        with engine.connect() as connection:
            found = _revision(connection)
        if found is None or found < HEAD:
            _upgrade(engine)
        elif found > HEAD:
            raise SynthmillError(f"the catalog's database ({shown}) was written by a newer synthmill: update this one")
    except ModuleNotFoundError as error:
        raise SynthmillError(
            f"{SETTING} needs the package psycopg, which is not here ({error}): delete .venv and start ./mill again"
        ) from None
    except (DBAPIError, NoSuchModuleError, OSError) as error:
        raise SynthmillError(
            f"the catalog's database ({shown}) cannot be used: {_reason(error, url)}; {_remedy(error, url, f'see {SETTING}')}"
        ) from None
    return engine


def discard_if_damaged() -> None:
    """Takes away data/catalog.db where it cannot be read whole, or has not the tables that it should have: nothing is in it alone. A file
    that somebody named may be something else, and stays."""
    path = Path(address().database or "")
    if os.environ.get(SETTING) or not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, timeout=WAIT)) as connection:
            whole = connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            version = connection.execute("SELECT version_num FROM alembic_version").fetchone() if "alembic_version" in tables else None
        if whole and (not tables or (version and (version[0] != HEAD or tables >= Base.metadata.tables.keys()))):
            return
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            return
    for each in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        if each.is_dir():
            raise SynthmillError(f"{each} is a folder, where the catalog's database belongs: move it away")
        each.unlink(missing_ok=True)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Raises SynthmillError where the database cannot be read."""
    with _in_words(engine, "read"), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that writes; one at a time, whoever else writes waits. Raises SynthmillError where that takes too long, or the
    database cannot be written."""
    with _in_words(engine, "written"), engine.connect().execution_options(writes=True) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL lock_timeout = '{WAIT}s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY})
        yield connection


@contextmanager
def _in_words(engine: Engine, done: str) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        if isinstance(error, (DataError, IntegrityError, ProgrammingError)):
            raise  # of our own making
        shown = engine.url.render_as_string(hide_password=True)
        why, remedy = _reason(error, engine.url), _remedy(error, engine.url, "run again")
        raise SynthmillError(f"the catalog's database ({shown}) could not be {done}: {why}; {remedy}") from None


def _upgrade(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with writing(engine) as connection:
        # Who waited for the lock finds the work done.
        if _revision(connection) != HEAD:
            config.attributes["connection"] = connection
            command.upgrade(config, HEAD)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _sqlite(url: URL) -> Engine:
    path = Path(url.database)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A pool would keep a file open that somebody deleted to have the index made anew.
    engine = create_engine(url, connect_args={"timeout": WAIT}, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def set_up(connection, _) -> None:
        # Transactions are begun below, so that making tables is in one too, and a writer has its lock from the start.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -65536")
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            with FileLock(f"{path}.lock", timeout=WAIT):
                connection.execute("PRAGMA journal_mode = WAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")

    return engine


@cache
def _postgresql(url: URL) -> Engine:
    options = {"connect_timeout": 10, "application_name": "synthmill"}
    given = {name: value for name, value in options.items() if name not in url.query}
    engine = create_engine(url, connect_args=given, pool_pre_ping=True)

    @event.listens_for(engine, "connect")
    def set_up(connection, _) -> None:
        # Compiling a plan would take longer than it runs: a search looks at few rows.
        connection.autocommit = True
        connection.execute("SET jit = off")
        connection.autocommit = False

    return engine


def _remedy(error: Exception, url: URL, else_: str) -> str:
    if url.get_backend_name() == "sqlite" and re.search(DAMAGED, str(error)):
        if os.environ.get(SETTING):
            return f"if it is the catalog's, move it away, and the next search makes it anew; else see {SETTING}"
        return "`catalog rebuild` makes it anew, for nothing is in it alone"
    return else_


def _reason(error: Exception, url: URL) -> str:
    """The driver's own first line, without the password, should it be there."""
    words = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
    said = next((line for line in words if "failed" in line or "FATAL" in line), words[0]).strip()
    return said.replace(str(url.password), "***") if url.password else said
