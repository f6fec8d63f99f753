"""The SQL over `uploads` and `vote_cursors`, and how a row becomes a value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...domain.values.upload_reports import UploadListEntry, UploadReason
from .queries import TILE_COLUMNS, read_tile

INSERT_SENT = """
    INSERT INTO uploads (tile_uuid, generation, attempt, event, request_id, content_sha256, happened_at)
    SELECT
        given.tile_uuid, COALESCE(last.generation, 1), COALESCE(last.attempt, 0) + 1, 'sent', %(request_id)s,
        given.content_sha256, %(at)s
    FROM unnest(%(tile_uuids)s::uuid[], %(content_sha256s)s::text[]) AS given (tile_uuid, content_sha256)
        LEFT JOIN LATERAL (
            SELECT generation, attempt FROM uploads
            WHERE uploads.tile_uuid = given.tile_uuid ORDER BY id DESC LIMIT 1
        ) AS last ON true
"""
# A result belongs to the attempt that its request was, even when another process has sent the tile since.
INSERT_RESULTS = """
    INSERT INTO uploads (
        tile_uuid, generation, attempt, event, request_id, content_sha256, stored_sha256, reason_code,
        reason_detail, happened_at
    )
    SELECT
        given.tile_uuid, COALESCE(last.generation, 1), COALESCE(last.attempt, 0), given.event, %(request_id)s,
        given.content_sha256, given.stored_sha256, given.reason_code, given.reason_detail, %(at)s
    FROM unnest(
            %(tile_uuids)s::uuid[], %(events)s::text[], %(content_sha256s)s::text[],
            %(stored_sha256s)s::text[], %(reason_codes)s::text[], %(reason_details)s::text[]
        ) AS given (tile_uuid, event, content_sha256, stored_sha256, reason_code, reason_detail)
        LEFT JOIN LATERAL (
            SELECT generation, attempt FROM uploads
            WHERE uploads.tile_uuid = given.tile_uuid
            ORDER BY request_id IS NOT DISTINCT FROM %(request_id)s::uuid DESC, id DESC LIMIT 1
        ) AS last ON true
"""
NOTED_TRACE = """
    SELECT EXISTS (
        SELECT FROM uploads
        WHERE tile_uuid = %s AND event = %s AND happened_at = %s AND request_id IS NOT DISTINCT FROM %s::uuid
    )
"""
INSERT_REQUEUED = """
    INSERT INTO uploads (tile_uuid, generation, attempt, event, content_sha256, happened_at)
    SELECT %(tile_uuid)s, COALESCE(max(generation), 1) + 1, 0, 'requeued', %(content_sha256)s, %(at)s
    FROM uploads WHERE tile_uuid = %(tile_uuid)s
    RETURNING generation
"""
REQUEUED_TRACE = """
    SELECT EXISTS (SELECT FROM uploads WHERE tile_uuid = %s AND event = 'requeued' AND generation >= %s)
"""
UPDATE_REQUEUED = "UPDATE tiles SET voting_status = 'pending', upload_attempts = 0 WHERE tile_uuid = %s"

_PENDING = """
    source = 'onboard' AND uploaded_at IS NULL AND content_sha256 IS NOT NULL AND disk_bytes IS NOT NULL
    AND (voting_status IS NULL OR voting_status NOT IN ('rejected', 'upload_giveup'))
"""
SELECT_PENDING_TOTAL = f"SELECT count(*), COALESCE(sum(disk_bytes), 0)::bigint FROM tiles WHERE {_PENDING}"
SELECT_ENTRIES = f"""
    SELECT {TILE_COLUMNS}, tiles.id, last.*
    FROM tiles
        LEFT JOIN LATERAL (
            SELECT generation, attempt, event, reason_code, reason_detail, happened_at
            FROM uploads WHERE uploads.tile_uuid = tiles.tile_uuid ORDER BY uploads.id DESC LIMIT 1
        ) AS last ON true
    WHERE source = 'onboard' AND content_sha256 IS NOT NULL AND disk_bytes IS NOT NULL AND tiles.id > %s
    ORDER BY tiles.id
    LIMIT %s
"""

SELECT_TILE_ID = "SELECT zoom_level, x, y, source, flight_id FROM tiles WHERE tile_uuid = %s"
SELECT_CURSOR = "SELECT cursor FROM vote_cursors WHERE provider_url = %s"
UPSERT_CURSOR = """
    INSERT INTO vote_cursors (provider_url, cursor, read_at) VALUES (%s, %s, %s)
    ON CONFLICT (provider_url) DO UPDATE SET cursor = EXCLUDED.cursor, read_at = EXCLUDED.read_at
"""


def read_entry(row: Sequence[Any]) -> tuple[int, UploadListEntry]:
    """The number and the entry in a row of `SELECT_ENTRIES`."""
    number, generation, attempt, event, code, detail, at = row[-7:]
    tile = read_tile(row[:-7])
    if event is None:
        return number, UploadListEntry(tile=tile)
    return number, UploadListEntry(
        tile=tile,
        generation=generation,
        times_sent=attempt,
        last_event=event,
        last_reason=None if code is None else UploadReason(code, detail or ""),
        last_at=at,
    )
