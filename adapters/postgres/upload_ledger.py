"""`UploadLedger` over PostgreSQL, an operator's view of uploads, and the cursor of the provider's votes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from ...domain.errors import TileNotFoundError
from ...domain.policies.voting import check_requeue
from ...domain.values.disk_usage import DiskUsage
from ...domain.values.tiles import TileId, TileMetadataPersistent
from ...domain.values.upload_reports import TileUploadResult, UploadListEntry, UploadReason
from ...domain.values.validators import check_aware_utc
from .connection import Database
from .errors import translate_errors
from .predicates import HAS_CONTENT, IS_PENDING_UPLOAD
from .row_values import ID_COLUMNS, SELECT_TILE_FOR_UPDATE, TILE_COLUMNS, read_tile, read_tile_id
from .transactions import TileTransaction

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

SELECT_PENDING_TOTAL = (
    f"SELECT count(*), COALESCE(sum(disk_bytes), 0)::bigint FROM tiles WHERE {IS_PENDING_UPLOAD}"
)
SELECT_ENTRIES = f"""
    SELECT {TILE_COLUMNS}, tiles.id, last.*
    FROM tiles
        LEFT JOIN LATERAL (
            SELECT generation, attempt, event, reason_code, reason_detail, happened_at
            FROM uploads WHERE uploads.tile_uuid = tiles.tile_uuid ORDER BY uploads.id DESC LIMIT 1
        ) AS last ON true
    WHERE source = 'onboard' AND {HAS_CONTENT} AND tiles.id > %s
    ORDER BY tiles.id
    LIMIT %s
"""

SELECT_TILE_ID = f"SELECT {ID_COLUMNS} FROM tiles WHERE tile_uuid = %s"
SELECT_CURSOR = "SELECT cursor FROM vote_cursors WHERE provider_url = %s"
UPSERT_CURSOR = """
    INSERT INTO vote_cursors (provider_url, cursor, read_at) VALUES (%s, %s, %s)
    ON CONFLICT (provider_url) DO UPDATE SET cursor = EXCLUDED.cursor, read_at = EXCLUDED.read_at
"""

_PAGE = 1000


class PostgresUploadLedger:
    """See `UploadLedger`. A change is durable when its method returns; any number of threads may call.

    Every method raises `StoreUnavailableError` when the database does not answer; nothing was written then,
    unless the error is a `CommitOutcomeUnknownError`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def note_sent(self, request_id: UUID, tiles: Sequence[TileMetadataPersistent], at: datetime) -> None:
        check_aware_utc(at, "at")
        values = {
            "request_id": request_id,
            "at": at,
            "tile_uuids": [tile.tile_uuid for tile in tiles],
            "content_sha256s": [tile.content_sha256 for tile in tiles],
        }
        for first in tiles[:1]:
            trace = (first.tile_uuid, "sent", at, request_id)
            self._note(f"noting that {len(tiles)} tiles are sent", INSERT_SENT, values, trace)

    def note_results(
        self, request_id: UUID | None, results: Sequence[TileUploadResult], at: datetime
    ) -> None:
        check_aware_utc(at, "at")
        values = {
            "request_id": request_id,
            "at": at,
            "tile_uuids": [result.tile_id.tile_uuid for result in results],
            "events": [result.outcome.value for result in results],
            "content_sha256s": [result.content_sha256 for result in results],
            "stored_sha256s": [result.stored_sha256 for result in results],
            "reason_codes": [None if r.reason is None else r.reason.code for r in results],
            "reason_details": [None if r.reason is None else r.reason.detail for r in results],
        }
        for first in results[:1]:
            trace = (first.tile_id.tile_uuid, first.outcome.value, at, request_id)
            doing = f"noting how the upload of {len(results)} tiles ended"
            self._note(doing, INSERT_RESULTS, values, trace)

    def _note(self, doing: str, query: str, values: Mapping[str, Any], trace: Sequence[Any]) -> None:
        """Add lines. `trace` names one of them, which tells the outcome of a COMMIT whose answer was lost."""
        with TileTransaction(self._database) as transaction:
            transaction.begin_numbered(doing)
            with translate_errors(doing):
                transaction.connection.execute(query, values)
            transaction.commit(doing, DiskUsage(), lambda: (NOTED_TRACE, trace))

    def pending_total(self) -> tuple[int, int]:
        """How many tiles are pending, and their bytes."""
        ((count, disk_bytes),) = self._database.fetch_all("counting pending uploads", SELECT_PENDING_TOTAL)
        return int(count), int(disk_bytes)

    def entries(self) -> Iterator[UploadListEntry]:
        """Every onboard tile with its last line in the ledger, the oldest row first; read in pages."""
        after = 0
        while True:
            page = self._database.fetch_all("listing uploads", SELECT_ENTRIES, (after, _PAGE))
            for row in page:
                after, entry = _read_entry(row)
                yield entry
            if len(page) < _PAGE:
                return

    def requeue(self, tile_id: TileId, at: datetime) -> int:
        """Make a given-up tile pending again, with no attempts; returns the number of its new generation.

        Raises `TileNotFoundError`, or `TileMetadataError` for a tile that is not given up.
        """
        check_aware_utc(at, "at")
        doing = f"requeueing tile {tile_id}"
        with TileTransaction(self._database) as transaction:
            (found,) = transaction.begin_numbered(doing, (SELECT_TILE_FOR_UPDATE, (tile_id.tile_uuid,)))
            rows = found.rows()
            if not rows:
                raise TileNotFoundError(tile_id)
            tile = read_tile(rows[0])
            check_requeue(tile_id, tile.voting_status)
            values = {"tile_uuid": tile_id.tile_uuid, "content_sha256": tile.content_sha256, "at": at}
            with translate_errors(doing):
                transaction.connection.execute(UPDATE_REQUEUED, (tile_id.tile_uuid,))
                ((generation,),) = transaction.connection.execute(INSERT_REQUEUED, values).fetchall()
            transaction.commit(doing, DiskUsage(), lambda: (REQUEUED_TRACE, (tile_id.tile_uuid, generation)))
        return int(generation)

    def tile_named(self, tile_uuid: UUID) -> TileId | None:
        """The tile that a provider names, or None when there is no row for it."""
        rows = self._database.fetch_all(f"looking for tile {tile_uuid}", SELECT_TILE_ID, (tile_uuid,))
        return read_tile_id(rows[0]) if rows else None

    def vote_cursor(self, provider_url: str) -> str | None:
        """The cursor behind the last vote that was read from this provider; None: no vote was read."""
        rows = self._database.fetch_all("reading the cursor of votes", SELECT_CURSOR, (provider_url,))
        return str(rows[0][0]) if rows else None

    def keep_vote_cursor(self, provider_url: str, cursor: str, at: datetime) -> None:
        """Store the cursor that the next reading of votes starts at."""
        check_aware_utc(at, "at")
        with self._database.session("keeping the cursor of votes") as connection:
            connection.execute(UPSERT_CURSOR, (provider_url, cursor, at))


def _read_entry(row: Sequence[Any]) -> tuple[int, UploadListEntry]:
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
