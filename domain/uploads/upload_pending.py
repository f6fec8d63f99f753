"""Upload the pending tiles: one pass over them, batch by batch.

One batch: choose the oldest pending tiles, read and check their pixels, note in the ledger that they are
sent, send them; wait for the answer, judge each tile, note the results, mark the tiles that the provider
holds. A crash between any two of these leaves tiles pending, which the next pass sends again; the provider
recognises them by their idempotency keys.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Protocol
from uuid import UUID, uuid4

import attrs

from ..errors import ContentHashMismatchError, TileNotFoundError
from ..policies.upload_batching import BatchLimits, Suspicions, choose_batch, cleared, decide_after_problem
from ..ports.clock import Clock
from ..ports.provider_link import ProviderLink
from ..ports.upload_ledger import UploadLedger
from ..values.pixels import TilePixelHandle
from ..values.tiles import TileId, TileMetadataPersistent
from ..values.upload_reports import (
    BatchAnswer,
    BatchProgress,
    TileToSend,
    TileUploadOutcome,
    TileUploadResult,
    UploadBatch,
    UploadBatchReport,
    UploadProblem,
    UploadReason,
    UploadRequest,
)
from ..values.validators import check_kind
from .judge_answer import HASH_DIFFERS, UNREADABLE, file_damaged, judge, not_read, without_answer
from .pass_tally import PassTally

_log = logging.getLogger("aerotile.upload")


class PendingTiles(Protocol):
    """The calls to the metadata store that a pass makes."""

    def pending_uploads(self, limit: int) -> list[TileMetadataPersistent]: ...

    def mark_uploaded(self, tile_id: TileId, uploaded_at: datetime, content_sha256: str) -> None: ...


class PixelSource(Protocol):
    """The call to the tile store that a pass makes."""

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle: ...


@attrs.frozen
class _UnderWay:
    """A batch whose answer is still to come."""

    request_id: UUID
    tiles: tuple[TileMetadataPersistent, ...]
    answer: Callable[[], BatchAnswer]
    handles: ExitStack


class PendingTileUploader:
    """A `TileUploader` that goes once over all pending tiles, with `parallel` batches under way.

    A tile that was rejected or left out is not tried again in the same call. Memory holds the metadata of the
    batches under way and of tiles that were not taken; pixels are mapped, not copied. One call at a time.
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
        check_kind(request, UploadRequest, "request")
        return _Pass(self, request).run()


class _Pass:
    """One call of `PendingTileUploader`."""

    def __init__(self, parts: PendingTileUploader, request: UploadRequest) -> None:
        self._parts = parts
        self._request = request
        self._under_way: deque[_UnderWay] = deque()
        self._tally = PassTally()
        self._passed_over: set[TileId] = set()
        """Tiles that are not tried again in this pass."""
        self._ended = False
        """Whether no more batches are sent in this pass."""

    def run(self) -> UploadBatchReport:
        """Send batches while the pass may go on, and settle the oldest one when no other may be sent."""
        while True:
            while self._may_send() and (chosen := choose_batch(self._candidates(), self._parts.suspicions)):
                self._send(chosen)
            if not self._under_way:
                return self._tally.report(any_untried=self._ended and bool(self._candidates()))
            # The link reads the pixels until it answers: when this raises, the handles stay open.
            self._settle(self._under_way[0])
            self._under_way.popleft().handles.close()

    def _may_send(self) -> bool:
        self._ended = self._ended or self._request.stopped()
        return not self._ended and len(self._under_way) < self._parts.parallel

    def _candidates(self) -> list[TileMetadataPersistent]:
        """Pending tiles that may go into the next batch; enough to fill it with unsuspected ones."""
        suspicions = self._parts.suspicions
        excluded = set(self._passed_over)
        for under_way in self._under_way:
            excluded.update([tile.tile_id for tile in under_way.tiles])
        most = suspicions.limits.max_tiles + len(excluded) + len(suspicions.group_sizes)
        return [t for t in self._parts.tiles.pending_uploads(most) if t.tile_id not in excluded]

    def _send(self, chosen: Sequence[TileMetadataPersistent]) -> None:
        """Read and check the tiles, note in the ledger that they are sent, begin to send them."""
        now = self._parts.clock.now()
        readable: list[TileToSend] = []
        held_back: list[TileUploadResult] = []
        with ExitStack() as handles:
            for tile in chosen:
                opened = self._open(tile, handles)
                if isinstance(opened, TileToSend):
                    readable.append(opened)
                else:
                    held_back.append(opened)
            if held_back:
                self._parts.ledger.note_results(None, held_back, now)
                self._passed_over.update([result.tile_id for result in held_back])
                self._tell(BatchProgress(results=tuple(held_back)))
            if readable:
                batch = UploadBatch(self._parts.new_request_id(), tuple(readable))
                tiles = tuple([tile.metadata for tile in readable])
                self._parts.ledger.note_sent(batch.request_id, tiles, now)
                answer = self._parts.link.begin(batch)
                self._under_way.append(_UnderWay(batch.request_id, tiles, answer, handles.pop_all()))

    def _open(self, tile: TileMetadataPersistent, handles: ExitStack) -> TileToSend | TileUploadResult:
        """The tile with its pixels, or its result when they can't be sent: it stops no other tile."""
        try:
            pixels = handles.enter_context(self._parts.store.read_tile_pixels(tile.tile_id))
        except UNREADABLE as error:
            return not_read(tile, error)
        actual = hashlib.sha256(pixels).hexdigest()
        return TileToSend(tile, pixels) if actual == tile.content_sha256 else file_damaged(tile, actual)

    def _settle(self, under_way: _UnderWay) -> None:
        """Wait for the answer, judge each tile, note the results, mark the tiles that the provider holds."""
        answer = under_way.answer()
        tiles = under_way.tiles
        if answer.problem is None:
            results, passed_over = self._judge(tiles, answer), True
        else:
            results, passed_over = self._after_problem(tiles, answer.problem)
        now = self._parts.clock.now()
        self._parts.ledger.note_results(under_way.request_id, results, now)
        sent_bytes = taken_bytes = 0
        for position, (tile, result) in enumerate(zip(tiles, results, strict=True)):
            results[position] = result = self._mark(result, now) if result.taken else result
            sent_bytes += tile.disk_bytes
            if result.taken:
                taken_bytes += tile.disk_bytes
            elif passed_over:
                self._passed_over.add(tile.tile_id)
        self._tell(
            BatchProgress(
                results=tuple(results),
                sent_bytes=sent_bytes,
                taken_bytes=taken_bytes,
                problem=answer.problem,
            )
        )

    def _judge(self, tiles: Sequence[TileMetadataPersistent], answer: BatchAnswer) -> list[TileUploadResult]:
        """How the tiles of an answered request ended."""
        self._tally.add_answer()
        if not self._ended:
            self._tally.problem = None
        self._parts.suspicions = cleared(self._parts.suspicions, tiles)
        return [judge(tile, answer.answers.get(tile.tile_uuid)) for tile in tiles]

    def _after_problem(
        self, tiles: Sequence[TileMetadataPersistent], problem: UploadProblem
    ) -> tuple[list[TileUploadResult], bool]:
        """How the tiles of an unanswered request ended, and whether they are passed over in this pass."""
        after = decide_after_problem(
            self._parts.suspicions,
            tiles,
            problem,
            unanswered_before=self._tally.unanswered_requests,
            answered_before=self._tally.answered,
        )
        self._parts.suspicions = after.suspicions
        self._ended = self._ended or after.ends_pass
        if after.rejects:
            # The problem is the provider's answer about the one tile, not a fault of the link.
            self._tally.add_answer()
            outcome = TileUploadOutcome.REJECTED
        else:
            self._tally.add_problem(problem)
            outcome = TileUploadOutcome.UNANSWERED
        return [without_answer(tile, outcome, problem.reason) for tile in tiles], after.passed_over

    def _mark(self, result: TileUploadResult, now: datetime) -> TileUploadResult:
        """Note in our row that the provider holds the tile; unanswered after all if the row changed."""
        try:
            self._parts.tiles.mark_uploaded(result.tile_id, now, result.content_sha256)
        except TileNotFoundError:
            _log.info("tile %s was deleted while it was under way", result.tile_id)
        except ContentHashMismatchError as error:
            # The tile was deleted and written anew: the provider holds bytes that are no longer ours.
            reason = UploadReason(HASH_DIFFERS, str(error))
            return attrs.evolve(result, outcome=TileUploadOutcome.UNANSWERED, reason=reason)
        return result

    def _tell(self, progress: BatchProgress) -> None:
        """Count the results of a batch, then tell the caller."""
        self._tally.add_results(progress.results)
        self._request.after_batch(progress)
