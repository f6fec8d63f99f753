"""A provider with its link, and an upload ledger, in memory."""

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
"""Decides why a batch as a whole gets no answer; None: the batch is answered."""


class MemoryProvider:
    """A `ProviderLink` to a provider in memory; nothing is durable.

    The provider stores a tile once, answers `duplicate` for the same content and rejects other content under
    the same name. Tiles in `rejections` are always rejected. `troubles` holds one item for each of the next
    requests: None, or a problem that replaces the answer before (with `stores_first`: after) the tiles are
    stored. `refusal` is called for every batch.
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
        answer = self._answer(batch)
        return lambda: answer

    def _answer(self, batch: UploadBatch) -> BatchAnswer:
        tiles = tuple(tile.metadata for tile in batch.tiles)
        self.batches.append(tiles)
        problem = (self.troubles.popleft() if self.troubles else None) or self.refusal(tiles)
        if problem is not None and not self.stores_first:
            return BatchAnswer(problem=problem)
        answers = {tile.metadata.tile_uuid: self._store(tile) for tile in batch.tiles}
        return BatchAnswer(answers) if problem is None else BatchAnswer(problem=problem)

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
    """One line of the ledger: a tile was sent (`result` is None), or its result arrived."""

    request_id: UUID | None
    tile_uuid: UUID
    at: datetime
    result: TileUploadResult | None = None


class MemoryUploadLedger:
    """An `UploadLedger` over a list; nothing is durable. Any number of threads may use it."""

    def __init__(self) -> None:
        self._entries: list[LedgerEntry] = []
        self._lock = threading.Lock()

    def note_sent(self, request_id: UUID, tiles: Sequence[TileMetadataPersistent], at: datetime) -> None:
        with self._lock:
            self._entries.extend(LedgerEntry(request_id, tile.tile_uuid, at) for tile in tiles)

    def note_results(
        self, request_id: UUID | None, results: Sequence[TileUploadResult], at: datetime
    ) -> None:
        with self._lock:
            self._entries.extend(
                LedgerEntry(request_id, result.tile_id.tile_uuid, at, result) for result in results
            )

    @property
    def entries(self) -> tuple[LedgerEntry, ...]:
        """Every line, in the order of the calls."""
        with self._lock:
            return tuple(self._entries)
