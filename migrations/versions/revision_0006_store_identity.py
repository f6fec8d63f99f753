"""The store's identity: a folder of tiles says by it which database it belongs to."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Give the store an identity of its own."""
    op.execute("ALTER TABLE disk_usage ADD COLUMN store_id uuid NOT NULL DEFAULT gen_random_uuid()")


def downgrade() -> None:
    """Take it away. Going up again makes another one, which a folder claimed by the first does not accept."""
    op.execute("ALTER TABLE disk_usage DROP COLUMN store_id")
