"""Loads, alone and beside writers."""

from __future__ import annotations

from datetime import timedelta

import attrs
import numpy as np
import pytest

from ....domain.ports.tile_catalogue import TileCatalogue
from ....domain.values.catalogue_entries import MAX_DISK_BYTES, CatalogueColumns, columns_of
from ....domain.values.tile_grid import Bbox
from ....domain.values.tile_key import VariantTable, encode_tile_key
from ....domain.values.timestamps import microseconds_of
from .rows import NOW, entry, everything, imported, load, onboard, row
from .subject import OfTileCatalogue


def columns(keys: list[int], flags: int = 0) -> CatalogueColumns:
    count = len(keys)
    return CatalogueColumns(
        np.array(keys, np.int64),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
        np.ones(count, np.int64),
        np.full(count, flags, np.uint8),
        np.zeros((count, 32), np.uint8),
    )


GOOD_KEY = encode_tile_key(imported(1), VariantTable())


class Loads(OfTileCatalogue):
    """Loads, alone and beside writers."""

    def test_a_row_that_claims_an_impossible_size_does_not_keep_the_store_from_opening(
        self,
        catalogue: TileCatalogue,
    ) -> None:
        load(catalogue, [row(imported(1), disk_bytes=2**62)])
        catalogue.add(row(imported(2), disk_bytes=2**62))
        assert catalogue.total_disk_bytes() == 2 * MAX_DISK_BYTES

    def test_a_load_replaces_everything(self, catalogue: TileCatalogue) -> None:
        load(catalogue, [row(imported(1)), row(onboard(1, 1))])
        load(catalogue, [row(imported(2)), row(onboard(2, 2))])
        assert everything(catalogue) == {imported(2), onboard(2, 2)}
        assert imported(1) not in catalogue
        assert onboard(1, 1) not in catalogue

    def test_of_a_key_that_is_loaded_twice_the_last_row_counts(self, catalogue: TileCatalogue) -> None:
        load(catalogue, [row(imported(1), 1), row(imported(2)), row(imported(1), 2)])
        assert len(catalogue) == 2
        assert catalogue.get(imported(1)) == entry(row(imported(1), 2))
        assert catalogue.total_disk_bytes() == 1 + 3

    @pytest.mark.parametrize(
        ("key", "flags"),
        [
            (-1, 0),
            (GOOD_KEY | 2, 0),
            (23 << 58, 0),
            (3 << 58 | 64 << 14, 0),
            (GOOD_KEY, 5 << 4),
            (GOOD_KEY, 128),
        ],
        ids=["negative", "unknown flight", "zoom 23", "beyond the grid", "unknown vote", "unknown flag"],
    )
    def test_columns_that_name_no_tile_are_refused_and_change_nothing(
        self, catalogue: TileCatalogue, key: int, flags: int
    ) -> None:
        load(catalogue, [row(imported(5))])
        with pytest.raises(ValueError, match="row 1 names no tile"):
            catalogue.load(
                attrs.evolve(columns([GOOD_KEY, key]), flags=np.array([0, flags], np.uint8)), VariantTable()
            )
        assert everything(catalogue) == {imported(5)}

    def test_columns_may_be_slices_of_larger_arrays(self, catalogue: TileCatalogue) -> None:
        whole, variants = columns_of([row(imported(x), x) for x in range(20)])
        catalogue.load(whole.at(slice(1, None, 3)), variants)
        assert [e.content_sha256 for e in catalogue.query_by_bbox(Bbox(-90, -180, 90, 180), 12)] == [
            row(imported(x), x).content_sha256 for x in range(1, 20, 3)
        ]

    def test_what_changed_since_the_mark_outlives_the_reload(self, catalogue: TileCatalogue) -> None:
        load(catalogue, [row(imported(x), x) for x in (1, 2, 3)])
        since = catalogue.mark()
        # The rows when the reload began: other processes had changed tile 1 and removed tile 2.
        snapshot = [row(imported(1), 7), row(imported(3), 3), row(imported(4), 4)]
        catalogue.add(row(onboard(5, 1), 5))
        catalogue.remove(imported(3))
        load(catalogue, snapshot, since)
        assert everything(catalogue) == {imported(1), imported(4), onboard(5, 1)}
        assert catalogue.get(imported(1)) == entry(row(imported(1), 7))
        assert catalogue.get(onboard(5, 1)) == entry(row(onboard(5, 1), 5))
        assert catalogue.total_disk_bytes() == 8 + 5 + 6
        assert len(catalogue) == 3

    def test_a_tile_that_was_unknown_when_it_was_removed_stays_removed(
        self, catalogue: TileCatalogue
    ) -> None:
        since = catalogue.mark()
        catalogue.remove(onboard(1, 2))
        load(catalogue, [row(onboard(1, 2)), row(onboard(2, 2))], since)
        assert everything(catalogue) == {onboard(2, 2)}

    def test_changes_before_the_mark_do_not_outlive_the_reload(self, catalogue: TileCatalogue) -> None:
        catalogue.add(row(imported(1)))
        since = catalogue.mark()
        load(catalogue, [row(imported(2))], since)
        assert everything(catalogue) == {imported(2)}

    def test_flights_may_have_other_ordinals_in_what_is_reloaded(self, catalogue: TileCatalogue) -> None:
        load(catalogue, [row(onboard(x, x), x) for x in (0, 1, 2)])
        since = catalogue.mark()
        later = microseconds_of(NOW) + 9
        catalogue.note_accesses([onboard(0, 0), onboard(2, 2)], [later, later])
        catalogue.add(row(onboard(7, 0), 7))
        load(catalogue, [row(onboard(x, x), x) for x in (2, 1)], since)
        assert everything(catalogue) == {onboard(2, 2), onboard(1, 1), onboard(7, 0)}
        found = catalogue.get(onboard(2, 2))
        assert found is not None
        assert found.accessed_at == NOW + timedelta(microseconds=9)
        assert catalogue.get(onboard(1, 1)) == entry(row(onboard(1, 1), 1))

    def test_access_times_do_not_go_back_when_a_tile_is_added_again_or_reloaded(
        self, catalogue: TileCatalogue
    ) -> None:
        catalogue.add(row(imported(1), 1))
        since = catalogue.mark()
        later = NOW + timedelta(hours=1)
        catalogue.note_accesses([imported(1)], [microseconds_of(later)])
        load(catalogue, [row(imported(1), 2)], since)
        assert catalogue.get(imported(1)) == entry(row(imported(1), 2, accessed_at=later))
        catalogue.add(row(imported(1), 3))
        assert catalogue.get(imported(1)) == entry(row(imported(1), 3, accessed_at=later))

    def test_a_mark_is_good_for_one_load_and_only_the_last_one_counts(self, catalogue: TileCatalogue) -> None:
        load(catalogue, [row(imported(1))])
        first = catalogue.mark()
        second = catalogue.mark()
        with pytest.raises(ValueError, match="not the last one"):
            load(catalogue, [], first)
        assert imported(1) in catalogue
        load(catalogue, [row(imported(2))], second)
        with pytest.raises(ValueError, match="used for a load already"):
            load(catalogue, [], second)
        assert everything(catalogue) == {imported(2)}
