"""`UploadLedger`: the history of uploads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from ..values.tiles import TileMetadataPersistent
from ..values.upload_reports import TileUploadResult


class UploadLedger(Protocol):
    """The durable history of requests and answers; committed when a method returns."""

    def note_sent(self, request_id: UUID, tiles: Sequence[TileMetadataPersistent], at: datetime) -> None:
        """Note that these tiles are about to be sent in this request. Raises `StoreUnavailableError`."""

    def note_results(
        self, request_id: UUID | None, results: Sequence[TileUploadResult], at: datetime
    ) -> None:
        """Note how tiles ended; without a `request_id`, tiles that were never sent.

        Raises `StoreUnavailableError`.
        """
