"""Seal a base of so many small tiles from memory and print the process's peak of memory, as JSON.

    python bench/probes/seal_base.py FOLDER TILES [SHARED]

The tiles differ from each other, but for SHARED contents (0 to half the tiles; by default none) that two
tiles have each. Neither database nor files of tiles are part of it, and no catalogue of a store: a seal opens
none. The memory is what no file backs, looked at from beginning to end every 5 ms.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path

from aerotile import TileId, TileMetadata, TileSource
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.read_ahead import one_by_one
from aerotile.adapters.sealed_base.seal import SealSource
from aerotile.adapters.sealed_base.seal_plan import SealPlan
from aerotile.domain.values.sectors import SEEDED_RULES, SectorClassification

_COLUMNS = 4096


def main() -> None:
    """Seal, measure, print."""
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    shared = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)

    def pixels(tile_id: TileId) -> bytes:
        number = tile_id.y * _COLUMNS + tile_id.x
        return sha256(b"%d" % (number if number < count - shared else count - 1 - number)).digest() * 2

    def rows() -> Iterator[TileMetadata]:
        for number in range(count):
            tile_id = TileId(18, number % _COLUMNS, number // _COLUMNS, TileSource.IMPORTED)
            content = pixels(tile_id)
            yield TileMetadata(
                tile_id=tile_id,
                captured_at=now,
                content_sha256=sha256(content).hexdigest(),
                disk_bytes=len(content),
                ground_sample_distance=0.5,
            )

    source = SealSource(
        rows=rows,
        read=one_by_one(pixels),
        sectors=(),
        rules=SEEDED_RULES,
        datasets=(),
        default_classification=SectorClassification.STABLE_REAR,
        aerotile="0",
    )
    before = _anonymous_bytes()
    started = time.perf_counter()
    with _watched() as seen:
        manifest = BaseGenerations(folder).seal(source, SealPlan())
    facts = {
        "tiles": manifest.tiles,
        "contents": manifest.contents,
        "seconds": time.perf_counter() - started,
        "before_bytes": before,
        "peak_bytes": max(seen),
    }
    sys.stdout.write(json.dumps(facts) + "\n")


def _anonymous_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


@contextmanager
def _watched() -> Iterator[list[int]]:
    """Looks at the memory on another thread until the body ends."""
    seen, ended = [_anonymous_bytes()], threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            seen[0] = max(seen[0], _anonymous_bytes())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield seen
    finally:
        ended.set()
        watching.join()


if __name__ == "__main__":
    main()
