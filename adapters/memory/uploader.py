"""A provider, the way to it, and a ledger of what went there, in memory."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

import attrs

from ...domain.values.tiles import TileMetadataPersistent
from ...domain.values.upload_reports import (
    BatchAnswer,
    TileAnswer,
    TileToSend,
    TileUploadOutcome,
    TileUploadResult,
    UploadBatch,
    UploadProblem,
    UploadReason,
)

Refusal = Callable[[Sequence[TileMetadataPersistent]], "UploadProblem | None"]
"""Why a batch as a whole brings no word, or None."""


class MemoryProvider:
    """A `ProviderLink` to a provider in memory, for tests; nothing survives the process.

    It stores a tile once, answers `duplicate` for the same content and rejects another one under the same
    name. `rejections` names tiles that it never takes. `troubles` holds what becomes of the next requests,
    one each: a problem that replaces the answer before (or, with `stores_first`, after) the tiles are stored.
    `refusal` is asked about every batch.
    """

    def __init__(self) -> None:
        self.stored: dict[UUID, str] = {}
        self.rejections: dict[UUID, UploadReason] = {}
        self.troubles: deque[UploadProblem | None] = deque()
        self.stores_first = False
        self.refusal: Refusal = lambda tiles: None
        self.batches: list[tuple[TileMetadataPersistent, ...]] = []
        """Every batch that arrived, in order."""

    def begin(self, batch: UploadBatch) -> Callable[[], BatchAnswer]:
        """See `ProviderLink`."""
        answer = self._answer(batch)
        return lambda: answer

    def _answer(self, batch: UploadBatch) -> BatchAnswer:
        tiles = tuple(tile.metadata for tile in batch.tiles)
        self.batches.append(tiles)
        problem = (self.troubles.popleft() if self.troubles else None) or self.refusal(tiles)
        if problem is not None and not self.stores_first:
            return BatchAnswer(problem=problem)
        words = {tile.metadata.tile_uuid: self._store(tile) for tile in batch.tiles}
        return BatchAnswer(words) if problem is None else BatchAnswer(problem=problem)

    def _store(self, tile: TileToSend) -> TileAnswer:
        tile_uuid = tile.metadata.tile_uuid
        sha256 = hashlib.sha256(tile.pixels).hexdigest()
        if tile_uuid in self.rejections:
            return TileAnswer(TileUploadOutcome.REJECTED, reason=self.rejections[tile_uuid])
        held = self.stored.get(tile_uuid)
        if held is None:
            self.stored[tile_uuid] = sha256
            return TileAnswer(TileUploadOutcome.ACCEPTED, stored_sha256=sha256)
        if held == sha256:
            return TileAnswer(TileUploadOutcome.DUPLICATE, stored_sha256=sha256)
        reason = UploadReason("content_conflict", "another content is stored under this tile_uuid")
        return TileAnswer(TileUploadOutcome.REJECTED, reason=reason)


@attrs.frozen
class LedgerEntry:
    """One line of the ledger: sent (no result yet), or how it ended."""

    request_id: UUID | None
    tile_uuid: UUID
    at: datetime
    result: TileUploadResult | None = None


class MemoryUploadLedger:
    """An `UploadLedger` in a list, for tests and small tools. Any number of threads may use it."""

    def __init__(self) -> None:
        self._entries: list[LedgerEntry] = []
        self._lock = threading.Lock()

    def note_sent(self, request_id: UUID, tiles: Sequence[TileMetadataPersistent], at: datetime) -> None:
        """See `UploadLedger`."""
        with self._lock:
            self._entries.extend(LedgerEntry(request_id, tile.tile_uuid, at) for tile in tiles)

    def note_results(
        self, request_id: UUID | None, results: Sequence[TileUploadResult], at: datetime
    ) -> None:
        """See `UploadLedger`."""
        with self._lock:
            self._entries.extend(
                LedgerEntry(request_id, result.tile_id.tile_uuid, at, result) for result in results
            )

    @property
    def entries(self) -> tuple[LedgerEntry, ...]:
        """Everything noted, in order."""
        with self._lock:
            return tuple(self._entries)
