"""The tally of one pass over the pending tiles, and the report that it comes to."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ..values.tiles import TileId
from ..values.upload_reports import (
    BatchOutcome,
    TileUploadOutcome,
    TileUploadResult,
    UploadBatchReport,
    UploadProblem,
)


@attrs.define
class PassTally:
    """How tiles and requests ended so far."""

    accepted: int = 0
    duplicates: int = 0
    not_taken: dict[TileId, TileUploadResult] = attrs.field(factory=dict)
    """The last result of each tile that the provider does not hold yet."""
    unanswered_requests: int = 0
    """Requests in a row without a usable answer."""
    answered: bool = False
    """Whether the provider judged any tile."""
    problem: UploadProblem | None = None
    """Why the last request was not answered."""

    def add_results(self, results: Iterable[TileUploadResult]) -> None:
        """Count how tiles ended."""
        for result in results:
            if result.taken:
                self.accepted += result.outcome is TileUploadOutcome.ACCEPTED
                self.duplicates += result.outcome is TileUploadOutcome.DUPLICATE
                self.not_taken.pop(result.tile_id, None)
            else:
                self.not_taken[result.tile_id] = result

    def add_answer(self) -> None:
        """Count a request in which the provider judged tiles."""
        self.unanswered_requests = 0
        self.answered = True

    def add_problem(self, problem: UploadProblem) -> None:
        """Count a request without a usable answer."""
        self.unanswered_requests += 1
        self.problem = problem

    def report(self, *, any_untried: bool) -> UploadBatchReport:
        """The report of the pass; `any_untried`: whether tiles are pending that it did not come to."""
        left = tuple(self.not_taken.values())
        unanswered = tuple([r for r in left if r.outcome is TileUploadOutcome.UNANSWERED])
        if not left and not any_untried:
            outcome = BatchOutcome.SUCCESS
        elif unanswered and not self.answered:
            outcome = BatchOutcome.FAILURE
        else:
            outcome = BatchOutcome.PARTIAL
        return UploadBatchReport(
            outcome=outcome,
            accepted=self.accepted,
            duplicates=self.duplicates,
            rejected=tuple([r for r in left if r.outcome is TileUploadOutcome.REJECTED]),
            unanswered=unanswered,
            problem=self.problem,
        )
