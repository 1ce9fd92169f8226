"""Images are found by bitmaps, a block of a release's images in each, no more by a row for each value of each image."""

import itertools
import operator

import sqlalchemy as sa
from alembic import op

from catalog.database.bitmaps import BLOCK, pack

revision = "0002"
down_revision = "0001"

KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    bitmaps = op.create_table(
        "value_bitmaps",
        sa.Column("attribute", KEY, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("release", KEY, nullable=False),
        sa.Column("block", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bitmap", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["release"], ["releases.tag"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("attribute", "key", "release", "block"),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    for rows in (
        "SELECT attribute, key, release, position FROM image_values ORDER BY attribute, key, release, position",
        "SELECT 'label', label_key, release, position FROM images ORDER BY label_key, release, position",
    ):
        placed = ((*row[:3], *divmod(row[3], BLOCK)) for row in connection.execute(sa.text(rows)))
        for (attribute, key, release, block), found in itertools.groupby(placed, operator.itemgetter(slice(4))):
            row = {"attribute": attribute, "key": key, "release": release, "block": block}
            connection.execute(sa.insert(bitmaps), row | {"bitmap": pack([place for *_, place in found])})
    op.drop_table("image_values")
    op.drop_index("ix_images_label", "images")
    op.drop_column("images", "label_key")
