"""Upload what is pending: one pass over it, batch by batch.

One batch, as the specification tells it: take the oldest pending tiles, read and check their pixels, note in
the ledger what is sent, send it, note the provider's word, mark what it holds. A crash between any two of
these leaves tiles pending that the next pass sends again; the provider knows them by their idempotency keys.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Protocol
from uuid import UUID, uuid4

import attrs

from ..errors import ContentHashMismatchError, TileNotFoundError
from ..policies.upload_batching import BatchLimits, Suspicions, choose_batch, cleared, decide_after_problem
from ..ports.clock import Clock
from ..values.pixels import TilePixelHandle
from ..values.tiles import TileId, TileMetadataPersistent
from ..values.upload_reports import (
    BatchAnswer,
    BatchOutcome,
    BatchProgress,
    TileAnswer,
    TileToSend,
    TileUploadOutcome,
    TileUploadResult,
    UploadBatch,
    UploadBatchReport,
    UploadProblem,
    UploadReason,
    UploadRequest,
)

_log = logging.getLogger("aerotile.upload")

LEFT_OUT = UploadReason("left_out_of_answer", "the provider's answer does not name the tile")
NO_LONGER_THERE = UploadReason("file_missing", "the store has no file for the tile")
HASH_DIFFERS = "stored_hash_differs"
DAMAGED = "file_damaged"


class PendingTiles(Protocol):
    """The calls to the metadata store that a pass makes."""

    def pending_uploads(self, limit: int) -> list[TileMetadataPersistent]: ...

    def mark_uploaded(self, tile_id: TileId, uploaded_at: datetime, content_sha256: str) -> None: ...


class PixelSource(Protocol):
    """The call to the tile store that a pass makes."""

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle: ...


class UploadLedger(Protocol):
    """The durable history of what was sent and what was said; committed when a method returns."""

    def note_sent(self, request_id: UUID, tiles: Sequence[TileMetadataPersistent], at: datetime) -> None:
        """These tiles are about to be sent in this request. Raises `StoreUnavailableError`."""
        ...

    def note_results(
        self, request_id: UUID | None, results: Sequence[TileUploadResult], at: datetime
    ) -> None:
        """How tiles ended; `request_id` is None for those that were never sent. Raises as above."""
        ...


class ProviderLink(Protocol):
    """The way to the provider."""

    def begin(self, batch: UploadBatch) -> Callable[[], BatchAnswer]:
        """Begin to send a batch; the returned call waits for its answer, and never raises an error of ours.

        The pixels of the batch are read until the answer is there.
        """
        ...


@attrs.frozen
class _UnderWay:
    """A batch whose answer is still to come."""

    batch: UploadBatch
    answer: Callable[[], BatchAnswer]
    handles: ExitStack

    @property
    def tiles(self) -> tuple[TileMetadataPersistent, ...]:
        return tuple(tile.metadata for tile in self.batch.tiles)


class PendingTileUploader:
    """A `TileUploader` that goes once over everything that is pending, with `parallel` batches under way.

    Tiles that were rejected or left out are not tried again in the same call. Memory holds the metadata of
    the batches under way and of tiles that were not taken; pixels are mapped, not copied. One call at a time.
    """

    def __init__(
        self,
        *,
        tiles: PendingTiles,
        store: PixelSource,
        ledger: UploadLedger,
        link: ProviderLink,
        clock: Clock,
        limits: BatchLimits | None = None,
        parallel: int = 1,
        new_request_id: Callable[[], UUID] = uuid4,
    ) -> None:
        self.tiles = tiles
        self.store = store
        self.ledger = ledger
        self.link = link
        self.clock = clock
        self.parallel = parallel
        self.new_request_id = new_request_id
        self.suspicions = Suspicions(limits=limits or BatchLimits())

    def upload_pending_tiles(self, request: UploadRequest) -> UploadBatchReport:
        """See `TileUploader`."""
        return _Pass(self, request).run()


class _Pass:
    """One call of `PendingTileUploader`."""

    def __init__(self, uploader: PendingTileUploader, request: UploadRequest) -> None:
        self._uploader = uploader
        self._request = request
        self._under_way: deque[_UnderWay] = deque()
        self._not_taken: dict[TileId, TileUploadResult] = {}
        self._passed_over: set[TileId] = set()
        """Tiles that are not tried again in this pass."""
        self._taken = dict.fromkeys((TileUploadOutcome.ACCEPTED, TileUploadOutcome.DUPLICATE), 0)
        self._problem: UploadProblem | None = None
        self._silent = 0
        self._heard = False
        """Whether the provider gave its word on any tile."""
        self._ended = False

    def run(self) -> UploadBatchReport:
        """Go over everything once."""
        while True:
            while self._may_begin() and self._begin_next():
                pass
            if not self._under_way:
                return self._report()
            # Only an answer ends the reading of pixels; when this raises, the link still holds them.
            self._settle(self._under_way[0])
            self._under_way.popleft().handles.close()

    def _may_begin(self) -> bool:
        self._ended = self._ended or self._request.stopped()
        return not self._ended and len(self._under_way) < self._uploader.parallel

    def _begin_next(self) -> bool:
        """Send one more batch; False when there is nothing to send now."""
        chosen = choose_batch(self._candidates(), self._uploader.suspicions)
        now = self._uploader.clock.now()
        readable: list[TileToSend] = []
        unreadable: list[TileUploadResult] = []
        with ExitStack() as handles:
            for tile in chosen:
                opened = self._open(tile, handles)
                if isinstance(opened, TileToSend):
                    readable.append(opened)
                else:
                    unreadable.append(opened)
            if unreadable:
                self._uploader.ledger.note_results(None, unreadable, now)
                self._tell(unreadable, passed_over=True)
            if readable:
                batch = UploadBatch(self._uploader.new_request_id(), tuple(readable))
                self._uploader.ledger.note_sent(batch.request_id, [tile.metadata for tile in readable], now)
                answer = self._uploader.link.begin(batch)
                self._under_way.append(_UnderWay(batch, answer, handles.pop_all()))
        return bool(chosen)

    def _candidates(self) -> list[TileMetadataPersistent]:
        """Pending tiles that may go into the next batch; enough to fill it with unsuspected ones."""
        suspicions = self._uploader.suspicions
        excluded = self._passed_over.union(
            tile.tile_id for under_way in self._under_way for tile in under_way.tiles
        )
        most = suspicions.limits.max_tiles + len(excluded) + len(suspicions.group_sizes)
        return [t for t in self._uploader.tiles.pending_uploads(most) if t.tile_id not in excluded]

    def _open(self, tile: TileMetadataPersistent, handles: ExitStack) -> TileToSend | TileUploadResult:
        """The tile with its pixels, checked against its row; or why it can't be sent."""
        try:
            pixels = handles.enter_context(self._uploader.store.read_tile_pixels(tile.tile_id))
        except TileNotFoundError:
            return _result(tile, TileAnswer(TileUploadOutcome.REJECTED, reason=NO_LONGER_THERE))
        actual = hashlib.sha256(pixels).hexdigest()
        if actual == tile.content_sha256:
            return TileToSend(tile, pixels)
        reason = UploadReason(DAMAGED, f"the file's SHA-256 is {actual}, the row's {tile.content_sha256}")
        return _result(tile, TileAnswer(TileUploadOutcome.REJECTED, reason=reason))

    def _settle(self, under_way: _UnderWay) -> None:
        """Wait for an answer and do what follows from it."""
        answer = under_way.answer()
        tiles = under_way.tiles
        passed_over = True
        if answer.problem is None:
            results = self._after_words(tiles, answer)
        else:
            results, passed_over = self._after_problem(tiles, answer.problem)
        now = self._uploader.clock.now()
        self._uploader.ledger.note_results(under_way.batch.request_id, results, now)
        self._tell(
            [self._marked(result, now) for result in results],
            passed_over=passed_over,
            sizes={tile.tile_id: tile.disk_bytes for tile in tiles},
            problem=answer.problem,
        )

    def _after_words(
        self, tiles: Sequence[TileMetadataPersistent], answer: BatchAnswer
    ) -> list[TileUploadResult]:
        self._silent = 0
        self._heard = True
        if not self._ended:
            self._problem = None
        self._uploader.suspicions = cleared(self._uploader.suspicions, tiles)
        return [judge(tile, answer.words.get(tile.tile_uuid)) for tile in tiles]

    def _after_problem(
        self, tiles: Sequence[TileMetadataPersistent], problem: UploadProblem
    ) -> tuple[list[TileUploadResult], bool]:
        after = decide_after_problem(
            self._uploader.suspicions,
            tiles,
            problem,
            silent_before=self._silent,
            heard_before=self._heard,
        )
        self._uploader.suspicions = after.suspicions
        self._ended = self._ended or after.ends_pass
        if after.rejects:
            # This is the provider's word on the one tile, not a problem of the way there.
            self._silent, self._heard = 0, True
            outcome = TileUploadOutcome.REJECTED
        else:
            self._silent += 1
            self._problem = problem
            outcome = TileUploadOutcome.UNANSWERED
        word = TileAnswer(outcome, reason=problem.reason)
        return [_result(tile, word) for tile in tiles], after.passed_over

    def _marked(self, result: TileUploadResult, now: datetime) -> TileUploadResult:
        """Note in our row that the provider holds the tile."""
        if not result.taken or result.stored_sha256 is None:
            return result
        try:
            self._uploader.tiles.mark_uploaded(result.tile_id, now, result.stored_sha256)
        except TileNotFoundError:
            _log.info("tile %s was deleted while it was under way", result.tile_id)
        except ContentHashMismatchError as error:
            # Deleted and written anew while it was under way: what was sent is no longer what we hold.
            reason = UploadReason(HASH_DIFFERS, str(error))
            return attrs.evolve(result, outcome=TileUploadOutcome.UNANSWERED, reason=reason)
        return result

    def _tell(
        self,
        results: Sequence[TileUploadResult],
        *,
        passed_over: bool,
        sizes: Mapping[TileId, int] | None = None,
        problem: UploadProblem | None = None,
    ) -> None:
        """Note how tiles ended, and tell the caller."""
        for result in results:
            if result.taken:
                self._taken[result.outcome] += 1
                self._not_taken.pop(result.tile_id, None)
                continue
            self._not_taken[result.tile_id] = result
            if passed_over:
                self._passed_over.add(result.tile_id)
        sent = sizes or {}
        self._request.after_batch(
            BatchProgress(
                results=tuple(results),
                sent_bytes=sum(sent.values()),
                taken_bytes=sum(sent[result.tile_id] for result in results if result.taken),
                problem=problem,
            )
        )

    def _report(self) -> UploadBatchReport:
        left = tuple(self._not_taken.values())
        unanswered = tuple(r for r in left if r.outcome is TileUploadOutcome.UNANSWERED)
        if not left and not (self._ended and self._candidates()):
            outcome = BatchOutcome.SUCCESS
        elif unanswered and not self._heard:
            outcome = BatchOutcome.FAILURE
        else:
            outcome = BatchOutcome.PARTIAL
        return UploadBatchReport(
            outcome=outcome,
            accepted=self._taken[TileUploadOutcome.ACCEPTED],
            duplicates=self._taken[TileUploadOutcome.DUPLICATE],
            rejected=tuple(r for r in left if r.outcome is TileUploadOutcome.REJECTED),
            unanswered=unanswered,
            problem=self._problem,
        )


def judge(tile: TileMetadataPersistent, word: TileAnswer | None) -> TileUploadResult:
    """The provider's word on a tile, believed only when the hash that it stored is ours."""
    if word is None:
        return _result(tile, TileAnswer(TileUploadOutcome.UNANSWERED, reason=LEFT_OUT))
    claims_to_hold = word.outcome in (TileUploadOutcome.ACCEPTED, TileUploadOutcome.DUPLICATE)
    if claims_to_hold and word.stored_sha256 != tile.content_sha256:
        detail = f"the provider holds SHA-256 {word.stored_sha256}, we hold {tile.content_sha256}"
        reason = UploadReason(HASH_DIFFERS, detail)
        return _result(tile, TileAnswer(TileUploadOutcome.REJECTED, word.stored_sha256, reason))
    return _result(tile, word)


def _result(tile: TileMetadataPersistent, word: TileAnswer) -> TileUploadResult:
    return TileUploadResult(
        tile_id=tile.tile_id,
        content_sha256=tile.content_sha256,
        outcome=word.outcome,
        stored_sha256=word.stored_sha256,
        reason=word.reason,
    )
