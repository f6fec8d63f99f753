"""Each tile: its facts to the last digit, and the total of all."""

from __future__ import annotations

from datetime import datetime, timezone
from uuid import UUID

import pytest

from ....domain.ports.tile_catalogue import TileCatalogue
from ....domain.values.catalogue_entries import CatalogueColumns
from ....domain.values.tile_grid import Bbox
from ....domain.values.tile_key import MAX_FLIGHTS, VariantTable
from ....domain.values.tiles import FreshnessLabel, TileId, TileSource, VotingStatus
from ....domain.values.timestamps import microseconds_of
from .rows import NOW, add_all, entry, imported, load, onboard, row
from .subject import OfTileCatalogue


class Entries(OfTileCatalogue):
    """Each tile: its facts to the last digit, and the total of all."""

    def test_an_empty_catalogue_knows_nothing(self, catalogue: TileCatalogue) -> None:
        assert len(catalogue) == 0
        assert catalogue.total_disk_bytes() == 0
        assert imported(1) not in catalogue
        assert catalogue.get(imported(1)) is None
        assert catalogue.captured_us(onboard(1)) is None
        assert catalogue.content_sha256(onboard(1)) is None
        assert catalogue.lru_candidates(5) == []
        assert not catalogue.remove(imported(1))
        assert len(catalogue.snapshot()[0]) == 0
        nothing = catalogue.query_by_bbox(Bbox(-90, -180, 90, 180), 12)
        assert (len(nothing), list(nothing), nothing.tile_ids(), nothing.keys.tolist()) == (0, [], [], [])

    @pytest.mark.parametrize("label", FreshnessLabel)
    @pytest.mark.parametrize("vote", [None, *VotingStatus])
    @pytest.mark.parametrize("pinned", [False, True])
    @pytest.mark.parametrize("uploaded_at", [None, NOW])
    @pytest.mark.parametrize("tile_id", [onboard(3), imported(3)], ids=lambda tile_id: tile_id.source.value)
    def test_every_label_of_a_tile_is_kept_whether_loaded_or_added(
        self,
        catalogue: TileCatalogue,
        tile_id: TileId,
        label: FreshnessLabel,
        vote: VotingStatus | None,
        pinned: bool,
        uploaded_at: datetime | None,
    ) -> None:
        known = row(
            tile_id, 5, freshness_label=label, voting_status=vote, pinned=pinned, uploaded_at=uploaded_at
        )
        catalogue.add(known)
        assert catalogue.get(tile_id) == entry(known)
        load(catalogue, [known])
        assert catalogue.get(tile_id) == entry(known)

    def test_the_hash_and_the_times_are_kept_to_the_last_digit(self, catalogue: TileCatalogue) -> None:
        known = row(
            imported(9),
            captured_at=datetime(1969, 7, 20, 20, 17, 40, 1, tzinfo=timezone.utc),
            accessed_at=datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc),
            content_sha256="0123456789abcdef" * 4,
        )
        catalogue.add(known)
        assert catalogue.get(known.tile_id) == entry(known)
        assert catalogue.captured_us(known.tile_id) == microseconds_of(known.captured_at)
        assert catalogue.content_sha256(known.tile_id) == known.content_sha256

    def test_a_tile_of_a_flight_past_the_most_that_keys_tell_apart_can_not_be_named(
        self, catalogue: TileCatalogue
    ) -> None:
        assert catalogue.can_name(onboard(1))
        flights = tuple(UUID(int=number) for number in range(1 << 64, (1 << 64) + MAX_FLIGHTS))
        for known, can_name in ((flights[:-1], True), (flights, False)):
            table = VariantTable(known)
            catalogue.load(CatalogueColumns.of([], table), table)
            assert catalogue.can_name(imported(1))
            assert catalogue.can_name(TileId(8, 1, 1, TileSource.ONBOARD, known[-1]))
            assert catalogue.can_name(onboard(1)) is can_name
            further = TileId(8, 1, 1, TileSource.ONBOARD, UUID(int=1))
            assert catalogue.can_name(onboard(1), {known[-1]}) is can_name
            assert not catalogue.can_name(onboard(1), {UUID(int=1)})
            assert catalogue.can_name(further, {UUID(int=1)})

    def test_a_tile_is_told_from_one_of_another_source_or_flight_at_its_place(
        self, catalogue: TileCatalogue
    ) -> None:
        there = [onboard(3, 0), onboard(3, 1), imported(3)]
        add_all(catalogue, (row(tile_id, content) for content, tile_id in enumerate(there)))
        assert [catalogue.get(tile_id) for tile_id in there] == [
            entry(row(tile_id, content)) for content, tile_id in enumerate(there)
        ]
        assert onboard(3, 2) not in catalogue
        assert TileId(12, 3, 0, TileSource.SATELLITE_PROVIDER) not in catalogue
        assert TileId(13, 3, 0, TileSource.IMPORTED) not in catalogue

    def test_content_is_news_the_first_time_and_when_its_hash_is_another(
        self, catalogue: TileCatalogue
    ) -> None:
        assert catalogue.add(row(onboard(1), 1))
        assert not catalogue.add(row(onboard(1), 1))
        assert not catalogue.add(row(onboard(1), 1, voting_status=VotingStatus.TRUSTED, pinned=True))
        assert catalogue.add(row(onboard(1), 2))
        assert catalogue.get(onboard(1)) == entry(row(onboard(1), 2))
        assert catalogue.remove(onboard(1))
        assert catalogue.add(row(onboard(1), 2))

    def test_the_total_follows_what_is_added_replaced_removed_and_loaded(
        self, catalogue: TileCatalogue
    ) -> None:
        catalogue.add(row(imported(1), 9))
        catalogue.add(row(imported(2), 99))
        assert (len(catalogue), catalogue.total_disk_bytes()) == (2, 110)
        catalogue.add(row(imported(2), 49))
        assert (len(catalogue), catalogue.total_disk_bytes()) == (2, 60)
        assert catalogue.remove(imported(1))
        assert not catalogue.remove(imported(1))
        assert (len(catalogue), catalogue.total_disk_bytes()) == (1, 50)
        load(catalogue, [row(imported(3), 6)])
        assert (len(catalogue), catalogue.total_disk_bytes()) == (1, 7)

    @pytest.mark.parametrize("size", [2**31, 2**32 - 1, 2**32, 2**40 - 1])
    def test_a_tile_of_many_gigabytes_keeps_its_size(self, catalogue: TileCatalogue, size: int) -> None:
        load(catalogue, [row(imported(1), disk_bytes=size)])
        catalogue.add(row(imported(2), disk_bytes=size))
        assert [e.disk_bytes for e in catalogue.query_by_bbox(Bbox(-90, -180, 90, 180), 12)] == [size, size]
        assert catalogue.total_disk_bytes() == 2 * size
        assert catalogue.lru_candidates(1)[0].disk_bytes == size
