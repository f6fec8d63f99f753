"""Notices: a commit that changes which tiles there are, or what may be done with them, says which.

Every process that has a store open listens. The times of reads are left out: they change all the time,
and nobody waits for them.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ADDITIONS = (
    # A payload must be shorter than 8,000 bytes; a place has 64 at most.
    """
    CREATE FUNCTION notify_of_tiles() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        notice text := '';
        change text;
    BEGIN
        FOR change IN
            SELECT concat(TG_ARGV[0], concat_ws('/', zoom_level, x, y, source, flight_id)) FROM changed
        LOOP
            IF length(notice) > 7900 THEN
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
    """,
    """
    CREATE FUNCTION notify_of_tile() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify(
            'aerotile_tiles',
            concat('~', concat_ws('/', NEW.zoom_level, NEW.x, NEW.y, NEW.source, NEW.flight_id))
        );
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER tiles_inserted AFTER INSERT ON tiles REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION notify_of_tiles('+')
    """,
    """
    CREATE TRIGGER tiles_deleted AFTER DELETE ON tiles REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION notify_of_tiles('-')
    """,
    """
    CREATE TRIGGER tiles_updated
    AFTER UPDATE
        OF captured_at, content_sha256, disk_bytes, freshness_status, voting_status, uploaded_at, pinned
        ON tiles
    FOR EACH ROW WHEN (
        (OLD.captured_at, OLD.content_sha256, OLD.disk_bytes, OLD.freshness_status, OLD.voting_status,
            OLD.uploaded_at, OLD.pinned)
        IS DISTINCT FROM
        (NEW.captured_at, NEW.content_sha256, NEW.disk_bytes, NEW.freshness_status, NEW.voting_status,
            NEW.uploaded_at, NEW.pinned)
    )
    EXECUTE FUNCTION notify_of_tile()
    """,
)
REMOVALS = (
    "DROP TRIGGER tiles_inserted ON tiles",
    "DROP TRIGGER tiles_deleted ON tiles",
    "DROP TRIGGER tiles_updated ON tiles",
    "DROP FUNCTION notify_of_tiles()",
    "DROP FUNCTION notify_of_tile()",
)


def upgrade() -> None:
    """Add the notices."""
    for statement in ADDITIONS:
        op.execute(statement)


def downgrade() -> None:
    """Take them away; no row knows of them."""
    for statement in REMOVALS:
        op.execute(statement)
