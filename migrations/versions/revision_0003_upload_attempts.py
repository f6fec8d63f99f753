"""Bounded uploads: `upload_attempts`, and `upload_giveup` among the voting states."""

from __future__ import annotations

from alembic import op

from aerotile.domain.errors import TileCacheError

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

LOSSES = (
    ("voting_status upload_giveup", "SELECT count(*) FROM tiles WHERE voting_status = 'upload_giveup'"),
    ("counted upload attempts", "SELECT count(*) FROM tiles WHERE upload_attempts > 0"),
)


def upgrade() -> None:
    """Count refused uploads, and let a tile be given up; a vote may still be NULL."""
    op.execute(
        """
        ALTER TABLE tiles
            ADD COLUMN upload_attempts integer NOT NULL DEFAULT 0,
            ADD CONSTRAINT ck_tiles_upload_attempts CHECK (upload_attempts >= 0),
            DROP CONSTRAINT ck_tiles_voting_status,
            ADD CONSTRAINT ck_tiles_voting_status CHECK (
                voting_status IS NULL OR voting_status IN ('pending', 'trusted', 'rejected', 'upload_giveup')
            )
        """
    )


def downgrade() -> None:
    """Take both away; refused while a row uses either."""
    for what, count_rows in LOSSES:
        rows = op.get_bind().exec_driver_sql(count_rows).scalar_one()
        if rows:
            raise TileCacheError(
                f"revision 0003 can't be undone: {what} would be lost; rows: {rows}",
                remedy="stay at revision 0003 or newer, or restore a backup made before it",
            )
    op.execute(
        """
        ALTER TABLE tiles
            DROP COLUMN upload_attempts,
            DROP CONSTRAINT ck_tiles_voting_status,
            ADD CONSTRAINT ck_tiles_voting_status CHECK (
                voting_status IS NULL OR voting_status IN ('pending', 'trusted', 'rejected')
            )
        """
    )
