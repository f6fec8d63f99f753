"""An index of the rows whose file is missing: an open asks for them, and nearly always there is none."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.execute("CREATE INDEX ix_tiles_file_missing ON tiles (id) WHERE file_missing_at IS NOT NULL")


def downgrade() -> None:
    """Take it away."""
    op.execute("DROP INDEX ix_tiles_file_missing")
