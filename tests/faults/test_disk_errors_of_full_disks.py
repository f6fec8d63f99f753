"""Disks that are full, of bytes or of inodes: tiles, an index, an export and the record."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest
from disk_faults import files_below
from fault_tally import FaultTally
from small_store import SmallStore
from waiting import until

from aerotile.adapters.clocks import SystemClock
from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.adapters.recorder import JsonLinesRecorder, RecordReader, export_mcap
from aerotile.domain.errors import AerotileError, IndexBuildError, StoreUnavailableError
from aerotile.domain.flight_events import EventKind, FlightEvent
from aerotile.domain.values.tiles import TileId, TileSource

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount small file systems"),
]


@pytest.mark.parametrize("options", ["size=400k", "size=64m,nr_inodes=70"], ids=["bytes", "inodes"])
@pytest.mark.parametrize("at_once", [1, 40])
def test_a_full_disk_refuses_tiles_until_there_is_room_and_loses_none(
    mount: Callable[..., Path],
    opened: Callable[[Path], SmallStore],
    options: str,
    at_once: int,
    fault_tally: FaultTally,
) -> None:
    cache = opened(mount(options) / "tiles")
    refused: list[AerotileError] = []
    for x in range(60):
        outcomes = cache.write_batch(x, at_once) if at_once > 1 else [cache.write(x, 0)]
        refused += [error for error in outcomes if error is not None]
        if len(refused) >= 20:
            break
    assert all("No space left on device" in str(error) for error in refused)
    assert all("free space" in (error.remedy or "") for error in refused)
    kept = cache.committed()
    assert kept
    cache.assert_whole()
    for tile_id in sorted(kept, key=lambda tile_id: (tile_id.x, tile_id.y))[:10]:
        cache.store.delete_tile(tile_id)
    # Folders stay, so what goes into one that is there needs no inode but its own.
    assert cache.write(next(iter(kept)).x, 200_000) is None
    cache.assert_whole()
    fault_tally.add("full disk: tiles", len(refused))


def test_a_full_disk_refuses_an_index_and_the_old_one_answers_on(
    mount: Callable[..., Path], fault_tally: FaultTally
) -> None:
    import numpy as np

    root = mount("size=1m") / "index"
    descriptors = np.random.default_rng(1).normal(size=(200, 64)).astype(np.float32)

    def build(index: FaissDescriptorIndex, first: int, count: int) -> None:
        ids = [TileId(18, first + row, 7, TileSource.IMPORTED) for row in range(count)]
        index.rebuild(
            ids,
            np.resize(descriptors, (count, 64)),
            descriptor_model="a-network",
            built_at=datetime(2026, 5, 1, tzinfo=timezone.utc),
        )

    index = FaissDescriptorIndex(root, keep_generations=0)
    build(index, 1000, 200)
    before = files_below(root)
    for count in (2500, 4000, 8000):
        with pytest.raises(IndexBuildError, match="No space left on device") as caught:
            build(index, 0, count)
        assert isinstance(caught.value.__cause__, OSError)
        assert files_below(root) == before
        assert index.search(descriptors[0], 1)[0].tile_id.x == 1000
    build(index, 5000, 200)
    assert FaissDescriptorIndex(root).search(descriptors[0], 1)[0].tile_id.x == 5000
    fault_tally.add("full disk: index", 3)


def test_a_full_disk_refuses_an_export_and_keeps_the_old_one(
    mount: Callable[..., Path], tmp_path: Path, fault_tally: FaultTally
) -> None:
    recorder = JsonLinesRecorder(tmp_path / "record", clock=SystemClock())
    for number in range(3000):
        recorder.record(
            FlightEvent(EventKind.WRITE, "committed", {"number": number, "noise": os.urandom(100).hex()})
        )
    recorder.close()
    target = mount("size=64k") / "flight.mcap"
    target.write_bytes(b"older")
    with pytest.raises(StoreUnavailableError, match="No space left on device"):
        export_mcap(RecordReader(tmp_path / "record").lines(), target)
    assert files_below(target.parent) == {"flight.mcap": hashlib.sha256(b"older").hexdigest()}
    fault_tally.add("full disk: export", 1)


def test_a_full_disk_under_the_record_costs_no_event_that_is_not_counted(
    mount: Callable[..., Path], fault_tally: FaultTally
) -> None:
    place = mount("size=1m")
    ballast = place / "ballast"
    ballast.write_bytes(bytes(900_000))  # more than what is pending then: 1,024 lines, and 500 in the queue
    recorder = JsonLinesRecorder(
        place / "record", clock=SystemClock(), queue_size=500, retry_interval_s=0.02, sync_interval_s=0.01
    )
    recorded = 0
    while not (recorder.status().failing and recorder.status().dropped):
        for _ in range(200):
            recorder.record(FlightEvent(EventKind.WRITE, "committed", {"number": recorded}))
            recorded += 1
        time.sleep(0.005)
    assert recorder.status().last_error == "No space left on device"
    ballast.unlink()
    until(lambda: not recorder.status().failing)
    recorder.close()
    assert not recorder.status().failing
    envelopes = [line.envelope for line in RecordReader(place / "record").lines()]
    numbers = [e.payload["number"] for e in envelopes if e.kind != "c0.recorder.dropped"]
    counted = sum(e.payload["dropped"] for e in envelopes if e.kind == "c0.recorder.dropped")
    assert numbers == sorted(set(numbers))
    assert counted == recorder.status().dropped == recorded - len(numbers)
    fault_tally.add("full disk: flight record", 1)
