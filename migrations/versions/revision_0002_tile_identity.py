"""Identity, content and use of tiles; boxes of sectors; freshness rules. Strictly additive.

Every row stays. `tile_uuid` and `location_hash` of rows that are there are derived as the domain derives
them; what nobody knows about such rows (`content_sha256`, `disk_bytes`, `accessed_at`, `uploaded_at`, the
boxes of sectors) stays NULL. Refused, with nothing changed, when two rows have the same place, source and
flight.
"""

from __future__ import annotations

from uuid import UUID

from alembic import op

from aerotile.domain.errors import TileCacheError, TileMetadataError
from aerotile.domain.values.tile_names import location_hash_of, tile_uuid_of

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BACKFILL_ROWS = 5_000
"""Rows per statement: enough to make round trips cheap, few enough to keep memory flat."""
LISTED_DUPLICATES = 3
"""How many duplicates a refusal names."""

NATURAL_KEY = "zoom_level, x, y, source, COALESCE(flight_id, '00000000-0000-0000-0000-000000000000'::uuid)"

DUPLICATES = f"""
    SELECT zoom_level, x, y, source, flight_id, count(*) AS copies, count(*) OVER () AS duplicated
    FROM tiles
    GROUP BY zoom_level, x, y, source, flight_id
    HAVING count(*) > 1
    ORDER BY {NATURAL_KEY}
    LIMIT {LISTED_DUPLICATES}
"""

ADDITIONS = (
    """
    ALTER TABLE tiles
        ADD COLUMN tile_uuid uuid,
        ADD COLUMN location_hash uuid,
        ADD COLUMN content_sha256 text,
        ADD COLUMN disk_bytes bigint,
        ADD COLUMN accessed_at timestamp with time zone,
        ADD COLUMN uploaded_at timestamp with time zone,
        ADD CONSTRAINT ck_tiles_content_sha256 CHECK (content_sha256 ~ '^[0-9a-f]{64}$'),
        ADD CONSTRAINT ck_tiles_disk_bytes CHECK (disk_bytes > 0),
        DROP CONSTRAINT ck_tiles_freshness_status,
        ADD CONSTRAINT ck_tiles_freshness_status CHECK (
            freshness_status IN ('fresh', 'stale', 'unknown', 'downgraded')
        )
    """,
    """
    ALTER TABLE sector_classifications
        ADD COLUMN min_lat double precision,
        ADD COLUMN min_lon double precision,
        ADD COLUMN max_lat double precision,
        ADD COLUMN max_lon double precision,
        ADD CONSTRAINT ck_sector_classifications_bbox CHECK (
            num_nulls(min_lat, min_lon, max_lat, max_lon) = 4
            OR (
                num_nulls(min_lat, min_lon, max_lat, max_lon) = 0
                AND -90 <= min_lat AND min_lat <= max_lat AND max_lat <= 90
                AND -180 <= min_lon AND min_lon <= max_lon AND max_lon <= 180
            )
        )
    """,
    """
    CREATE TABLE tile_freshness_rules (
        classification text NOT NULL,
        max_age interval NOT NULL,
        CONSTRAINT pk_tile_freshness_rules PRIMARY KEY (classification),
        CONSTRAINT ck_tile_freshness_rules_classification CHECK (
            classification IN ('active_conflict', 'stable_rear')
        ),
        CONSTRAINT ck_tile_freshness_rules_max_age CHECK (max_age > interval '0')
    )
    """,
    """
    INSERT INTO tile_freshness_rules (classification, max_age)
    VALUES ('active_conflict', interval '180 days'), ('stable_rear', interval '365 days')
    """,
)

NEXT_ROWS = """
    SELECT id, zoom_level, x, y, source, flight_id FROM tiles WHERE id > %s ORDER BY id LIMIT %s
"""
BACKFILL = """
    UPDATE tiles SET tile_uuid = derived.tile_uuid, location_hash = derived.location_hash
    FROM unnest(%s::bigint[], %s::uuid[], %s::uuid[]) AS derived (id, tile_uuid, location_hash)
    WHERE tiles.id = derived.id
"""

# After the backfill: building an index once is cheaper than keeping it up to date row by row.
KEYS_AND_INDEXES = (
    "ALTER TABLE tiles ADD CONSTRAINT uq_tiles_tile_uuid UNIQUE (tile_uuid)",
    f"CREATE UNIQUE INDEX uq_tiles_natural_key ON tiles ({NATURAL_KEY})",
    "CREATE INDEX ix_tiles_location_hash ON tiles (location_hash)",
    "CREATE INDEX ix_tiles_accessed_at ON tiles (accessed_at NULLS FIRST, id)",
    """
    CREATE INDEX ix_tiles_pending_uploads ON tiles (created_at, id)
    WHERE source = 'onboard' AND uploaded_at IS NULL
    """,
    "CREATE INDEX ix_tiles_incomplete ON tiles (id) WHERE content_sha256 IS NULL OR disk_bytes IS NULL",
)

LOSSES = (
    (
        "what tiles know of their content or upload",
        """
        SELECT count(*) FROM tiles
        WHERE content_sha256 IS NOT NULL OR disk_bytes IS NOT NULL OR uploaded_at IS NOT NULL
        """,
    ),
    ("the boxes of sectors", "SELECT count(*) FROM sector_classifications WHERE min_lat IS NOT NULL"),
    (
        "freshness rules that differ from the seeded ones",
        """
        SELECT count(*) FROM tile_freshness_rules
        WHERE (classification, max_age) NOT IN (
            ('active_conflict', interval '180 days'), ('stable_rear', interval '365 days')
        )
        """,
    ),
)


def upgrade() -> None:
    """Add columns, rules and indexes, and derive the identity of the rows that are there."""
    _refuse_duplicates()
    for statement in ADDITIONS:
        op.execute(statement)
    _backfill_identity()
    for statement in KEYS_AND_INDEXES:
        op.execute(statement)


def _refuse_duplicates() -> None:
    rows = op.get_bind().exec_driver_sql(DUPLICATES).all()
    if not rows:
        return
    named = ", ".join(
        f"{row.source}{f'/{row.flight_id}' if row.flight_id else ''}/{row.zoom_level}/{row.x}/{row.y}"
        f" ({row.copies} rows)"
        for row in rows
    )
    more = f" and {rows[0].duplicated - len(rows)} more" if rows[0].duplicated > len(rows) else ""
    raise TileMetadataError(
        f"revision 0002 can't be applied: table tiles holds the same tile more than once: {named}{more}",
        remedy="delete all but one row of each, then migrate again; nothing was changed",
    )


def _backfill_identity() -> None:
    connection = op.get_bind()
    last = -(2**63)
    while rows := connection.exec_driver_sql(NEXT_ROWS, (last, BACKFILL_ROWS)).all():
        ids: list[int] = []
        tile_uuids: list[UUID] = []
        location_hashes: list[UUID] = []
        for last, zoom_level, x, y, source, flight_id in rows:
            ids.append(last)
            tile_uuids.append(tile_uuid_of(zoom_level, x, y, source, flight_id))
            location_hashes.append(location_hash_of(zoom_level, x, y))
        connection.exec_driver_sql(BACKFILL, (ids, tile_uuids, location_hashes))


def downgrade() -> None:
    """Take the additions away; refused when that would lose what can't be derived again.

    `accessed_at` is lost: it only orders evictions. `downgraded` becomes `stale`, its word at revision 0001.
    """
    for what, count in LOSSES:
        rows = op.get_bind().exec_driver_sql(count).scalar_one()
        if rows:
            raise TileCacheError(
                f"revision 0002 can't be undone: {what} would be lost; rows: {rows}",
                remedy="stay at revision 0002 or newer, or restore a backup made before it",
            )
    op.execute("DROP TABLE tile_freshness_rules")
    op.execute(
        """
        ALTER TABLE sector_classifications
            DROP CONSTRAINT ck_sector_classifications_bbox,
            DROP COLUMN min_lat, DROP COLUMN min_lon, DROP COLUMN max_lat, DROP COLUMN max_lon
        """
    )
    op.execute("DROP INDEX uq_tiles_natural_key")
    op.execute("UPDATE tiles SET freshness_status = 'stale' WHERE freshness_status = 'downgraded'")
    # Dropping a column drops the indexes and the checks that name it.
    op.execute(
        """
        ALTER TABLE tiles
            DROP COLUMN tile_uuid, DROP COLUMN location_hash, DROP COLUMN content_sha256,
            DROP COLUMN disk_bytes, DROP COLUMN accessed_at, DROP COLUMN uploaded_at,
            DROP CONSTRAINT ck_tiles_freshness_status,
            ADD CONSTRAINT ck_tiles_freshness_status CHECK (freshness_status IN ('fresh', 'stale', 'unknown'))
        """
    )
