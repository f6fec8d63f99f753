"""What an upload asks for, what the provider answers about each tile, and the report in the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from uuid import UUID

import attrs
from attrs.validators import is_callable

from .pixels import TilePixelHandle
from .tile_rules import is_pending_upload
from .tiles import TileId, TileMetadataPersistent, VotingStatus

FRAME_ALLOWANCE_BYTES = 1024
"""Bytes that a tile adds to a request besides its pixels; no frame's header is longer."""


class TileUploadOutcome(str, Enum):
    """How one tile of a batch ended."""

    ACCEPTED = "accepted"
    """The provider stored it."""
    DUPLICATE = "duplicate"
    """The provider held the same content already."""
    REJECTED = "rejected"
    """It was not taken, and sending the same bytes again will hardly help."""
    UNANSWERED = "unanswered"
    """No usable answer came; the provider may or may not hold the tile."""


class BatchOutcome(str, Enum):
    """How a call ended."""

    SUCCESS = "success"
    """The provider holds every tile that was pending; also when none was."""
    PARTIAL = "partial"
    """Some tiles were judged, and not every pending tile was taken, or even tried."""
    FAILURE = "failure"
    """The provider judged no tile at all."""


class ProblemKind(str, Enum):
    """Why a request was unanswered; decides about its tiles and about the next request."""

    UNREACHABLE = "unreachable"
    """Nothing was sent: refused, no such host, no route."""
    BUSY = "busy"
    """The provider asks for patience (429, 503)."""
    BROKEN_OFF = "broken_off"
    """The connection was lost or too slow, before or after the provider stored the tiles."""
    SERVER_FAULT = "server_fault"
    """The provider failed over this batch (500)."""
    UNREADABLE_BATCH = "unreadable_batch"
    """The provider can't read this batch (400, 422)."""
    TOO_LARGE = "too_large"
    """The batch has more bytes or tiles than the provider accepts (413)."""
    GARBLED_ANSWER = "garbled_answer"
    """There was an answer that can't be read."""
    REFUSED = "refused"
    """Nothing will be taken until an operator changes something: token, certificate, address."""

    @property
    def ends_the_pass(self) -> bool:
        """Whether the next request would end the same way, whatever tiles are in it."""
        return self in (ProblemKind.UNREACHABLE, ProblemKind.BUSY, ProblemKind.REFUSED)

    @property
    def may_pass_soon(self) -> bool:
        """Whether the problem may pass within seconds or minutes."""
        return self not in (
            ProblemKind.REFUSED,
            ProblemKind.GARBLED_ANSWER,
            ProblemKind.UNREADABLE_BATCH,
        )


@attrs.frozen
class UploadReason:
    """Why a tile was not taken: a short stable code for programs, a line for people."""

    code: str
    """For programs: short and stable."""
    detail: str
    """For people: one printable line; may be empty."""

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}" if self.detail else self.code


@attrs.frozen(kw_only=True)
class UploadProblem:
    """Why a request brought no answer about its tiles."""

    kind: ProblemKind
    """What it means for the next request."""
    reason: UploadReason
    """What happened."""
    retry_after_s: float | None = None
    """Seconds that the provider asks us to wait."""
    remedy: str | None = None
    """What an operator can do; None where waiting is all."""


@attrs.frozen
class TileAnswer:
    """The provider's answer about one tile, not judged yet."""

    outcome: TileUploadOutcome
    stored_sha256: str | None = None
    reason: UploadReason | None = None


@attrs.frozen
class BatchAnswer:
    """The answer to one request: by `tile_uuid`, or the problem that left the request unanswered."""

    answers: Mapping[UUID, TileAnswer] = attrs.field(factory=dict)
    problem: UploadProblem | None = None


@attrs.frozen
class TileToSend:
    """A tile of a batch and its pixels, which stay open until the answer came."""

    metadata: TileMetadataPersistent
    pixels: TilePixelHandle


@attrs.frozen
class UploadBatch:
    """The tiles of one request."""

    request_id: UUID
    tiles: tuple[TileToSend, ...]


@attrs.frozen(kw_only=True)
class TileUploadResult:
    """How one tile ended, judged against our own row."""

    tile_id: TileId
    """Which tile it is."""
    content_sha256: str
    """Of our own content."""
    outcome: TileUploadOutcome
    """Judged against our row: a tile counts as taken only when the provider stored our hash."""
    attempts_before: int
    """Rejections that our row had counted when the tile was chosen; tells two uploaders' rejections apart."""
    stored_sha256: str | None = None
    """The hash that the provider says it holds."""
    reason: UploadReason | None = None
    """Why it was rejected or not answered."""

    @property
    def taken(self) -> bool:
        """Whether the provider holds our content."""
        return self.outcome in (TileUploadOutcome.ACCEPTED, TileUploadOutcome.DUPLICATE)


@attrs.frozen(kw_only=True)
class BatchProgress:
    """One batch that has ended, reported while the call goes on."""

    results: tuple[TileUploadResult, ...]
    """One for each tile of the batch."""
    sent_bytes: int = 0
    """Pixels that went out, whether or not an answer came."""
    taken_bytes: int = 0
    """Pixels of the tiles that the provider now holds, by its answer."""
    problem: UploadProblem | None = None
    """Why the request was not answered; None when it was."""


def _never() -> bool:
    return False


def _ignore(_: BatchProgress) -> None:
    return None


@attrs.frozen(kw_only=True)
class UploadRequest:
    """Callbacks of an upload."""

    after_batch: Callable[[BatchProgress], None] = attrs.field(default=_ignore, validator=is_callable())
    """Called after each batch, once its changes are durable."""
    stopped: Callable[[], bool] = attrs.field(default=_never, validator=is_callable())
    """Asked before each batch and after each wait; True ends the call once batches under way have ended."""


@attrs.frozen(kw_only=True)
class UploadBatchReport:
    """How a call ended."""

    outcome: BatchOutcome
    """The call as a whole."""
    accepted: int = 0
    """Tiles that the provider stored."""
    duplicates: int = 0
    """Tiles that the provider held already, with our content."""
    rejected: tuple[TileUploadResult, ...] = ()
    """Tiles that were not taken and stay pending."""
    unanswered: tuple[TileUploadResult, ...] = ()
    """Tiles that were sent and not judged; they stay pending."""
    given_up: tuple[TileUploadResult, ...] = ()
    """Tiles whose last attempt this call was."""
    problem: UploadProblem | None = None
    """The problem of the last request, when that one was unanswered."""
    retries: int = 0
    """How often the call went over what was left."""
    next_retry_at_s: float | None = None
    """Seconds since 1970 at which another call makes sense; None: nothing is left that waiting would help."""

    @property
    def retry_after_s(self) -> float | None:
        """Seconds that the provider asked us to wait."""
        return None if self.problem is None else self.problem.retry_after_s


class UploadState(str, Enum):
    """The state of an onboard tile in the upload queue."""

    PENDING = "pending"
    UPLOADED = "uploaded"
    """The provider holds our content, by its own answer."""
    GIVEN_UP = "given_up"
    VOTED_OUT = "voted_out"
    """The provider's verdict came before the upload; the tile will not be sent."""


def upload_state(tile: TileMetadataPersistent) -> UploadState:
    """The state of an onboard tile, by its row."""
    if is_pending_upload(tile):
        return UploadState.PENDING
    if tile.uploaded_at is not None:
        return UploadState.UPLOADED
    if tile.voting_status is VotingStatus.UPLOAD_GIVEUP:
        return UploadState.GIVEN_UP
    return UploadState.VOTED_OUT


@attrs.frozen(kw_only=True)
class UploadListEntry:
    """An onboard tile and its last line in the ledger."""

    tile: TileMetadataPersistent
    generation: int = 1
    """The number of its life in the queue; each requeue begins the next one."""
    times_sent: int = 0
    """In this generation, whether or not an answer came."""
    last_event: str | None = None
    """`sent` (no answer came), one of `TileUploadOutcome`, or `requeued`."""
    last_reason: UploadReason | None = None
    last_at: datetime | None = None

    @property
    def state(self) -> UploadState:
        """The state of the tile."""
        return upload_state(self.tile)


def idempotency_key(tile: TileMetadataPersistent) -> str:
    """The key by which the provider recognises a second delivery of the same content."""
    return f"{tile.tile_uuid}:{tile.content_sha256}"
