"""A store under load, tiles and embedded database below one root, until its power is cut.

Usage: power_cut_worker.py ROOT SEED FSYNC. Opens the store, prints one line of JSON about it and waits for a
line. With `go` it works on, and says what `store_lives` knows of what it is about to do, or has done by the
store's word. With anything else it closes the store in order and ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from uuid import UUID

import numpy as np

from aerotile.adapters.composition import Runtime
from aerotile.adapters.config.settings import (
    AerotileConfig,
    BudgetConfig,
    DatabaseConfig,
    IndexConfig,
    ReadsConfig,
)
from aerotile.adapters.embedded_postgres.server import EmbeddedPostgres
from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.domain.errors import (
    IndexUnavailableError,
    OnboardRoomExhaustedError,
    TileCacheError,
    TileNotFoundError,
)
from aerotile.domain.store.disk_budget import CacheBudgetEnforcer
from aerotile.domain.store.verify import verify_store
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource, VotingStatus

BUDGET_BYTES = 2_000_000
FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
SIZES = (100, 2_000, 12_000)


def say(line: str) -> None:
    # One write for a line: what was said is said, whatever happens next.
    os.write(1, f"{line}\n".encode())


def tile_of(tile_id: TileId, chance: random.Random) -> tuple[bytes, TileMetadata]:
    pixels = example_jpeg(chance.randbytes(chance.choice(SIZES)))
    return pixels, example_metadata(
        tile_id,
        pixels,
        captured_at=datetime.now(timezone.utc),
        ground_sample_distance=0.15,
        voting_status=VotingStatus.PENDING if tile_id.source is TileSource.ONBOARD else None,
    )


class Load:
    """What works on the store at once, each in a thread of its own."""

    def __init__(self, runtime: Runtime, seed: int) -> None:
        self._runtime = runtime
        self._seed = seed
        self._announce_evictions()
        self._store = runtime.tile_store
        self._hashes = {row.tile_id: row.content_sha256 for row in runtime.rows.committed()}
        self._evicted: set[TileId] = set()
        self._guard = threading.Lock()

    def _announce_evictions(self) -> None:
        """Say which tiles the budget evicts, before and after."""
        enforcer = self._runtime.tile_store._parts.headroom
        assert isinstance(enforcer, CacheBudgetEnforcer)
        evict = enforcer._evict_tile

        def announced(tile_id: TileId) -> int:
            return self._removed(tile_id, evict, by_budget=True)

        enforcer._evict_tile = announced

    def _removed(self, tile_id: TileId, remove: Callable[[TileId], int], *, by_budget: bool = False) -> int:
        with self._guard:
            if by_budget:
                self._evicted.add(tile_id)
            name = f"{tile_id} {self._hashes[tile_id]}"
        say(f"? {name}")
        freed = remove(tile_id)
        say(f"- {name}")
        return freed

    def _may_come(self, metadata: TileMetadata) -> bool:
        """Note the content of a tile to be written, unless an eviction may take it for what it was before."""
        with self._guard:
            if metadata.tile_id in self._evicted:
                return False
            self._hashes[metadata.tile_id] = metadata.content_sha256
            return True

    def start(self) -> None:
        for number, work in enumerate(
            (self._singles, self._batches, self._replacements, self._onboard, self._marks, self._index)
        ):
            chance = random.Random(f"{self._seed}/{number}")
            threading.Thread(target=self._go_on, args=(work, chance), daemon=True).start()

    def _go_on(self, work: Callable[[random.Random], None], chance: random.Random) -> None:
        try:
            work(chance)
        except Exception as error:  # noqa: BLE001 - whatever it is, it fails the test
            say(f"x {work.__name__}: {type(error).__name__}: {error}".replace("\n", " "))

    def _ids(self, row: int, source: TileSource) -> Iterator[TileId]:
        flight = FLIGHT if source is TileSource.ONBOARD else None
        for number in count():
            yield TileId(20, self._seed * 10 + row, number, source, flight)

    def _write(self, pixels: bytes, metadata: TileMetadata) -> None:
        if not self._may_come(metadata):
            return
        self._store.write_tile(pixels, metadata)
        say(f"+ {metadata.tile_id} {metadata.content_sha256}")

    def _singles(self, chance: random.Random) -> None:
        """Write tiles, delete some, and write some of those again with other content."""
        mine: list[TileId] = []
        for tile_id in self._ids(0, TileSource.IMPORTED):
            self._write(*tile_of(tile_id, chance))
            mine.append(tile_id)
            if len(mine) > 4:
                gone = mine.pop(chance.randrange(len(mine)))
                try:
                    self._removed(gone, self._store.delete_tile)
                except TileNotFoundError:  # evicted meanwhile
                    continue
                if chance.random() < 0.5:
                    mine.append(gone)
                    self._write(*tile_of(gone, chance))

    def _batches(self, chance: random.Random) -> None:
        coming = self._ids(1, TileSource.SATELLITE_PROVIDER)
        while True:
            batch = [tile_of(next(coming), chance) for _ in range(chance.choice((2, 9, 30)))]
            self._hashes.update((metadata.tile_id, metadata.content_sha256) for _, metadata in batch)
            for outcome, (_, metadata) in zip(self._store.write_tiles(batch), batch, strict=True):
                if outcome.error is not None:
                    raise outcome.error
                say(f"+ {metadata.tile_id} {metadata.content_sha256}")

    def _replacements(self, chance: random.Random) -> None:
        """Write tiles, and replace each; pinned meanwhile, because an eviction would name the older one."""
        set_pinned = self._runtime.metadata_store.set_pinned
        for tile_id in self._ids(3, TileSource.IMPORTED):
            self._write(*tile_of(tile_id, chance))
            try:
                set_pinned(tile_id, True)
            except TileNotFoundError:  # evicted meanwhile
                continue
            before, (pixels, newer) = self._hashes[tile_id], tile_of(tile_id, chance)
            say(f"? {tile_id} {before}")
            self._store.replace_tile(pixels, newer)
            say(f"- {tile_id} {before}")
            self._hashes[tile_id] = newer.content_sha256
            say(f"+ {tile_id} {newer.content_sha256}")
            set_pinned(tile_id, False)

    def _onboard(self, chance: random.Random) -> None:
        for tile_id in self._ids(2, TileSource.ONBOARD):
            with suppress(OnboardRoomExhaustedError):  # until more are uploaded
                self._write(*tile_of(tile_id, chance))

    def _marks(self, chance: random.Random) -> None:
        """Mark what is pending as uploaded, as an uploader does on the provider's word."""
        store = self._runtime.metadata_store
        while True:
            for row in store.pending_uploads(chance.choice((1, 5))):
                store.mark_uploaded(row.tile_id, datetime.now(timezone.utc), row.content_sha256)
                say(f"u {row.tile_id} {row.content_sha256}")

    def _index(self, chance: random.Random) -> None:
        index = self._runtime.index_builder
        for number in count():
            tile_ids = [
                TileId(20, x, number, TileSource.IMPORTED) for x in range(chance.choice((1, 40, 400)))
            ]
            descriptors = np.full((len(tile_ids), 16), chance.random(), np.float32)
            model = f"{self._seed}-{number}"
            say(f"b {model}")
            index.rebuild(tile_ids, descriptors, descriptor_model=model, built_at=datetime.now(timezone.utc))
            say(f"i {model}")


def opened(runtime: Runtime) -> dict[str, object]:
    """What the product itself says of the store that it opened."""
    store = runtime.tile_store
    report = store.opened
    # A sidecar may lag behind a crash; the check restores it.
    found = list(verify_store(runtime.rows, runtime.files))
    findings = [f"{finding.kind.value} {finding.tile_id}" for finding in found if not finding.mended]
    unreadable = []
    for row in runtime.rows.committed():
        try:
            with store.read_tile_pixels(row.tile_id) as handle, memoryview(handle) as view:
                if not view.readonly or hashlib.sha256(view).hexdigest() != row.content_sha256:
                    unreadable.append(f"{row.tile_id} is read with other content, or can be written")
        except TileCacheError as error:
            unreadable.append(str(error))
    try:
        model = runtime.descriptor_index.metadata().descriptor_model
    except IndexUnavailableError as error:
        model = f"none: {error}"
    return {
        "dsn": runtime.dsn,
        "files_missing": report.files_missing,
        "left_for_later": report.left_for_later,
        "mended": report.orphans_removed
        + report.temporaries_removed
        + report.sidecars_restored
        + len(found)
        - len(findings),
        "findings": findings,
        "unreadable": unreadable,
        "model": model,
        "budget_bytes": BUDGET_BYTES,
    }


def config_of(root: Path) -> AerotileConfig:
    """Everything below one root, and patience with a busy machine."""
    return AerotileConfig(
        root=root,
        database=DatabaseConfig(connect_timeout_s=60.0),
        reads=ReadsConfig(deadline_s=0.0),
        budget=BudgetConfig(max_bytes=BUDGET_BYTES, eviction_batch_size=8),
        index=IndexConfig(m=4, ef_construction=8, keep_generations=1),
    )


def runtime_of(root: Path, fsync: str) -> Runtime:
    """The product as it is, but for a database that may be told not to sync."""
    config = config_of(root)
    runtime = Runtime(config)
    if fsync == "off":
        server = EmbeddedPostgres(config.postgres_folder, extra_settings={"fsync": "off"})
        runtime.__dict__["embedded_server"] = server
    return runtime


def main() -> None:
    root, seed, fsync = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    with runtime_of(root, fsync) as runtime:
        say(json.dumps(opened(runtime)))
        if sys.stdin.readline() == "go\n":
            Load(runtime, seed).start()
            threading.Event().wait()


if __name__ == "__main__":
    main()
