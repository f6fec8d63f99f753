"""Disk accounting as one number, pins, and notes on missing files.

`disk_usage` has exactly one row, whose `total_bytes` is the sum of `tiles.disk_bytes`; every transaction that
adds or removes tiles moves it. The UNIQUE constraint of the baseline goes: the unique index over the natural
key, from revision 0002, says more, and every INSERT pays for each of them.
"""

from __future__ import annotations

from alembic import op

from aerotile.domain.errors import TileCacheError

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ADDITIONS = (
    """
    ALTER TABLE tiles
        ADD COLUMN pinned boolean NOT NULL DEFAULT false,
        ADD COLUMN file_missing_at timestamp with time zone,
        DROP CONSTRAINT uq_tiles_place_source_flight
    """,
    """
    CREATE TABLE disk_usage (
        only_row boolean NOT NULL DEFAULT true,
        total_bytes bigint NOT NULL,
        CONSTRAINT pk_disk_usage PRIMARY KEY (only_row),
        CONSTRAINT ck_disk_usage_only_row CHECK (only_row),
        CONSTRAINT ck_disk_usage_total_bytes CHECK (total_bytes >= 0)
    )
    """,
    "INSERT INTO disk_usage (total_bytes) SELECT COALESCE(sum(disk_bytes), 0) FROM tiles",
)


def upgrade() -> None:
    """Add the number, the pins and the notes."""
    for statement in ADDITIONS:
        op.execute(statement)


def downgrade() -> None:
    """Take them away; refused while a tile is pinned. Notes on missing files come back with the next open."""
    pinned = op.get_bind().exec_driver_sql("SELECT count(*) FROM tiles WHERE pinned").scalar_one()
    if pinned:
        raise TileCacheError(
            f"revision 0004 can't be undone: pins would be lost; rows: {pinned}",
            remedy="remove the pins first if they are not needed",
        )
    op.execute("DROP TABLE disk_usage")
    op.execute(
        """
        ALTER TABLE tiles
            DROP COLUMN pinned,
            DROP COLUMN file_missing_at,
            ADD CONSTRAINT uq_tiles_place_source_flight UNIQUE (zoom_level, x, y, source, flight_id)
        """
    )
