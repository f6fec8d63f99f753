"""`RetryingTileUploader`: two bounded budgets around any `TileUploader`, decided by `upload_retry`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import attrs

from ..make_events import upload_giveup_event
from ..policies.upload_retry import Finish, RetryBudget, decide_after_call, is_given_up
from ..ports.clock import Clock
from ..ports.flight_recorder import FlightRecorder
from ..ports.uploader import TileUploader
from ..values.counted import counted
from ..values.tiles import TileId
from ..values.upload_reports import (
    BatchOutcome,
    BatchProgress,
    TileUploadOutcome,
    TileUploadResult,
    UploadBatchReport,
    UploadRequest,
)
from ..values.validators import check_kind

_log = logging.getLogger("aerotile.upload")

_Reject = Callable[[TileUploadResult], bool]
"""Counts a rejection and says whether it was the tile's last."""


class UploadAttempts(Protocol):
    """The call to the metadata store that a rejection takes."""

    def count_rejection(self, tile_id: TileId, attempts_before: int, *, gives_up: bool) -> bool:
        """Count one rejection, and with `gives_up` give the tile up, in one step; whether this call did it.

        False when the row has counted another number than `attempts_before`, is pending no more, or is gone:
        of two uploaders that had the same tile rejected, one counts it. Raises `StoreUnavailableError`.
        """


class RetryingTileUploader:
    """A `TileUploader` that tries the remaining tiles again, and gives up a tile that is always rejected.

    Every rejection is counted as soon as its batch has ended: a crash loses the count of one batch at most.
    """

    def __init__(
        self,
        uploader: TileUploader,
        *,
        attempts: UploadAttempts,
        budget: RetryBudget,
        clock: Clock,
        recorder: FlightRecorder,
    ) -> None:
        self._uploader = uploader
        self._attempts = attempts
        self._budget = budget
        self._clock = clock
        self._recorder = recorder

    def upload_pending_tiles(self, request: UploadRequest) -> UploadBatchReport:
        """See `TileUploader`; waits on the clock between two tries."""
        check_kind(request, UploadRequest, "request")
        tally = _Tally()
        retries = 0
        while True:
            tally.add(self._uploader.upload_pending_tiles(self._counting(request, tally)), self._reject)
            report = tally.report(retries)
            decision = decide_after_call(
                retries, report, now_s=self._clock.now().timestamp(), budget=self._budget
            )
            if isinstance(decision, Finish):
                return attrs.evolve(report, next_retry_at_s=decision.next_retry_at_s)
            if not request.stopped():
                _log.info("%s, trying again in %g s", _left(report), decision.wait_s)
                self._clock.sleep(decision.wait_s)
            if request.stopped():
                return report
            retries += 1

    def _counting(self, request: UploadRequest, tally: _Tally) -> UploadRequest:
        def after_batch(progress: BatchProgress) -> None:
            for result in progress.results:
                tally.note(result, self._reject)
            request.after_batch(progress)

        return attrs.evolve(request, after_batch=after_batch)

    def _reject(self, result: TileUploadResult) -> bool:
        """Count a rejection; True when it was the tile's last."""
        tile_id, attempts = result.tile_id, result.attempts_before + 1
        is_last = is_given_up(attempts, self._budget)
        if not self._attempts.count_rejection(tile_id, result.attempts_before, gives_up=is_last):
            _log.info("tile %s: another uploader counted this rejection, or it is pending no more", tile_id)
            return False
        if not is_last:
            return False
        reason = str(result.reason) if result.reason is not None else "no reason given"
        self._recorder.record(upload_giveup_event(tile_id, attempts, reason))
        _log.error("c11.upload.giveup tile=%s attempts=%d reason=%s", tile_id, attempts, reason)
        return True


class _Tally:
    """The results of the tries of one call so far."""

    def __init__(self) -> None:
        self._accepted = 0
        self._duplicates = 0
        self._left: dict[TileId, TileUploadResult] = {}
        self._given_up: dict[TileId, TileUploadResult] = {}
        self._counted: set[TileId] = set()
        """Tiles whose rejection in the try under way is counted already."""
        self._answered = False
        self._last = UploadBatchReport(outcome=BatchOutcome.SUCCESS)

    def note(self, result: TileUploadResult, reject: _Reject) -> None:
        """Note how one tile ended in the try under way."""
        tile_id = result.tile_id
        if result.taken:
            self._left.pop(tile_id, None)
        elif result.outcome is TileUploadOutcome.UNANSWERED:
            self._left[tile_id] = result
        elif tile_id not in self._counted:
            self._counted.add(tile_id)
            if reject(result):
                self._left.pop(tile_id, None)
                self._given_up[tile_id] = result
            else:
                self._left[tile_id] = result

    def add(self, report: UploadBatchReport, reject: _Reject) -> None:
        """Note how a try ended; results that the uploader did not tell on the way are noted here."""
        for result in (*report.rejected, *report.unanswered):
            self.note(result, reject)
        if report.outcome is BatchOutcome.SUCCESS:
            self._left.clear()
        self._counted.clear()
        self._accepted += report.accepted
        self._duplicates += report.duplicates
        self._answered = self._answered or report.outcome is not BatchOutcome.FAILURE
        self._last = report

    def report(self, retries: int) -> UploadBatchReport:
        """The report over all tries so far."""
        outcome = self._last.outcome
        partly = self._given_up if outcome is BatchOutcome.SUCCESS else self._answered
        if partly:
            outcome = BatchOutcome.PARTIAL
        left = self._left.values()
        return UploadBatchReport(
            outcome=outcome,
            accepted=self._accepted,
            duplicates=self._duplicates,
            rejected=tuple(r for r in left if r.outcome is TileUploadOutcome.REJECTED),
            unanswered=tuple(r for r in left if r.outcome is TileUploadOutcome.UNANSWERED),
            given_up=tuple(self._given_up.values()),
            problem=self._last.problem,
            retries=retries,
        )


def _left(report: UploadBatchReport) -> str:
    reason = "" if report.problem is None else f" ({report.problem.reason})"
    return f"{counted(len(report.rejected), 'tile')} rejected, {len(report.unanswered)} unanswered{reason}"
