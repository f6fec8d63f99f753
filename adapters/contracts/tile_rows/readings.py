"""Readings: the committed rows, the catalogue and the counts."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from uuid import UUID

import attrs
import numpy as np
import numpy.typing as npt

from ....domain.values.catalogue_entries import CatalogueColumns
from ....domain.values.tile_key import VariantTable
from ....domain.values.tiles import FreshnessLabel, TileId, TileQualityMetadata, TileSource, VotingStatus
from .subject import FLIGHT, NOW, OfTileRows, TileRowsSubject, described, imported


def in_order(columns: CatalogueColumns) -> list[npt.NDArray[np.generic]]:
    by_key = columns.at(np.argsort(columns.keys))
    return [getattr(by_key, field.name) for field in attrs.fields(CatalogueColumns)]


class Readings(OfTileRows):
    """Readings: the committed rows, the catalogue and the counts."""

    def test_committed_rows_are_one_snapshot_however_slowly_they_are_read(
        self, subject: TileRowsSubject
    ) -> None:
        subject.store(*(described(imported(x)) for x in range(10)))
        reading = subject.rows.committed()
        first = next(reading)
        with subject.rows.removing(imported(9)):
            pass
        subject.store(described(imported(20)))
        assert {first.tile_id, *(tile.tile_id for tile in reading)} == {imported(x) for x in range(10)}

    def test_the_metadata_are_what_was_stored_of_one_snapshot(self, subject: TileRowsSubject) -> None:
        onboard = attrs.evolve(
            described(TileId(22, 4194303, 1, TileSource.ONBOARD, FLIGHT), 2**40),
            freshness_label=FreshnessLabel.DOWNGRADED,
            voting_status=VotingStatus.UPLOAD_GIVEUP,
            quality=TileQualityMetadata(1.5, 7, 0.25, 0.5),
        )
        stored = [onboard, *(described(imported(x), x + 1) for x in range(10))]
        subject.store(*stored)
        subject.add_legacy_row()
        reading = subject.rows.committed_metadata()
        first = next(reading)
        with subject.rows.removing(imported(9)):
            pass
        subject.store(described(imported(20)))
        found = [first, *reading]
        assert len(found) == len(stored)
        assert {tile.tile_id: tile for tile in found} == {
            tile.tile_id: attrs.evolve(tile, location_hash=None) for tile in stored
        }

    def test_the_catalogue_holds_what_it_keeps_of_every_committed_row_and_of_no_other(
        self, subject: TileRowsSubject
    ) -> None:
        onboard = attrs.evolve(
            described(TileId(22, 4194303, 4194303, TileSource.ONBOARD, FLIGHT), 2**40),
            freshness_label=FreshnessLabel.DOWNGRADED,
            voting_status=VotingStatus.UPLOAD_GIVEUP,
        )
        other = attrs.evolve(
            described(TileId(0, 0, 0, TileSource.ONBOARD, UUID(int=8)), 3), voting_status=VotingStatus.TRUSTED
        )
        satellite = described(TileId(7, 100, 3, TileSource.SATELLITE_PROVIDER), 4)
        subject.store(onboard, other, satellite, *(described(imported(x), x + 1) for x in range(50)))
        subject.known.record_lru_access({satellite.tile_id: NOW + timedelta(hours=1)})
        subject.known.mark_uploaded(other.tile_id, NOW, other.content_sha256)
        with subject.rows.removing(imported(7)):
            pass
        subject.add_legacy_row()
        columns, variants = subject.rows.catalogue()
        rows = list(subject.rows.committed())
        assert len(rows) == 52
        assert set(variants.flights) == {FLIGHT, UUID(int=8)}
        expected = CatalogueColumns.of(rows, variants)
        for found, wanted in zip(in_order(columns), in_order(expected), strict=True):
            assert np.array_equal(found, wanted)

    def test_the_catalogue_of_no_rows_is_empty(self, subject: TileRowsSubject) -> None:
        columns, variants = subject.rows.catalogue()
        assert len(columns) == 0
        assert variants == VariantTable()

    def test_the_catalogue_is_read_beside_open_rows_and_does_not_show_them(
        self, subject: TileRowsSubject
    ) -> None:
        subject.store(described(imported(1)))
        with subject.rows.insert(described(imported(2)), NOW) as row:
            assert len(subject.rows.catalogue()[0]) == 1
            row.commit()
            assert len(subject.rows.catalogue()[0]) == 2

    def test_tiles_are_counted_by_source_and_zoom(self, subject: TileRowsSubject) -> None:
        assert subject.rows.counts() == {}
        subject.store(*(described(imported(x)) for x in range(5)))
        subject.store(
            described(TileId(7, 1, 1, TileSource.IMPORTED)),
            described(TileId(12, 1, 1, TileSource.ONBOARD, FLIGHT)),
        )
        subject.add_legacy_row()
        assert subject.rows.counts() == {
            (TileSource.IMPORTED, 12): 5,
            (TileSource.IMPORTED, 7): 1,
            (TileSource.ONBOARD, 12): 1,
        }

    def test_tiles_are_counted_by_dataset_and_those_without_one(self, subject: TileRowsSubject) -> None:
        assert subject.rows.counts_by_dataset() == {}
        for x, dataset in enumerate(["ortho-2025", "ortho-2025", "sat", None]):
            subject.store(attrs.evolve(described(imported(x)), dataset=dataset))
        subject.add_legacy_row()
        assert subject.rows.counts_by_dataset() == {"ortho-2025": 2, "sat": 1, None: 1}

    def test_the_places_of_tiles_are_runs_of_rows_whatever_their_source(
        self, subject: TileRowsSubject
    ) -> None:
        assert subject.rows.tile_runs() == []
        places = [(7, 1, 1), (7, 1, 2), (7, 1, 4), (7, 2, 3), (12, 0, 0), (12, 0, 1), (12, 4095, 4095)]
        subject.store(*(described(TileId(*place, TileSource.IMPORTED)) for place in places))
        subject.store(
            described(TileId(7, 1, 1, TileSource.ONBOARD, FLIGHT)),
            described(TileId(7, 1, 5, TileSource.SATELLITE_PROVIDER)),
        )
        subject.add_legacy_row()
        runs = [(7, 1, 1, 2), (7, 1, 4, 5), (7, 2, 3, 3), (12, 0, 0, 1), (12, 4095, 4095, 4095)]
        assert subject.rows.tile_runs() == runs

    def test_a_reading_that_is_given_up_holds_nothing_back(self, subject: TileRowsSubject) -> None:
        subject.store(*(described(imported(x)) for x in range(10)))
        for _ in range(40):
            assert len(list(islice(subject.rows.committed(), 2))) == 2
        subject.store(described(imported(10)))
