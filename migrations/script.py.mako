"""${message}.

What it adds, what it leaves as it was, and what its downgrade refuses to lose.
"""

from __future__ import annotations

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Say what changes."""
    ${upgrades if upgrades else 'op.execute("")'}


def downgrade() -> None:
    """Say what is refused and what goes."""
    ${downgrades if downgrades else 'op.execute("")'}
