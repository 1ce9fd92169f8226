"""The catalog's first tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")
JSONS = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "datasets", sa.Column("name", KEY, nullable=False), sa.Column("latest", KEY, nullable=False), sa.PrimaryKeyConstraint("name")
    )
    op.create_table(
        "ledger",
        sa.Column("tag", KEY, nullable=False),
        sa.Column("entry", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epsilon", sa.Float(), nullable=False),
        sa.Column("delta", sa.Float(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("patients", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("tag", "entry"),
    )
    op.create_table(
        "record_states",
        sa.Column("name", KEY, nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "releases",
        sa.Column("tag", KEY, nullable=False),
        sa.Column("dataset", KEY, nullable=False),
        sa.Column("version", KEY, nullable=False),
        sa.Column("major", sa.Integer(), nullable=False),
        sa.Column("minor", sa.Integer(), nullable=False),
        sa.Column("patch", sa.Integer(), nullable=False),
        sa.Column("previous", KEY, nullable=True),
        sa.Column("records", sa.String(), nullable=False),
        sa.Column("files", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("sums", sa.String(), nullable=False),
        sa.Column("real", sa.String(), nullable=False),
        sa.Column("synthetic", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("labels", JSONS, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("license", sa.Text(), nullable=False),
        sa.Column("license_key", KEY, nullable=False),
        sa.Column("modality", sa.Text(), nullable=False),
        sa.Column("modality_key", KEY, nullable=False),
        sa.Column("code_commit", sa.String(), nullable=False),
        sa.Column("published", sa.Date(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("first_seed", sa.BigInteger(), nullable=False),
        sa.Column("last_seed", sa.BigInteger(), nullable=False),
        sa.Column("epsilon", sa.Float(), nullable=True),
        sa.Column("delta", sa.Float(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("recalled", sa.Boolean(), nullable=False),
        sa.Column("recall_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["dataset"],
            ["datasets.name"],
        ),
        sa.PrimaryKeyConstraint("tag"),
    )
    op.create_index("ix_releases_dataset", "releases", ["dataset", "major", "minor", "patch"])
    op.create_table(
        "approvals",
        sa.Column("release", KEY, nullable=False),
        sa.Column("evidence", KEY, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("decision", KEY, nullable=False),
        sa.Column("at", KEY, nullable=False),
        sa.Column("expires", KEY, nullable=True),
        sa.Column("digest", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["release"], ["releases.tag"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("release", "evidence"),
    )
    op.create_table(
        "evidence",
        sa.Column("release", KEY, nullable=False),
        sa.Column("digest", KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["release"], ["releases.tag"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("release", "digest"),
    )
    op.create_table(
        "image_values",
        sa.Column("attribute", KEY, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("release", KEY, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["release"], ["releases.tag"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("attribute", "key", "release", "position"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "images",
        sa.Column("release", KEY, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("label_key", KEY, nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("shard", sa.Text(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("attributes", JSONS, nullable=False),
        sa.Column("thumbnail", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["release"], ["releases.tag"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("release", "position"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_images_label", "images", ["label_key", "release", "position"])
    op.create_index("ix_images_seed", "images", ["release", "seed"])
    op.create_table(
        "value_counts",
        sa.Column("release", KEY, nullable=False),
        sa.Column("attribute", KEY, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["release"], ["releases.tag"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("release", "attribute", "key"),
    )
    op.create_index("ix_value_counts_key", "value_counts", ["attribute", "key", "images", "release"])
    op.create_table(
        "verdicts",
        sa.Column("release", KEY, nullable=False),
        sa.Column("gate", KEY, nullable=False),
        sa.Column("status", KEY, nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("required", sa.Boolean(), nullable=False),
        sa.Column("waived", JSONS, nullable=True),
        sa.ForeignKeyConstraint(["release"], ["releases.tag"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("release", "gate"),
    )
    op.create_index("ix_verdicts_gate", "verdicts", ["gate", "value", "release"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute('CREATE TABLE release_words (tag text COLLATE "C" PRIMARY KEY, words tsvector NOT NULL)')
        op.execute("CREATE INDEX ix_release_words ON release_words USING gin (words)")
    else:
        op.execute("CREATE VIRTUAL TABLE release_words USING fts5 (tag UNINDEXED, words, tokenize = 'ascii')")
