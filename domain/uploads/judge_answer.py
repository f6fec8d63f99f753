"""How one tile of a batch ended: the provider's answer, judged against our own row."""

from __future__ import annotations

from ..errors import (
    BaseUnavailableError,
    ContentHashMismatchError,
    StoreUnavailableError,
    TileCacheError,
    TileNotFoundError,
    TileRecalledError,
)
from ..values.tiles import TileMetadataPersistent
from ..values.upload_reports import TileAnswer, TileUploadOutcome, TileUploadResult, UploadReason

HASH_DIFFERS = "stored_hash_differs"
UNREADABLE = (
    BaseUnavailableError,
    ContentHashMismatchError,
    StoreUnavailableError,
    TileNotFoundError,
    TileRecalledError,
)
"""What a read raises that costs its own tile, and never the others of a pass."""
_LEFT_OUT = UploadReason("left_out_of_answer", "the provider's answer does not name the tile")
_FILE_MISSING = UploadReason("file_missing", "the store has no file for the tile")
_CLAIMS_TO_HOLD = (TileUploadOutcome.ACCEPTED, TileUploadOutcome.DUPLICATE)


def judge(tile: TileMetadataPersistent, answer: TileAnswer | None) -> TileUploadResult:
    """The result by the provider's answer; a tile is taken only when the stored hash is that of our row."""
    if answer is None:
        return without_answer(tile, TileUploadOutcome.UNANSWERED, _LEFT_OUT)
    outcome, reason = answer.outcome, answer.reason
    if outcome in _CLAIMS_TO_HOLD and answer.stored_sha256 != tile.content_sha256:
        outcome = TileUploadOutcome.REJECTED
        detail = f"the provider holds SHA-256 {answer.stored_sha256}, we hold {tile.content_sha256}"
        reason = UploadReason(HASH_DIFFERS, detail)
    return TileUploadResult(
        tile_id=tile.tile_id,
        content_sha256=tile.content_sha256,
        outcome=outcome,
        attempts_before=tile.upload_attempts,
        stored_sha256=answer.stored_sha256,
        reason=reason,
    )


def without_answer(
    tile: TileMetadataPersistent, outcome: TileUploadOutcome, reason: UploadReason
) -> TileUploadResult:
    """The result of a tile that no answer names."""
    return TileUploadResult(
        tile_id=tile.tile_id,
        content_sha256=tile.content_sha256,
        outcome=outcome,
        attempts_before=tile.upload_attempts,
        reason=reason,
    )


def file_damaged(tile: TileMetadataPersistent, actual_sha256: str) -> TileUploadResult:
    """The result of a tile whose bytes are not those of its row; it is not sent."""
    detail = f"the file's SHA-256 is {actual_sha256}, the row's {tile.content_sha256}"
    return without_answer(tile, TileUploadOutcome.REJECTED, UploadReason("file_damaged", detail))


def not_read(tile: TileMetadataPersistent, error: TileCacheError) -> TileUploadResult:
    """The result of a tile whose read raised one of `UNREADABLE`; it is not sent.

    A file that is missing or damaged is rejected. A tile that a recall list names, or that the disk does not
    give, stays pending with its attempts.
    """
    if isinstance(error, TileNotFoundError):
        return without_answer(tile, TileUploadOutcome.REJECTED, _FILE_MISSING)
    if isinstance(error, ContentHashMismatchError):  # of a store that verifies its reads
        return file_damaged(tile, str(error.actual))
    code = "recalled" if isinstance(error, TileRecalledError) else "file_unreadable"
    detail = str(error).encode("utf-8", "backslashreplace").decode()  # a path may hold what is no text
    return without_answer(tile, TileUploadOutcome.UNANSWERED, UploadReason(code, detail))
