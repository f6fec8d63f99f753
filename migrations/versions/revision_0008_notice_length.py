"""Notices of large batches at a cost that grows with the batch alone: bytes are counted, not characters.

Counting characters reads the whole notice for every tile that joins it, which was a third of what the COPY of
2,000 tiles cost the server. Places are ASCII, so that the notices stay the same.
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_FUNCTION = """
    CREATE OR REPLACE FUNCTION notify_of_tiles() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        notice text := '';
        change text;
    BEGIN
        FOR change IN
            SELECT concat(TG_ARGV[0], concat_ws('/', zoom_level, x, y, source, flight_id)) FROM changed
        LOOP
            IF {length}(notice) > 7900 THEN
                PERFORM pg_notify('aerotile_tiles', notice);
                notice := '';
            END IF;
            notice := concat(notice, change, ' ');
        END LOOP;
        IF notice <> '' THEN
            PERFORM pg_notify('aerotile_tiles', notice);
        END IF;
        RETURN NULL;
    END $$
"""
COUNTING_BYTES = _FUNCTION.format(length="octet_length")
COUNTING_CHARACTERS = _FUNCTION.format(length="length")


def upgrade() -> None:
    """Count bytes."""
    op.execute(COUNTING_BYTES)


def downgrade() -> None:
    """Count characters, as revision 0007 does."""
    op.execute(COUNTING_CHARACTERS)
