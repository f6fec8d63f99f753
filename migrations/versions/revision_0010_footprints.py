"""What tiles take on the disk, blocks and inodes included: budget and onboard share are about it.

`footprint_bytes` is the sum over all tiles of the tile's blocks, one block for its sidecar, and two inodes. A
store may be over its budget by this measure that was within it by lengths; no tile is evicted for that.
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_FOOTPRINT = "((disk_bytes + 4095) / 4096 * 4096 + 4608)"
ADDITIONS = (
    """
    ALTER TABLE disk_usage
        ADD COLUMN footprint_bytes bigint NOT NULL DEFAULT 0,
        ADD COLUMN onboard_footprint_bytes bigint NOT NULL DEFAULT 0,
        ADD CONSTRAINT ck_disk_usage_footprint_bytes CHECK (footprint_bytes >= 0),
        ADD CONSTRAINT ck_disk_usage_onboard_footprint_bytes CHECK (onboard_footprint_bytes >= 0)
    """,
    f"""
    UPDATE disk_usage SET (footprint_bytes, onboard_footprint_bytes) = (
        SELECT COALESCE(sum{_FOOTPRINT}, 0), COALESCE(sum{_FOOTPRINT} FILTER (WHERE source = 'onboard'), 0)
        FROM tiles
    )
    """,
)


def upgrade() -> None:
    """Add the numbers."""
    for statement in ADDITIONS:
        op.execute(statement)


def downgrade() -> None:
    """Take them away; going up again counts them anew."""
    op.execute("ALTER TABLE disk_usage DROP COLUMN footprint_bytes, DROP COLUMN onboard_footprint_bytes")
