"""Datasets: what tiles were made from, and of which one each tile is; NULL for tiles stored before."""

from __future__ import annotations

from alembic import op

from aerotile.domain.errors import TileCacheError

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

ADDITIONS = (
    """
    CREATE TABLE datasets (
        name text NOT NULL,
        licence text NOT NULL,
        attribution text NOT NULL,
        may_be_stored_offline boolean NOT NULL,
        source text NOT NULL,
        source_sha256 text NOT NULL,
        digest_of text NOT NULL,
        captured_at timestamp with time zone,
        captured_from text NOT NULL,
        CONSTRAINT pk_datasets PRIMARY KEY (name),
        CONSTRAINT ck_datasets_source_sha256 CHECK (source_sha256 ~ '^[0-9a-f]{64}$'),
        CONSTRAINT ck_datasets_digest_of CHECK (digest_of IN ('file', 'folder', 'address', 'stated'))
    )
    """,
    """
    ALTER TABLE tiles
        ADD COLUMN dataset text,
        ADD CONSTRAINT ck_tiles_dataset CHECK (
            dataset IS NULL OR (dataset <> '' AND source <> 'onboard')
        )
    """,
)
DEFINED_AND_NAMED = """
    SELECT (SELECT count(*) FROM datasets) + (SELECT count(*) FROM tiles WHERE dataset IS NOT NULL)
"""


def upgrade() -> None:
    """Add the table and the column."""
    for statement in ADDITIONS:
        op.execute(statement)


def downgrade() -> None:
    """Take both away; refused while a dataset is defined or a tile names one."""
    defined = op.get_bind().exec_driver_sql(DEFINED_AND_NAMED).scalar_one()
    if defined:
        raise TileCacheError(
            f"revision 0011 can't be undone: datasets would be lost; rows: {defined}",
            remedy="stay at revision 0011 or newer, or restore a backup made before it",
        )
    op.execute("ALTER TABLE tiles DROP COLUMN dataset")
    op.execute("DROP TABLE datasets")
