"""A whole check as a library call: repairs on the record, and going on after an interruption."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from aerotile.adapters.memory.flight_recorder import MemoryFlightRecorder
from aerotile.adapters.memory.tile_files import MemoryTileFiles
from aerotile.adapters.memory.tile_rows import MemoryTileRows
from aerotile.domain.flight_events import EventKind
from aerotile.domain.store.check import StoreCheck, check_store
from aerotile.domain.store.verify import FindingKind
from aerotile.domain.values.inventory import FoundFile, FoundKind
from aerotile.domain.values.tiles import TileMetadata

MakeTile = Callable[..., tuple[bytes, TileMetadata]]


@attrs.frozen
class Store:
    rows: MemoryTileRows
    files: MemoryTileFiles
    recorder: MemoryFlightRecorder
    tiles: list[TileMetadata]

    def check(
        self, check: StoreCheck, *, repairing: bool = False, checkpoint: Callable[[], None] = lambda: None
    ) -> StoreCheck:
        check_store(check, self.rows, self.files, self.recorder, repairing=repairing, checkpoint=checkpoint)
        return check


@pytest.fixture
def store(onboard_tile: MakeTile) -> Store:
    """Three tiles; the file of the second is gone, that of the third is damaged."""
    rows, files, tiles = MemoryTileRows(), MemoryTileFiles(), []
    for x in range(3):
        pixels, metadata = onboard_tile(x)
        rows.insert_metadata(metadata)
        files.place(files.stage(pixels, metadata))
        tiles.append(metadata)
    files.discard(FoundFile(FoundKind.TILE, tiles[1].tile_id))
    pixels, other = onboard_tile(9)
    files.place(files.stage(pixels, attrs.evolve(other, tile_id=tiles[2].tile_id)))
    return Store(rows, files, MemoryFlightRecorder(), tiles)


def test_a_check_changes_no_row_and_counts_what_is_left(store: Store) -> None:
    check = store.check(StoreCheck())
    lost = {
        f.tile_id for f in check.findings if f.kind in (FindingKind.FILE_MISSING, FindingKind.CONTENT_DAMAGED)
    }
    assert lost == {store.tiles[1].tile_id, store.tiles[2].tile_id}
    assert check.tiles == 3
    assert check.left == len(check.findings)
    assert check.fetch_again == []
    assert len(list(store.rows.committed())) == 3
    assert store.recorder.events == ()


def test_a_repair_takes_lost_tiles_out_on_the_flight_record(store: Store) -> None:
    check = store.check(StoreCheck(), repairing=True)
    lost = sorted(str(tile.tile_id) for tile in store.tiles[1:])
    assert check.fetch_again == lost
    assert [row.tile_id for row in store.rows.committed()] == [store.tiles[0].tile_id]
    assert [event.kind for event in store.recorder.events] == [EventKind.QUARANTINED] * 2
    assert sorted(event.payload["tile"] for event in store.recorder.events) == lost
    assert store.check(StoreCheck()).findings == []


def test_an_interrupted_check_goes_on_and_counts_no_finding_twice(store: Store) -> None:
    whole = store.check(StoreCheck())
    steps: list[int] = []

    def interrupt() -> None:
        steps.append(check.position)
        if len(steps) == 3:
            raise KeyboardInterrupt

    check = StoreCheck()
    with pytest.raises(KeyboardInterrupt):
        store.check(check, checkpoint=interrupt)
    assert check.position == steps[-1]
    check.position = steps[-2]  # a save lags: the tiles of one position are checked again
    resumed = store.check(check)
    assert sorted(map(str, resumed.findings)) == sorted(map(str, whole.findings))
