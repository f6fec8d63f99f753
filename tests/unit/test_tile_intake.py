"""Taking tiles in, as a library: what passes, what is refused, what the record holds."""

from __future__ import annotations

import hashlib
import threading
from datetime import timedelta
from typing import Any

import attrs
import pytest
from budgeted_cache import NOW
from intake_site import SIDE, Offered, Site, ended, offered, picture, tile_id

from aerotile.domain.errors import CacheBudgetExhaustedError, CaptureTimeInFutureError, StoreUnavailableError
from aerotile.domain.flight_events import EventKind
from aerotile.domain.intake.compare_stored import OnContest
from aerotile.domain.intake.report import IntakeReport
from aerotile.domain.intake.terms import IntakeTerms
from aerotile.domain.ports.picture_decoder import DecodedPicture
from aerotile.domain.values.sectors import SectorClassification

pytestmark = pytest.mark.usefixtures("blocks_of_one_byte")


def test_offered_tiles_are_stored_with_their_facts() -> None:
    site = Site.of()
    report = site.take_in(offered(1, 2, 3))
    assert ended(report) == (3, 0, 0)
    assert report.stored_bytes == 600
    row = site.cache.rows.get(tile_id(2))
    assert row is not None
    assert (row.content_sha256, row.captured_at, row.tile_size_pixels) == (
        hashlib.sha256(picture(2)).hexdigest(),
        NOW,
        SIDE,
    )
    assert site.progress == [(2, 3), (3, 3)]
    assert site.shortages == []


def test_a_second_run_finds_every_tile_present() -> None:
    site = Site.of()
    site.take_in(offered(1, 2))
    assert ended(site.take_in(offered(1, 2, 3))) == (1, 2, 0)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (Offered(5, picture(5, side=128)), "TileMetadataError", "128 x 128 pixels, expected 256 x 256"),
        (Offered(5, b"no picture"), "TileMetadataError", "JPEG"),
        (Offered(5, picture(5), claim="0" * 64), "ContentHashMismatchError", "expected 0000"),
        (Offered(5, picture(5), broken=True), "OSError", "Input/output error"),
        (Offered(256, picture(5)), "ValueError", "x must be"),
    ],
    ids=["size_in_pixels", "no_jpeg", "wrong_hash", "unreadable", "off_the_grid"],
)
def test_a_bad_tile_is_refused_by_name_and_the_others_are_stored(
    bad: Offered, error: str, message: str
) -> None:
    site = Site.of()
    report = site.take_in([*offered(1), bad, *offered(9)])
    assert ended(report) == (2, 0, 1)
    (refusal,) = report.refusals
    assert (refusal.file, refusal.tile, refusal.error) == (bad.name, f"imported/8/{bad.x}/0", error)
    assert message in refusal.message
    assert site.stored() == {1, 9}


CUT = {picture(5): DecodedPicture(damage="its picture ends before its size does")}


def test_a_picture_that_does_not_decode_is_refused_by_name_and_the_others_are_stored() -> None:
    site = Site.of(found=CUT)
    report = site.take_in(offered(1, 5, 9))
    assert ended(report) == (2, 0, 1)
    (refusal,) = report.refusals
    assert refusal.message == "tile imported/8/5/0 does not decode: its picture ends before its size does"
    assert refusal.remedy == "fetch or make the tile again"
    assert site.stored() == {1, 9}


def test_without_decoding_such_a_picture_is_stored_and_the_number_of_blank_tiles_is_not_known() -> None:
    site = Site.of(found=CUT)
    report = site.intake.take_in(offered(1, 5), IntakeTerms(captured_at=NOW), decode=False)
    assert (ended(report), report.blank) == ((2, 0, 0), None)


def test_a_picture_of_the_wrong_size_is_never_decoded() -> None:
    class Decoder:
        def decode(self, pixels: bytes) -> DecodedPicture:
            raise AssertionError

    site = Site.of()
    intake = attrs.evolve(site.intake, decoder=Decoder())
    large = Offered(5, picture(5, side=65_500))
    assert intake.take_in([large], IntakeTerms(captured_at=NOW)).refused == 1


def test_blank_and_repeated_tiles_are_counted_also_where_the_store_holds_them() -> None:
    blank = DecodedPicture(is_blank=True)
    site = Site.of(found={picture(7): blank})
    repeated = [Offered(x, picture(7 if x < 4 else 8)) for x in (1, 2, 3, 4, 5)]
    tiles = [*repeated, *offered(6)]
    for repetition in range(2):
        report = site.take_in(tiles)
        assert ended(report) == ((6, 0, 0) if repetition == 0 else (0, 6, 0))
        assert report.blank == 3
        assert report.repeats.total == 5
        assert report.repeats.most() == (3, "8/1/0")
    once = site.take_in(offered(10, 11))
    assert (once.blank, once.repeats.total, once.repeats.most()) == (0, 0, None)


def test_pictures_are_decoded_on_as_many_threads_as_given() -> None:
    meeting = threading.Barrier(3, timeout=30)

    class Decoder:
        def decode(self, pixels: bytes) -> DecodedPicture:
            meeting.wait()
            return DecodedPicture()

    site = Site.of()
    intake = attrs.evolve(site.intake, decoder=Decoder(), decoding_threads=3)
    report = intake.take_in(offered(1, 2, 3), IntakeTerms(captured_at=NOW))
    assert report.stored == 3


def test_a_right_claim_is_accepted() -> None:
    claim = hashlib.sha256(picture(1)).hexdigest()
    assert ended(Site.of().take_in([Offered(1, picture(1), claim=claim)])) == (1, 0, 0)


def test_other_content_under_the_same_name_is_refused_and_the_first_stays() -> None:
    site = Site.of()
    site.take_in(offered(1))
    report = site.take_in([Offered(1, picture(7))])
    assert ended(report) == (0, 0, 1)
    assert "other content" in report.refusals[0].message
    with site.cache.store.read_tile_pixels(tile_id(1)) as stored:
        assert bytes(memoryview(stored)) == picture(1)


def test_newer_imagery_replaces_older_where_the_intake_says_so() -> None:
    site = Site.of()
    site.take_in(offered(1, 2, 3), age=timedelta(days=9))
    tiles = [Offered(1, picture(7)), Offered(2, picture(2)), Offered(3, picture(8)), Offered(4, picture(4))]

    def take_in(age: timedelta) -> IntakeReport:
        return site.intake.take_in(
            tiles,
            IntakeTerms(captured_at=NOW - age, on_contest=OnContest.REPLACE),
            batch_size=2,
        )

    report = take_in(timedelta(days=400))
    assert (report.replaced, *ended(report)) == (0, 1, 0, 3)
    assert [refusal.error for refusal in report.refusals] == [
        "NotNewerError",
        "CaptureTimeConflictError",
        "NotNewerError",
    ]
    report = take_in(timedelta(days=3))
    assert (report.replaced, *ended(report)) == (2, 0, 0, 2)
    assert {x for _, x, _ in report.covered} == {1, 3}
    assert report.done == 4
    for x, pixels in ((1, picture(7)), (2, picture(2)), (3, picture(8))):
        assert site.cache.store.read_tile_bytes(tile_id(x)) == pixels


@pytest.mark.parametrize(
    ("on_contest", "needed_bytes"), [(OnContest.REFUSE, 200), (OnContest.REPLACE, 200 + 100)]
)
def test_what_a_larger_replacement_adds_is_in_the_warning_of_evictions(
    on_contest: OnContest, needed_bytes: int
) -> None:
    site = Site.of()
    site.take_in(offered(1, 2), age=timedelta(days=9))
    intake = attrs.evolve(site.intake, budget_bytes=site.intake.footprint_bytes() + 1)
    warned: list[tuple[int, int]] = []
    intake.take_in(
        [Offered(1, picture(7, size=300)), Offered(2, picture(8)), Offered(3, picture(3))],
        IntakeTerms(captured_at=NOW, on_contest=on_contest),
        before_evictions=lambda needed, free: warned.append((needed, free)),
    )
    assert warned == [(needed_bytes, 1)]


def test_a_database_that_is_gone_ends_the_run_at_a_replacement_too() -> None:
    site = Site.of()
    site.take_in(offered(1, 2), age=timedelta(days=9))
    intake = attrs.evolve(site.intake, footprint_bytes=lambda: 0)
    site.cache.rows.answers = False
    report = intake.take_in(
        [Offered(1, picture(7)), Offered(2, picture(8))],
        IntakeTerms(captured_at=NOW, on_contest=OnContest.REPLACE),
    )
    assert isinstance(report.stopped_by, StoreUnavailableError)
    assert (report.replaced, report.done) == (0, 0)


def test_a_tile_that_was_stored_meanwhile_counts_as_present_only_with_the_same_content() -> None:
    site = Site.of()
    tiles = [Offered(1, picture(1)), Offered(1, picture(1)), Offered(1, picture(7))]
    report = site.take_in(tiles, batch=3)  # looked for together, before the first is stored
    assert ended(report) == (1, 1, 1)
    assert "other content" in report.refusals[0].message


def test_the_ground_of_stored_and_present_tiles_is_covered_and_that_of_refused_ones_is_not() -> None:
    site = Site.of()
    site.take_in(offered(1))
    report = site.take_in([*offered(1, 2), Offered(3, b"no picture")])
    (covered,) = report.coverage()
    assert (covered.zoom_level, covered.tiles) == (8, 2)
    assert covered.runs == ((8, 1, 0, 0), (8, 2, 0, 0))


def test_a_stale_tile_is_refused_or_downgraded_and_the_flight_record_says_so() -> None:
    old = timedelta(days=3000)
    conflict = Site.of(classification=SectorClassification.ACTIVE_CONFLICT)
    assert ended(conflict.take_in(offered(1), age=old)) == (0, 0, 1)
    assert EventKind.FRESHNESS_REJECTED in conflict.cache.kinds()
    rear = Site.of()
    report = rear.take_in(offered(1), age=old)
    assert (report.stored, report.downgraded) == (1, 1)
    assert EventKind.FRESHNESS_DOWNGRADED in rear.cache.kinds()


def test_a_capture_time_in_the_future_is_refused_before_a_tile_is_read() -> None:
    unreadable = Offered(1, picture(1), broken=True)
    with pytest.raises(CaptureTimeInFutureError):
        Site.of().take_in([unreadable], age=-timedelta(hours=1))


def test_the_same_bytes_under_another_date_are_refused_and_not_already_there() -> None:
    site = Site.of()
    site.take_in(offered(1, 2))
    report = site.take_in(offered(1, 2, 3), age=timedelta(days=30))
    assert ended(report) == (1, 0, 2)
    assert {refusal.error for refusal in report.refusals} == {"CaptureTimeConflictError"}
    assert "aerotile amend --captured-at" in str(report.refusals[0].remedy)
    row = site.cache.rows.get(tile_id(1))
    assert row is not None
    assert row.captured_at == NOW


def test_evictions_are_announced_and_go_on_the_flight_record() -> None:
    site = Site.of(budget_bytes=500)
    site.take_in(offered(1, 2))
    report = site.take_in(offered(2, 3), batch=1)
    assert ended(report) == (1, 1, 0)
    assert site.shortages == [(200, 100)]
    assert site.stored() == {2, 3}
    assert EventKind.EVICTION_BATCH in site.cache.kinds()
    assert (report.evicted.count, report.evicted.freed_bytes) == (1, 200)
    assert report.evicted.listed == [tile_id(1)]


def test_a_budget_without_room_ends_the_run_and_the_report_counts_the_tiles_before() -> None:
    site = Site.of(budget_bytes=500)
    site.take_in(offered(1, 2))
    for x in (1, 2):
        site.cache.rows.set_pinned(tile_id(x), True)
    report = site.take_in(offered(1, 3, 4, 5), batch=1)
    assert isinstance(report.stopped_by, CacheBudgetExhaustedError)
    assert ended(report) == (0, 1, 0)
    assert site.stored() == {1, 2}


def test_a_store_that_does_not_answer_ends_the_run() -> None:
    site = Site.of()

    class Unavailable:
        tile_exists = staticmethod(site.cache.store.tile_exists)
        catalogue = site.cache.store.catalogue
        read_tile_pixels = staticmethod(site.cache.store.read_tile_pixels)
        calls = 0

        def write_tiles(self, tiles: object) -> list[object]:
            self.calls += 1
            raise StoreUnavailableError("no database")

    store = Unavailable()
    intake = attrs.evolve(site.intake, store=store, parallel=1)
    report = intake.take_in(offered(1, 2, 3), IntakeTerms(captured_at=NOW), batch_size=1)
    assert (str(report.stopped_by), report.done, store.calls) == ("no database", 0, 1)


def test_a_tile_that_another_process_committed_a_moment_ago_is_present() -> None:
    site = Site.of()
    site.take_in(offered(1, 2))
    site.cache.store.catalogue.remove(tile_id(1))  # as before the notice of its commit
    assert ended(site.take_in(offered(1, 2))) == (0, 2, 0)
    assert site.cache.store.tile_exists(tile_id(1))


def test_a_row_without_its_file_is_named_with_the_way_out() -> None:
    site = Site.of()
    site.take_in(offered(1))
    hidden = type(
        "Hidden",
        (),
        {
            "tile_exists": staticmethod(lambda tile_id: False),
            "read_tile_pixels": staticmethod(site.cache.store.read_tile_pixels),
            "write_tiles": staticmethod(site.cache.store.write_tiles),
            "catalogue": site.cache.store.catalogue,
        },
    )()
    report = attrs.evolve(site.intake, store=hidden).take_in(offered(1), IntakeTerms(captured_at=NOW))
    assert report.refusals[0].message == "its row is there, its file is missing"
    assert report.refusals[0].remedy == "aerotile delete imported/8/1/0, then ingest again"


@pytest.mark.parametrize(("budget_bytes", "most_at_once"), [(1 << 20, 2), (500, 1)], ids=["room", "no_room"])
def test_batches_overlap_only_while_the_budget_has_room_for_all(budget_bytes: int, most_at_once: int) -> None:
    site = Site.of(budget_bytes=budget_bytes)
    lock, meeting = threading.Lock(), threading.Event()
    running: list[int] = [0, 0]

    class Watched:
        tile_exists = staticmethod(site.cache.store.tile_exists)
        catalogue = site.cache.store.catalogue
        read_tile_pixels = staticmethod(site.cache.store.read_tile_pixels)

        def write_tiles(self, tiles: Any) -> Any:
            with lock:
                running[0] += 1
                running[1] = max(running)
                if running[0] == 2:
                    meeting.set()
            meeting.wait(60 if most_at_once == 2 else 0.1)
            try:
                return site.cache.store.write_tiles(tiles)
            finally:
                with lock:
                    running[0] -= 1

    intake = attrs.evolve(site.intake, store=Watched(), parallel=2)
    report = intake.take_in(offered(1, 2, 3, 4), IntakeTerms(captured_at=NOW), batch_size=1)
    assert report.stored == 4
    assert running[1] == most_at_once
