"""Any sequence of changes, and readers beside them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import attrs
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ....domain.ports.tile_catalogue import TileCatalogue
from ....domain.values.disk_usage import footprint
from ....domain.values.tile_grid import Bbox
from ....domain.values.tile_key import VariantTable, encode_tile_key
from ....domain.values.tiles import TileId, TileMetadataPersistent, TileSource
from ....domain.values.timestamps import microseconds_of
from .rows import NOW, add_all, entry, everything, imported, load, onboard, row
from .subject import MakeTileCatalogue, OfTileCatalogue

ANY_TILE = st.one_of(
    st.builds(onboard, st.integers(0, 5), st.integers(0, 2)),
    st.builds(imported, st.integers(0, 30), st.integers(0, 3), st.just(12)),
    st.builds(imported, st.integers(0, 3), st.integers(0, 3), st.just(2)),
)

WORLD = Bbox(-90, -180, 90, 180)


class CatalogueMachine(RuleBasedStateMachine):
    """Any sequence of changes, on a catalogue and on a dictionary."""

    def __init__(self, subject: TileCatalogue) -> None:
        super().__init__()
        self.subject = subject
        self.model: dict[TileId, TileMetadataPersistent] = {}
        self.since: int | None = None
        self.touched: set[TileId] = set()

    @initialize(tiles=st.dictionaries(ANY_TILE, st.integers(0, 9), max_size=20))
    def load(self, tiles: dict[TileId, int]) -> None:
        self.model = {tile_id: row(tile_id, content) for tile_id, content in tiles.items()}
        load(self.subject, self.model.values())

    @rule(tile_id=ANY_TILE, content=st.integers(0, 9), pinned=st.booleans(), uploaded=st.booleans())
    def add(self, tile_id: TileId, content: int, pinned: bool, uploaded: bool) -> None:
        new = row(tile_id, content, pinned=pinned, uploaded_at=NOW if uploaded else None)
        known = self.model.get(tile_id)
        if known is not None:
            new = attrs.evolve(new, accessed_at=max(new.accessed_at, known.accessed_at))
        news = known is None or known.content_sha256 != new.content_sha256
        assert self.subject.add(new) == news
        self.model[tile_id] = new
        self.touched.add(tile_id)

    @rule(tile_id=ANY_TILE)
    def remove(self, tile_id: TileId) -> None:
        known = self.model.pop(tile_id, None) is not None
        assert self.subject.remove(tile_id) == known
        self.touched.add(tile_id)

    @rule(tile_ids=st.lists(ANY_TILE, max_size=4), seconds=st.integers(-5, 99))
    def read(self, tile_ids: list[TileId], seconds: int) -> None:
        at = NOW + timedelta(seconds=seconds)
        self.subject.note_accesses(tile_ids, [microseconds_of(at)] * len(tile_ids))
        for tile_id in tile_ids:
            if tile_id in self.model and self.model[tile_id].accessed_at < at:
                self.model[tile_id] = attrs.evolve(self.model[tile_id], accessed_at=at)

    @rule()
    def mark(self) -> None:
        self.since = self.subject.mark()
        self.touched = set()

    @precondition(lambda self: self.since is not None)
    @rule(tiles=st.dictionaries(ANY_TILE, st.integers(0, 9), max_size=20))
    def reload(self, tiles: dict[TileId, int]) -> None:
        loaded = {tile_id: row(tile_id, content) for tile_id, content in tiles.items()}
        load(self.subject, loaded.values(), self.since)
        before, self.model = self.model, loaded
        for tile_id in self.model.keys() & before.keys():
            accessed_at = max(loaded[tile_id].accessed_at, before[tile_id].accessed_at)
            self.model[tile_id] = attrs.evolve(loaded[tile_id], accessed_at=accessed_at)
        for tile_id in self.touched:
            loaded_row = self.model.pop(tile_id, None)
            if tile_id in before:
                kept = before[tile_id]
                at = kept.accessed_at if loaded_row is None else max(kept.accessed_at, loaded_row.accessed_at)
                self.model[tile_id] = attrs.evolve(kept, accessed_at=at)
        self.since = None

    @invariant()
    def both_agree(self) -> None:
        expected = {tile_id: entry(known) for tile_id, known in self.model.items()}
        total = sum(known.disk_bytes for known in self.model.values())
        evictable = {e.tile_id: e.accessed_at for e in expected.values() if e.evictable}
        assert len(self.subject) == len(expected)
        assert self.subject.total_disk_bytes() == total
        onboard_rows = [known for known in self.model.values() if known.tile_id.source is TileSource.ONBOARD]
        for onboard_only, rows in ((False, self.model.values()), (True, onboard_rows)):
            taken = {known.tile_id: footprint(known.disk_bytes) for known in rows}
            may_go = sum(bytes_ for tile_id, bytes_ in taken.items() if tile_id in evictable)
            assert self.subject.footprint_bytes(onboard_only=onboard_only) == sum(taken.values())
            assert self.subject.evictable_bytes(onboard_only=onboard_only) == may_go
        assert everything(self.subject) == set(expected)
        assert {t: self.subject.get(t) for t in expected} == expected
        assert all(t in self.subject for t in expected)
        for zoom in (2, 12):
            there = {t for t in expected if t.zoom_level == zoom}
            assert set(self.subject.query_by_bbox(WORLD, zoom).tile_ids()) == there
        oldest = [evictable[c.tile_id] for c in self.subject.lru_candidates(7)]
        assert oldest == sorted(evictable.values())[:7]


class Changes(OfTileCatalogue):
    """Any sequence of changes, and readers beside them."""

    def test_any_sequence_of_changes_ends_as_in_a_dictionary(self, new_catalogue: MakeTileCatalogue) -> None:
        def machine() -> CatalogueMachine:
            return CatalogueMachine(new_catalogue())

        run_state_machine_as_test(machine, settings=settings(deadline=None))  # type: ignore[arg-type] # a factory

    @pytest.mark.parametrize("seed", range(3))
    def test_thousands_of_changes_at_random_places_are_all_there(
        self, catalogue: TileCatalogue, seed: int
    ) -> None:
        self.change_thousands_of_tiles(catalogue, seed, rounds=40)

    def change_thousands_of_tiles(self, catalogue: TileCatalogue, seed: int, rounds: int) -> None:
        """Add 150 tiles and remove some, `rounds` times; a slow catalogue may have fewer rounds."""
        chance = np.random.default_rng(seed)
        model: dict[TileId, TileMetadataPersistent] = {}
        for _ in range(rounds):
            for x, y in chance.integers(0, 64, (150, 2)).tolist():
                known = row(imported(x, y, 10), x)
                catalogue.add(known)
                model[known.tile_id] = known
            for tile_id in list(model)[:: int(chance.integers(2, 9))]:
                assert catalogue.remove(tile_id)
                del model[tile_id]
            assert everything(catalogue) == set(model)
            assert catalogue.total_disk_bytes() == sum(known.disk_bytes for known in model.values())
        assert {t: catalogue.get(t) for t in model} == {t: entry(known) for t, known in model.items()}

    @pytest.mark.parametrize("order", [1, -1], ids=["upwards", "downwards"])
    def test_tiles_that_come_in_the_order_of_their_keys_are_all_there(
        self, catalogue: TileCatalogue, order: int
    ) -> None:
        tiles = [imported(x, y, 5) for x in range(32) for y in range(32)]
        tiles.sort(key=lambda tile_id: order * encode_tile_key(tile_id, VariantTable()))
        add_all(catalogue, (row(tile_id) for tile_id in tiles))
        assert everything(catalogue) == set(tiles)
        assert all(tile_id in catalogue for tile_id in tiles)
        assert len(catalogue.query_by_bbox(WORLD, 5)) == len(tiles)
        for gone, tile_id in enumerate(tiles, start=1):
            assert catalogue.remove(tile_id)
            assert len(catalogue) == len(tiles) - gone
        assert everything(catalogue) == set()

    def test_readers_meet_whole_states_while_others_add_remove_and_reload(
        self, catalogue: TileCatalogue
    ) -> None:
        """Tiles come and go in pairs of one size, all of one reload have its content, some always stay."""
        staying = [row(imported(x, 1), 3) for x in range(0, 3_000, 7)]
        load(catalogue, staying)
        done = threading.Event()
        failures: list[BaseException] = []

        def guarded(work: Callable[[], None]) -> Callable[[], None]:
            def run() -> None:
                try:
                    while not done.is_set():
                        work()
                except BaseException as error:  # noqa: BLE001 - whatever it is, it fails the test
                    failures.append(error)

            return run

        def read() -> None:
            for known in staying:
                assert known.tile_id in catalogue
                assert catalogue.get(known.tile_id) == entry(known)
            matches = catalogue.query_by_bbox(WORLD, 12)
            assert {known.tile_id for known in staying} <= set(matches.tile_ids())
            assert matches.keys.tolist() == sorted(set(matches.keys.tolist()))
            assert all(candidate.disk_bytes > 0 for candidate in catalogue.lru_candidates(50))

        threads = [threading.Thread(target=guarded(read)) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            chance = np.random.default_rng(1)
            for _ in range(6):
                since = catalogue.mark()
                added = [row(imported(x, 2), x) for x in chance.integers(0, 3_000, 150).tolist()]
                add_all(catalogue, added)
                for known in added[::2]:
                    catalogue.remove(known.tile_id)
                load(catalogue, staying, since)
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert failures == []
