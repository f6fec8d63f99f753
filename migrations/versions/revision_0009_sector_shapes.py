"""Sectors as shapes: a GeoJSON geometry in place of four edges; a box is one with the member `bbox`."""

from __future__ import annotations

from alembic import op

from aerotile.domain.errors import TileCacheError

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

UPGRADE = (
    "SET LOCAL extra_float_digits = 1",  # numbers as text to their last bit
    "ALTER TABLE sector_classifications ADD COLUMN shape jsonb",
    """
    UPDATE sector_classifications SET shape = jsonb_build_object(
        'type', 'Polygon',
        'bbox', jsonb_build_array(min_lon, min_lat, max_lon, max_lat),
        'coordinates', jsonb_build_array(jsonb_build_array(
            jsonb_build_array(min_lon, min_lat), jsonb_build_array(max_lon, min_lat),
            jsonb_build_array(max_lon, max_lat), jsonb_build_array(min_lon, max_lat),
            jsonb_build_array(min_lon, min_lat)
        ))
    )
    WHERE min_lat IS NOT NULL
    """,
    """
    ALTER TABLE sector_classifications
        DROP COLUMN min_lat, DROP COLUMN min_lon, DROP COLUMN max_lat, DROP COLUMN max_lon,
        ADD CONSTRAINT ck_sector_classifications_shape CHECK (
            COALESCE(shape ->> 'type', '') IN ('Polygon', 'MultiPolygon') OR shape IS NULL
        )
    """,
)
POLYGONS = "SELECT count(*) FROM sector_classifications WHERE shape IS NOT NULL AND NOT shape ? 'bbox'"
DOWNGRADE = (
    """
    ALTER TABLE sector_classifications
        DROP CONSTRAINT ck_sector_classifications_shape,
        ADD COLUMN min_lat double precision, ADD COLUMN min_lon double precision,
        ADD COLUMN max_lat double precision, ADD COLUMN max_lon double precision
    """,
    """
    UPDATE sector_classifications SET
        min_lon = (shape -> 'bbox' ->> 0)::double precision,
        min_lat = (shape -> 'bbox' ->> 1)::double precision,
        max_lon = (shape -> 'bbox' ->> 2)::double precision,
        max_lat = (shape -> 'bbox' ->> 3)::double precision
    """,
    """
    ALTER TABLE sector_classifications DROP COLUMN shape,
        ADD CONSTRAINT ck_sector_classifications_bbox CHECK (
            num_nulls(min_lat, min_lon, max_lat, max_lon) = 4
            OR (
                num_nulls(min_lat, min_lon, max_lat, max_lon) = 0
                AND -90 <= min_lat AND min_lat <= max_lat AND max_lat <= 90
                AND -180 <= min_lon AND min_lon <= max_lon AND max_lon <= 180
            )
        )
    """,
)


def upgrade() -> None:
    """Keep every box as a shape."""
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """Keep every shape as a box; refused when there are others, which no box can hold."""
    polygons = op.get_bind().exec_driver_sql(POLYGONS).scalar_one()
    if polygons:
        raise TileCacheError(
            f"revision 0009 can't be undone: sectors that are no boxes would be lost; rows: {polygons}",
            remedy="stay at revision 0009 or newer, or restore a backup made before it",
        )
    for statement in DOWNGRADE:
        op.execute(statement)
