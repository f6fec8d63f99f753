"""Taking tiles of a dataset in: which datasets may, whose date counts, and places that another one holds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import attrs
import pytest
from budgeted_cache import NOW
from dataset_facts import FACTS
from intake_site import Offered, Site, ended, offered, picture, tile_id

from aerotile.domain.errors import (
    CaptureTimeInFutureError,
    DatasetError,
    DatasetNotStorableError,
    DatasetSourceChangedError,
    DatasetUndatedError,
    StoreUnavailableError,
    UnknownDatasetError,
)
from aerotile.domain.intake.compare_stored import OnContest
from aerotile.domain.intake.report import IntakeReport
from aerotile.domain.intake.terms import IntakeTerms
from aerotile.domain.ports.offered_tile import OfferedTile
from aerotile.domain.values.datasets import Dataset, DigestOf, SourceDigest
from aerotile.domain.values.disk_usage import footprint

DAY = timedelta(days=1)
ORTHO = Dataset(**FACTS | {"name": "ortho", "captured_at": NOW - DAY})
OTHER = attrs.evolve(ORTHO, name="other")
UNDATED = attrs.evolve(ORTHO, name="undated", captured_at=None, captured_from="a CSV by tile")
FORBIDDEN = attrs.evolve(ORTHO, name="forbidden", may_be_stored_offline=False, licence="view only")
DEFINED = (ORTHO, OTHER, UNDATED, FORBIDDEN)


class _Unread(Offered):
    def read_pixels(self, most_bytes: int) -> bytes:
        raise AssertionError(self.name)


def take_in(site: Site, tiles: list[Offered], dataset: str | None = "ortho", **terms: Any) -> IntakeReport:
    return site.intake.take_in(tiles, IntakeTerms(dataset=dataset, **terms), batch_size=2)


def stored(site: Site) -> dict[int, tuple[str | None, datetime]]:
    return {row.tile_id.x: (row.dataset, row.captured_at) for row in site.cache.rows.committed()}


def test_each_tile_is_stored_with_its_dataset_and_the_datasets_date() -> None:
    site = Site.of(datasets=DEFINED)
    assert ended(take_in(site, offered(1, 2, 3))) == (3, 0, 0)
    assert stored(site) == dict.fromkeys((1, 2, 3), ("ortho", NOW - DAY))
    again = take_in(site, offered(1, 2, 3))
    assert (ended(again), again.present_without_dataset) == ((0, 3, 0), 0)


def test_a_date_that_is_given_goes_before_that_of_the_dataset() -> None:
    site = Site.of(datasets=DEFINED)
    take_in(site, offered(1), captured_at=NOW)
    assert stored(site) == {1: ("ortho", NOW)}


@pytest.mark.parametrize(
    ("dataset", "options", "error", "named"),
    [
        ("missing", {}, UnknownDatasetError, "aerotile datasets define missing"),
        ("forbidden", {"captured_at": NOW}, DatasetNotStorableError, "view only"),
        ("undated", {}, DatasetUndatedError, "undated has no capture date"),
        (
            "ortho",
            {"source_digest": SourceDigest(DigestOf.FILE, "cd" * 32)},
            DatasetSourceChangedError,
            "cdcd",
        ),
    ],
)
def test_a_dataset_that_can_not_go_in_is_refused_by_name_before_a_tile_is_read(
    dataset: str, options: dict[str, Any], error: type[DatasetError], named: str
) -> None:
    site = Site.of(datasets=DEFINED)
    with pytest.raises(error) as refused:
        take_in(site, [_Unread(1, b"")], dataset, **options)
    assert dataset in str(refused.value)
    assert named in refused.value.explained
    assert stored(site) == {}


def test_a_digest_of_another_kind_says_nothing_and_the_same_digest_passes() -> None:
    site = Site.of(datasets=DEFINED)
    take_in(site, offered(1), source_digest=SourceDigest(DigestOf.FOLDER, "cd" * 32))
    take_in(site, offered(2), source_digest=SourceDigest(DigestOf.FILE, ORTHO.source_sha256))
    assert set(stored(site)) == {1, 2}


def test_without_a_date_and_without_a_dataset_nothing_is_taken_in() -> None:
    with pytest.raises(ValueError, match="captured_at"):
        take_in(Site.of(), [_Unread(1, b"")], None)


def test_a_date_of_a_dataset_in_the_future_is_refused() -> None:
    site = Site.of(datasets=[attrs.evolve(ORTHO, captured_at=NOW + DAY)])
    with pytest.raises(CaptureTimeInFutureError):
        take_in(site, [_Unread(1, b"")])


def test_each_tile_has_its_own_date_and_one_without_is_counted_and_left_out_unread() -> None:
    def date_of(tile: OfferedTile) -> datetime | None:
        return None if tile.x > 2 else NOW - tile.x * DAY

    site = Site.of(datasets=DEFINED)
    tiles = [*offered(1, 2), _Unread(3, b""), _Unread(4, b"")]
    report = take_in(site, tiles, "undated", captured_at=date_of)
    assert stored(site) == {1: ("undated", NOW - DAY), 2: ("undated", NOW - 2 * DAY)}
    assert (ended(report), report.undated, report.done) == ((2, 0, 0), 2, 4)
    assert report.first_undated == tiles[2].name


def test_a_tile_without_a_date_needs_no_room() -> None:
    site = Site.of(budget_bytes=5 * footprint(200) // 2, datasets=DEFINED)
    take_in(site, offered(1))
    shortages: list[tuple[int, int]] = []
    report = site.intake.take_in(
        offered(2, 3, 4),
        IntakeTerms(dataset="ortho", captured_at=lambda tile: NOW if tile.x == 2 else None),
        batch_size=2,
        before_evictions=lambda needed, free: shortages.append((needed, free)),
    )
    assert (report.stored, report.undated, shortages) == (1, 2, [])


@pytest.mark.parametrize("pixels", [picture(1), picture(9)], ids=["the_same_bytes", "other_bytes"])
def test_a_place_that_another_dataset_holds_is_contested_and_the_stored_tile_stays(pixels: bytes) -> None:
    site = Site.of(datasets=DEFINED)
    take_in(site, offered(1))
    report = take_in(site, [Offered(1, pixels), *offered(2)], "other")
    assert stored(site) == {1: ("ortho", NOW - DAY), 2: ("other", NOW - DAY)}
    assert (ended(report), report.done) == ((1, 0, 0), 2)
    assert [(each.tile, each.held_by) for each in report.contests] == [("imported/8/1/0", "ortho")]
    with site.cache.store.read_tile_pixels(tile_id(1)) as handle:
        assert bytes(memoryview(handle)) == picture(1)


def test_contested_places_are_left_as_they_are_where_that_is_asked_for() -> None:
    site = Site.of(datasets=DEFINED)
    take_in(site, offered(1))
    report = take_in(site, [Offered(1, picture(9)), *offered(2)], "other", on_contest=OnContest.KEEP)
    assert (ended(report), report.kept, report.contests) == ((1, 0, 0), 1, [])
    assert stored(site)[1] == ("ortho", NOW - DAY)


def test_newer_imagery_takes_contested_places_where_that_is_asked_for_and_no_older_one_does() -> None:
    site = Site.of(datasets=DEFINED)
    take_in(site, offered(1, 2, 3))
    take_in(site, offered(4), None, captured_at=NOW - DAY)
    tiles = [Offered(x, picture(x + 10)) for x in (1, 2, 4)]
    older = take_in(site, tiles, "other", on_contest=OnContest.REPLACE)
    assert (older.replaced, [refusal.error for refusal in older.refusals]) == (0, ["NotNewerError"] * 3)
    assert {dataset for dataset, _ in stored(site).values()} == {"ortho", None}
    report = take_in(
        site, [*tiles, *offered(3)], "other", on_contest=OnContest.REPLACE, captured_at=NOW - DAY / 2
    )
    assert (report.replaced, *ended(report), report.done) == (3, 0, 0, 0, 4)
    assert [each.tile for each in report.contests] == [
        "imported/8/3/0"
    ]  # the very bytes of the other dataset
    assert stored(site) == {
        **dict.fromkeys((1, 2, 4), ("other", NOW - DAY / 2)),
        3: ("ortho", NOW - DAY),
    }


def test_tiles_without_a_dataset_contest_a_place_by_other_bytes_and_are_present_by_the_same() -> None:
    site = Site.of(datasets=DEFINED)
    take_in(site, offered(1, 2), None, captured_at=NOW - DAY)
    report = take_in(site, [Offered(1, picture(9)), *offered(2)])
    assert [(each.tile, each.held_by) for each in report.contests] == [("imported/8/1/0", None)]
    assert (ended(report), report.present_without_dataset) == ((0, 1, 0), 1)
    assert stored(site) == dict.fromkeys((1, 2), (None, NOW - DAY))


def test_other_bytes_of_the_same_dataset_and_another_date_of_the_same_bytes_are_refused() -> None:
    site = Site.of(datasets=DEFINED)
    take_in(site, offered(1, 2))
    changed = take_in(site, [Offered(1, picture(9))])
    redated = take_in(site, offered(2), captured_at=NOW)
    assert [(r.refusals[0].error, len(r.contests)) for r in (changed, redated)] == [
        ("OtherImageryError", 0),
        ("CaptureTimeConflictError", 0),
    ]


def test_who_holds_places_is_asked_once_for_a_batch_and_never_for_new_tiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = Site.of(datasets=DEFINED)
    asked: list[int] = []
    inner: Callable[..., Any] = type(site.cache.store).datasets_of

    def counting(store: Any, tile_ids: Any) -> Any:
        asked.append(len(tile_ids))
        return inner(store, tile_ids)

    monkeypatch.setattr(type(site.cache.store), "datasets_of", counting)
    take_in(site, offered(1, 2, 3, 4))
    assert asked == []
    take_in(site, offered(1, 2, 3, 4, 5))
    assert asked == [2, 2]
    take_in(site, offered(1, 2, 3, 4, 5), None, captured_at=NOW - DAY)
    assert asked == [2, 2]


def test_a_place_that_another_dataset_takes_while_a_batch_is_read_is_contested() -> None:
    site = Site.of(datasets=DEFINED)
    take_in(site, offered(1))
    asked: list[Any] = []

    class Store:
        """Answers the first question as if another writer stored the tile right after it."""

        def __getattr__(self, name: str) -> Any:
            return getattr(site.cache.store, name)

        def datasets_of(self, tile_ids: Any) -> Any:
            asked.append(tile_ids)
            return {} if len(asked) == 1 else site.cache.store.datasets_of(tile_ids)

    report = attrs.evolve(site.intake, store=Store()).take_in(offered(1), IntakeTerms(dataset="other"))
    assert [(each.tile, each.held_by) for each in report.contests] == [("imported/8/1/0", "ortho")]
    assert report.present == 0


def test_a_database_that_does_not_say_who_holds_a_place_ends_the_intake() -> None:
    site = Site.of(datasets=DEFINED)
    take_in(site, offered(1, 2))

    def gone(tile_ids: Any) -> Any:
        raise StoreUnavailableError("gone")

    class Store:
        def __getattr__(self, name: str) -> Any:
            return gone if name == "datasets_of" else getattr(site.cache.store, name)

    report = attrs.evolve(site.intake, store=Store()).take_in(offered(1, 2, 3), IntakeTerms(dataset="ortho"))
    assert isinstance(report.stopped_by, StoreUnavailableError)
    assert ended(report) == (0, 0, 0)
