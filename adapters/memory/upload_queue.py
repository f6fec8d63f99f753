"""Rows in memory that are an upload queue as well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from ...domain.policies.voting import check_requeue
from ...domain.values.tiles import TileId, TileSource, VotingStatus
from ...domain.values.upload_reports import UploadListEntry
from ...domain.values.validators import check_aware_utc
from .tile_rows import MemoryTileRows


class MemoryUploadQueue(MemoryTileRows):
    """An `UploadQueue` over its own rows, for tests and small tools; nothing survives the process."""

    def __init__(self) -> None:
        super().__init__()
        self._requeues: Counter[TileId] = Counter()

    def entries(self) -> Iterator[UploadListEntry]:
        """See `UploadQueue`; without lines of a ledger."""
        onboard = [row for row in self.committed() if row.tile_id.source is TileSource.ONBOARD]
        for row in sorted(onboard, key=lambda row: row.created_at):
            yield UploadListEntry(tile=row, generation=1 + self._requeues[row.tile_id])

    def requeue(self, tile_id: TileId, at: datetime) -> int:
        check_aware_utc(at, "at")
        with self._answering():
            check_requeue(tile_id, self._known(tile_id).voting_status)
            self._change(tile_id, voting_status=VotingStatus.PENDING, upload_attempts=0)
            self._requeues[tile_id] += 1
            return 1 + self._requeues[tile_id]
