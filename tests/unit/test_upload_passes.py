"""A pass over what is pending: its batches, what is under way at once, and what the ledger notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from upload_scenario import PARTIAL, SUCCESS, UGLY, Pixels, Scenario, onboard, pixels_of

from aerotile.adapters.memory.tile_files import MemoryTilePixelHandle
from aerotile.adapters.memory.uploader import MemoryProvider
from aerotile.domain.errors import (
    BaseUnavailableError,
    ContentHashMismatchError,
    StoreUnavailableError,
    TileCacheError,
    TileRecalledError,
)
from aerotile.domain.policies.upload_batching import BatchLimits
from aerotile.domain.values.tiles import TileId
from aerotile.domain.values.upload_reports import BatchAnswer, UploadBatch, UploadBatchReport


def test_everything_pending_goes_up_in_batches_oldest_first() -> None:
    scenario = Scenario(6)
    report = scenario.run(scenario.bare)
    assert report == UploadBatchReport(outcome=SUCCESS, accepted=6)
    assert scenario.sent == [[0, 1, 2, 3], [4, 5]]
    assert scenario.pending == []
    assert [sum(result.taken for result in p.results) for p in scenario.progress] == [4, 2]


def test_nothing_pending_is_a_success_without_a_request() -> None:
    scenario = Scenario(0)
    assert scenario.run() == UploadBatchReport(outcome=SUCCESS)
    assert scenario.sent == []


def test_a_batch_ends_before_the_tile_that_would_make_it_too_large() -> None:
    frame = len(pixels_of(0)) + 1024
    scenario = Scenario(5, limits=BatchLimits(max_bytes=2 * frame, max_tiles=100))
    scenario.run()
    assert scenario.sent == [[0, 1], [2, 3], [4]]


def test_a_tile_larger_than_a_batch_travels_alone() -> None:
    scenario = Scenario(3, limits=BatchLimits(max_bytes=1, max_tiles=100))
    assert scenario.run().outcome is SUCCESS
    assert scenario.sent == [[0], [1], [2]]


def test_a_duplicate_counts_as_taken() -> None:
    scenario = Scenario(2)
    scenario.provider.stored[onboard(0).tile_uuid] = scenario.row(0).content_sha256
    report = scenario.run()
    assert (report.outcome, report.accepted, report.duplicates) == (SUCCESS, 1, 1)
    assert scenario.uploaded == [0, 1]


def test_a_rejected_tile_does_not_fail_its_batch() -> None:
    scenario = Scenario(4)
    scenario.reject(1)
    report = scenario.run(scenario.bare)
    assert (report.outcome, report.accepted) == (PARTIAL, 3)
    assert [(result.tile_id.x, result.reason) for result in report.rejected] == [(1, UGLY)]
    assert scenario.pending == [1]


def test_as_many_rejected_tiles_as_a_batch_holds_do_not_keep_the_others_back() -> None:
    scenario = Scenario(20)
    scenario.reject(*range(9))
    scenario.run(scenario.bare)
    assert scenario.uploaded == list(range(9, 20))
    assert Counter(x for batch in scenario.sent for x in batch) == Counter(range(20))


def test_several_batches_are_under_way_at_once_and_share_no_tile() -> None:
    under_way: list[int] = []

    class Slow(MemoryProvider):
        def begin(self, batch: UploadBatch) -> Callable[[], BatchAnswer]:
            under_way.append(len(batch.tiles))
            answer = super().begin(batch)

            def wait() -> BatchAnswer:
                depths.append(len(under_way))
                under_way.pop(0)
                return answer()

            return wait

    depths: list[int] = []
    scenario = Scenario(20, parallel=2)
    scenario.bare.link = Slow()
    assert scenario.run().accepted == 20
    assert depths == [2, 2, 2, 2, 1]


def test_the_pixels_are_let_go_when_the_answer_is_there() -> None:
    handles: list[MemoryTilePixelHandle] = []

    class Watched(Pixels):
        def read_tile_pixels(self, tile_id: TileId) -> MemoryTilePixelHandle:
            handles.append(super().read_tile_pixels(tile_id))
            return handles[-1]

    scenario = Scenario(6)
    scenario.bare.store = Watched(scenario.pixels.held)
    scenario.run()
    assert [handle.closed for handle in handles] == [True] * 6


def test_a_tile_whose_file_is_missing_or_damaged_is_rejected_here_and_the_others_go_up() -> None:
    scenario = Scenario(4)
    del scenario.pixels.held[onboard(0)]
    scenario.pixels.held[onboard(2)] = pixels_of(99)
    report = scenario.run(scenario.bare)
    assert {result.tile_id.x: result.reason.code for result in report.rejected if result.reason} == {
        0: "file_missing",
        2: "file_damaged",
    }
    assert scenario.sent == [[1, 3]]
    assert report.outcome is PARTIAL


def test_a_recalled_tile_is_not_sent_stays_pending_uncounted_and_the_others_go_up() -> None:
    class Recalling(Pixels):
        def read_tile_pixels(self, tile_id: TileId) -> MemoryTilePixelHandle:
            if tile_id == onboard(1):
                raise TileRecalledError(tile_id, 7, "area 1", "wrong ground")
            return super().read_tile_pixels(tile_id)

    scenario = Scenario(3)
    scenario.bare.store = Recalling(scenario.pixels.held)
    report = scenario.run(scenario.bare)
    assert scenario.sent == [[0, 2]]
    (held_back,) = report.unanswered
    assert (held_back.tile_id, held_back.attempts_before) == (onboard(1), 0)
    assert held_back.reason is not None
    assert held_back.reason.code == "recalled"
    assert "list 7" in held_back.reason.detail
    assert (report.outcome, report.rejected) == (PARTIAL, ())
    assert [row.upload_attempts for row in scenario.rows.pending_uploads(9)] == [0]


def test_a_damaged_tile_of_a_store_that_verifies_its_reads_is_rejected_and_the_others_go_up() -> None:
    class Verifying(Pixels):
        def read_tile_pixels(self, tile_id: TileId) -> MemoryTilePixelHandle:
            if tile_id == onboard(1):
                raise ContentHashMismatchError("SHA-256", expected="1" * 64, actual="2" * 64, tile_id=tile_id)
            return super().read_tile_pixels(tile_id)

    scenario = Scenario(3)
    scenario.bare.store = Verifying(scenario.pixels.held)
    report = scenario.run(scenario.bare)
    assert scenario.sent == [[0, 2]]
    (damaged,) = report.rejected
    assert damaged.reason is not None
    assert (damaged.tile_id, damaged.reason.code) == (onboard(1), "file_damaged")
    assert "2" * 64 in damaged.reason.detail


@pytest.mark.parametrize("error", [StoreUnavailableError, BaseUnavailableError])
def test_a_tile_that_the_disk_does_not_give_stays_pending_uncounted_and_the_others_go_up(
    error: type[TileCacheError],
) -> None:
    class Failing(Pixels):
        def read_tile_pixels(self, tile_id: TileId) -> MemoryTilePixelHandle:
            if tile_id == onboard(1):
                raise error("cannot read tile file /map\udcff/1.jpg: Input/output error")
            return super().read_tile_pixels(tile_id)

    scenario = Scenario(3)
    scenario.bare.store = Failing(scenario.pixels.held)
    report = scenario.run(scenario.bare)
    assert scenario.sent == [[0, 2]]
    (unread,) = report.unanswered
    assert unread.reason is not None
    assert (unread.tile_id, unread.reason.code) == (onboard(1), "file_unreadable")
    assert unread.reason.detail == r"cannot read tile file /map\udcff/1.jpg: Input/output error"
    assert (report.outcome, report.rejected) == (PARTIAL, ())
    assert [row.upload_attempts for row in scenario.rows.pending_uploads(9)] == [0]


def test_a_tile_that_the_answer_leaves_out_stays_pending_uncounted() -> None:
    class Forgetful(MemoryProvider):
        def begin(self, batch: UploadBatch) -> Callable[[], BatchAnswer]:
            answers = dict(super().begin(batch)().answers)
            answers.pop(onboard(1).tile_uuid, None)
            return lambda: BatchAnswer(answers)

    scenario = Scenario(4)
    scenario.bare.link = Forgetful()
    report = scenario.run()
    assert (report.outcome, report.accepted) == (PARTIAL, 3)
    assert [result.tile_id.x for result in report.unanswered] == [1]
    assert scenario.pending == [1]
    assert scenario.row(1).upload_attempts == 0


def test_a_tile_deleted_while_under_way_is_no_failure() -> None:
    scenario = Scenario(2)

    class Deleting(MemoryProvider):
        def begin(self, batch: UploadBatch) -> Callable[[], BatchAnswer]:
            with scenario.rows.removing(onboard(0)):
                return super().begin(batch)

    scenario.bare.link = Deleting()
    assert scenario.run().outcome is SUCCESS


def test_the_ledger_notes_what_is_sent_before_it_is_sent_and_how_each_tile_ended() -> None:
    scenario = Scenario(2)
    scenario.reject(1)
    scenario.provider.refusal = lambda _: seen.append(len(scenario.ledger.entries))
    seen: list[int] = []
    scenario.run(scenario.bare)
    assert seen == [2]
    assert [(e.tile_uuid, e.result and e.result.outcome.value) for e in scenario.ledger.entries] == [
        (onboard(0).tile_uuid, None),
        (onboard(1).tile_uuid, None),
        (onboard(0).tile_uuid, "accepted"),
        (onboard(1).tile_uuid, "rejected"),
    ]
    assert len({entry.request_id for entry in scenario.ledger.entries}) == 1
