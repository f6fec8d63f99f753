"""Replacements that are committed and not settled: the tile's file may have its second name only.

A row is added with the UPDATE of the tile, and removed once the file has the tile's own name. After a crash
in between, the next open, or any process that learns of the replacement, gives the file its name.
"""

from __future__ import annotations

from alembic import op

from aerotile.domain.errors import TileCacheError

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.execute(
        """
        CREATE TABLE unsettled_replacements (
            tile_uuid uuid NOT NULL,
            content_sha256 text NOT NULL,
            CONSTRAINT pk_unsettled_replacements PRIMARY KEY (tile_uuid)
        )
        """
    )


def downgrade() -> None:
    """Take it away; refused while a replacement is not settled, because older code knows no second names."""
    query = "SELECT count(*) FROM unsettled_replacements JOIN tiles USING (tile_uuid, content_sha256)"
    count = op.get_bind().exec_driver_sql(query).scalar_one()
    if count:
        raise TileCacheError(
            f"revision 0012 can't be undone: replacements are not settled; rows: {count}",
            remedy="run aerotile verify --reconcile first, which settles them",
        )
    op.execute("DROP TABLE unsettled_replacements")
