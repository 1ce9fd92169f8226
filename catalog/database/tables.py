"""The tables, as migrations/ makes them. Every key is a name that git or a file gives: no number counts up, so an index that is made
again is the same row for row, in whatever order."""

from datetime import date
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Date, Float, ForeignKey, Index, Integer, LargeBinary, String, Text, column, table
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

KEY = String().with_variant(String(collation="C"), "postgresql")
"""A name, ordered by its bytes in both databases."""
JSONS = JSON().with_variant(JSONB(), "postgresql")


class Base(DeclarativeBase):
    pass


def of_release(**more: Any) -> Any:
    return mapped_column(KEY, ForeignKey("releases.tag", ondelete="CASCADE"), **more)


class Dataset(Base):
    """`latest`: the tag of its highest version."""

    __tablename__ = "datasets"
    name: Mapped[str] = mapped_column(KEY, primary_key=True)
    latest: Mapped[str] = mapped_column(KEY)


class Release(Base):
    """`digest`: of records and files together, which people approve; `real`, `synthetic`, `model`: what its gates measured. `size`: bytes
    of all files. `epsilon`, `delta`, `unit`: the differential privacy that it claims. The keys are words, for search."""

    __tablename__ = "releases"
    __table_args__ = (Index("ix_releases_dataset", "dataset", "major", "minor", "patch"),)
    tag: Mapped[str] = mapped_column(KEY, primary_key=True)
    dataset: Mapped[str] = mapped_column(KEY, ForeignKey("datasets.name"))
    version: Mapped[str] = mapped_column(KEY)
    major: Mapped[int] = mapped_column(Integer)
    minor: Mapped[int] = mapped_column(Integer)
    patch: Mapped[int] = mapped_column(Integer)
    previous: Mapped[str | None] = mapped_column(KEY)
    records: Mapped[str] = mapped_column(String)
    files: Mapped[str] = mapped_column(String)
    digest: Mapped[str] = mapped_column(String)
    sums: Mapped[str] = mapped_column(String)
    real: Mapped[str] = mapped_column(String)
    synthetic: Mapped[str] = mapped_column(String)
    model: Mapped[str] = mapped_column(String)
    images: Mapped[int] = mapped_column(Integer)
    labels: Mapped[dict[str, int]] = mapped_column(JSONS)
    title: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    license: Mapped[str] = mapped_column(Text)
    license_key: Mapped[str] = mapped_column(KEY)
    modality: Mapped[str] = mapped_column(Text)
    modality_key: Mapped[str] = mapped_column(KEY)
    code_commit: Mapped[str] = mapped_column(String)
    published: Mapped[date] = mapped_column(Date)
    size: Mapped[int] = mapped_column(BigInteger)
    first_seed: Mapped[int] = mapped_column(BigInteger)
    last_seed: Mapped[int] = mapped_column(BigInteger)
    epsilon: Mapped[float | None] = mapped_column(Float)
    delta: Mapped[float | None] = mapped_column(Float)
    unit: Mapped[str | None] = mapped_column(Text)
    recalled: Mapped[bool] = mapped_column(Boolean)
    recall_reason: Mapped[str | None] = mapped_column(Text)


class Verdict(Base):
    """`waived`: by whom, why and until when; none where it was not."""

    __tablename__ = "verdicts"
    __table_args__ = (Index("ix_verdicts_gate", "gate", "value", "release"),)
    release: Mapped[str] = of_release(primary_key=True)
    gate: Mapped[str] = mapped_column(KEY, primary_key=True)
    status: Mapped[str] = mapped_column(KEY)
    value: Mapped[float | None] = mapped_column(Float)
    low: Mapped[float | None] = mapped_column(Float)
    high: Mapped[float | None] = mapped_column(Float)
    threshold: Mapped[float] = mapped_column(Float)
    direction: Mapped[str] = mapped_column(String)
    unit: Mapped[str | None] = mapped_column(Text)
    required: Mapped[bool] = mapped_column(Boolean)
    waived: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql"))


class Evidence(Base):
    """A statement of the dataset's record about bytes that the release names. `digest`: of the statement."""

    __tablename__ = "evidence"
    release: Mapped[str] = of_release(primary_key=True)
    digest: Mapped[str] = mapped_column(KEY, primary_key=True)
    name: Mapped[str] = mapped_column(Text)


class Approval(Base):
    """A person's decision about the release's bytes. `digest`: of those bytes; `evidence`: of the statement."""

    __tablename__ = "approvals"
    release: Mapped[str] = of_release(primary_key=True)
    evidence: Mapped[str] = mapped_column(KEY, primary_key=True)
    by: Mapped[str] = mapped_column(Text)
    role: Mapped[str] = mapped_column(Text)
    decision: Mapped[str] = mapped_column(KEY)
    at: Mapped[str] = mapped_column(KEY)
    expires: Mapped[str | None] = mapped_column(KEY)
    digest: Mapped[str] = mapped_column(String)


class Spent(Base):
    """What a release spends of the privacy of its patients. `patients`: how many, where that is known."""

    __tablename__ = "ledger"
    tag: Mapped[str] = mapped_column(KEY, primary_key=True)
    entry: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    epsilon: Mapped[float] = mapped_column(Float)
    delta: Mapped[float | None] = mapped_column(Float)
    unit: Mapped[str | None] = mapped_column(Text)
    patients: Mapped[int | None] = mapped_column(Integer)


class Image(Base):
    """One image. `position`: its place in the release; `row`: its place in the Parquet file `shard`; `thumbnail`: PNG, 64 pixels a side
    at most, of the first images only. Kept in the order of its key, which is the order that pages of results have."""

    __tablename__ = "images"
    __table_args__ = (
        Index("ix_images_seed", "release", "seed"),
        {"sqlite_with_rowid": False},
    )
    release: Mapped[str] = of_release(primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    id: Mapped[str] = mapped_column(KEY)
    label: Mapped[str] = mapped_column(Text)
    seed: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String)
    shard: Mapped[str] = mapped_column(Text)
    row: Mapped[int] = mapped_column(Integer)
    attributes: Mapped[dict[str, Any]] = mapped_column(JSONS)
    thumbnail: Mapped[bytes | None] = mapped_column(LargeBinary)


class ValueBitmap(Base):
    """Which images of a release have a value of an attribute, or a label, as an index of bitmaps (O'Neil and Quass, SIGMOD 1997): one for
    each block of images that has any, as catalog.database.bitmaps packs them."""

    __tablename__ = "value_bitmaps"
    __table_args__ = ({"sqlite_with_rowid": False},)
    attribute: Mapped[str] = mapped_column(KEY, primary_key=True)
    key: Mapped[str] = mapped_column(KEY, primary_key=True)
    release: Mapped[str] = of_release(primary_key=True)
    block: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    bitmap: Mapped[bytes] = mapped_column(LargeBinary)


class ValueCount(Base):
    """How many images of a release have a value of an attribute, or a label (the attribute `label`, which no other may be called)."""

    __tablename__ = "value_counts"
    __table_args__ = (Index("ix_value_counts_key", "attribute", "key", "images", "release"),)
    release: Mapped[str] = of_release(primary_key=True)
    attribute: Mapped[str] = mapped_column(KEY, primary_key=True)
    key: Mapped[str] = mapped_column(KEY, primary_key=True)
    images: Mapped[int] = mapped_column(Integer)


class Record(Base):
    """The state of a record's file when it was read: `name` is a dataset or LEDGER."""

    __tablename__ = "record_states"
    name: Mapped[str] = mapped_column(KEY, primary_key=True)
    sha256: Mapped[str] = mapped_column(String)


WORDS = table("release_words", column("tag", KEY), column("words", Text))
"""The words of each release: an FTS5 table on SQLite, a tsvector with a GIN index on PostgreSQL. Made by the migration by hand."""
TSVECTORS = table("release_words", column("tag", KEY), column("words", TSVECTOR))
"""The same, as PostgreSQL has it."""
