"""The bytes of onboard tiles as one number, by which each commit checks their share of the disk budget."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

ADDITIONS = (
    """
    ALTER TABLE disk_usage
        ADD COLUMN onboard_bytes bigint NOT NULL DEFAULT 0,
        ADD CONSTRAINT ck_disk_usage_onboard_bytes CHECK (onboard_bytes >= 0)
    """,
    """
    UPDATE disk_usage
    SET onboard_bytes = (SELECT COALESCE(sum(disk_bytes), 0) FROM tiles WHERE source = 'onboard')
    """,
)


def upgrade() -> None:
    """Add the number."""
    for statement in ADDITIONS:
        op.execute(statement)


def downgrade() -> None:
    """Take it away; going up again counts it anew."""
    op.execute("ALTER TABLE disk_usage DROP COLUMN onboard_bytes")
