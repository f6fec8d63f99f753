"""Bringing the aircraft's own tiles to the satellite provider."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ..values.upload_reports import UploadBatchReport, UploadRequest


@runtime_checkable
class TileUploader(Protocol):
    """Brings the tiles that the aircraft made to the satellite provider."""

    def upload_pending_tiles(self, request: UploadRequest) -> UploadBatchReport:
        """Send every pending tile and report the outcome; faults of link and provider are in the report.

        A tile is marked as uploaded only when the provider answers that it holds our content. May be called
        again after any end, a crash included. Waits at most `upload.request_timeout_s` seconds for each
        request, and `upload.backoff_cap_s` before each of `upload.max_in_call_retries` retries. Raises
        `StoreUnavailableError` when our own database or disk does not answer; tiles that were marked before
        stay marked.
        """
