"""What every `TileCatalogue` holds after any sequence of changes, and to readers beside them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import attrs
import numpy as np
import pytest
from catalogue_rows import IMPLEMENTATIONS, NOW, entry, everything, imported, load, onboard, row
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aerotile.adapters.memory import tile_catalogue
from aerotile.adapters.memory.tile_catalogue import MemoryTileCatalogue
from aerotile.domain.ports.tile_catalogue import TileCatalogue
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tile_key import VariantTable, encode_tile_key
from aerotile.domain.values.tiles import TileId, TileMetadataPersistent
from aerotile.domain.values.timestamps import microseconds_of

ANY_TILE = st.one_of(
    st.builds(onboard, st.integers(0, 5), st.integers(0, 2)),
    st.builds(imported, st.integers(0, 30), st.integers(0, 3), st.just(12)),
    st.builds(imported, st.integers(0, 3), st.integers(0, 3), st.just(2)),
)

WORLD = Bbox(-90, -180, 90, 180)


class CatalogueMachine(RuleBasedStateMachine):
    """Any sequence of changes, on both implementations and a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.subjects = [kind() for kind in IMPLEMENTATIONS]
        self.model: dict[TileId, TileMetadataPersistent] = {}
        self.marks: list[int] = []
        self.touched: set[TileId] = set()

    @initialize(tiles=st.dictionaries(ANY_TILE, st.integers(0, 9), max_size=20))
    def load(self, tiles: dict[TileId, int]) -> None:
        self.model = {tile_id: row(tile_id, content) for tile_id, content in tiles.items()}
        for subject in self.subjects:
            load(subject, self.model.values())

    @rule(tile_id=ANY_TILE, content=st.integers(0, 9), pinned=st.booleans())
    def add(self, tile_id: TileId, content: int, pinned: bool) -> None:
        new = row(tile_id, content, pinned=pinned)
        known = self.model.get(tile_id)
        if known is not None:
            new = attrs.evolve(new, accessed_at=max(new.accessed_at, known.accessed_at))
        news = known is None or known.content_sha256 != new.content_sha256
        assert [subject.add(new) for subject in self.subjects] == [news, news]
        self.model[tile_id] = new
        self.touched.add(tile_id)

    @rule(tile_id=ANY_TILE)
    def remove(self, tile_id: TileId) -> None:
        known = self.model.pop(tile_id, None) is not None
        assert [subject.remove(tile_id) for subject in self.subjects] == [known, known]
        self.touched.add(tile_id)

    @rule(tile_ids=st.lists(ANY_TILE, max_size=4), seconds=st.integers(-5, 99))
    def read(self, tile_ids: list[TileId], seconds: int) -> None:
        at = NOW + timedelta(seconds=seconds)
        for subject in self.subjects:
            subject.note_accesses(tile_ids, [microseconds_of(at)] * len(tile_ids))
        for tile_id in tile_ids:
            if tile_id in self.model and self.model[tile_id].accessed_at < at:
                self.model[tile_id] = attrs.evolve(self.model[tile_id], accessed_at=at)

    @rule()
    def mark(self) -> None:
        self.marks = [subject.mark() for subject in self.subjects]
        self.touched = set()

    @precondition(lambda self: bool(self.marks))
    @rule(tiles=st.dictionaries(ANY_TILE, st.integers(0, 9), max_size=20))
    def reload(self, tiles: dict[TileId, int]) -> None:
        loaded = {tile_id: row(tile_id, content) for tile_id, content in tiles.items()}
        for subject, since in zip(self.subjects, self.marks, strict=True):
            load(subject, loaded.values(), since)
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
        self.marks = []

    @invariant()
    def all_agree(self) -> None:
        expected = {tile_id: entry(known) for tile_id, known in self.model.items()}
        total = sum(known.disk_bytes for known in self.model.values())
        evictable = {e.tile_id: e.accessed_at for e in expected.values() if e.evictable}
        for subject in self.subjects:
            assert len(subject) == len(expected)
            assert subject.total_disk_bytes() == total
            assert everything(subject) == set(expected)
            assert {t: subject.get(t) for t in expected} == expected
            assert all(t in subject for t in expected)
            for zoom in (2, 12):
                there = {t for t in expected if t.zoom_level == zoom}
                assert set(subject.query_by_bbox(WORLD, zoom).tile_ids()) == there
            oldest = [evictable[c.tile_id] for c in subject.lru_candidates(7)]
            assert oldest == sorted(evictable.values())[:7]


TestAnySequenceOfChanges = CatalogueMachine.TestCase


@pytest.fixture(params=[1, 3, 4_096], ids=lambda changes: f"merged after {changes}")
def merging(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile_catalogue, "_MERGE_AT", request.param)


@pytest.mark.usefixtures("merging")
@pytest.mark.parametrize("seed", range(3))
def test_thousands_of_changes_at_random_places_are_all_there(catalogue: TileCatalogue, seed: int) -> None:
    chance = np.random.default_rng(seed)
    model: dict[TileId, TileMetadataPersistent] = {}
    rounds = 3 if isinstance(catalogue, MemoryTileCatalogue) else 40
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
    catalogue: TileCatalogue, order: int
) -> None:
    tiles = [imported(x, y, 5) for x in range(32) for y in range(32)]
    tiles.sort(key=lambda tile_id: order * encode_tile_key(tile_id, VariantTable()))
    catalogue.add_many(row(tile_id) for tile_id in tiles)
    assert everything(catalogue) == set(tiles)
    assert all(tile_id in catalogue for tile_id in tiles)
    assert len(catalogue.query_by_bbox(WORLD, 5)) == len(tiles)
    for gone, tile_id in enumerate(tiles, start=1):
        assert catalogue.remove(tile_id)
        assert len(catalogue) == len(tiles) - gone
    assert everything(catalogue) == set()


def test_readers_meet_whole_states_while_others_add_remove_and_reload(catalogue: TileCatalogue) -> None:
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
            catalogue.add_many(added)
            for known in added[::2]:
                catalogue.remove(known.tile_id)
            load(catalogue, staying, since)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
