"""Seal a base of so many small tiles from memory and print the process's peak of memory, as JSON.

    python bench/probes/seal_base.py FOLDER TILES

The tiles differ from each other. Neither database nor files of tiles are part of it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path

from aerotile import TileId, TileMetadata, TileMetadataPersistent, TileSource
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.seal import SealSource
from aerotile.adapters.sealed_base.seal_plan import SealPlan
from aerotile.domain.values.sectors import SEEDED_RULES, SectorClassification

_COLUMNS = 4096


def main() -> None:
    """Seal, measure, print."""
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)

    def pixels(tile_id: TileId) -> bytes:
        return sha256(b"%d" % (tile_id.y * _COLUMNS + tile_id.x)).digest() * 2

    def rows() -> Iterator[TileMetadataPersistent]:
        for number in range(count):
            tile_id = TileId(18, number % _COLUMNS, number // _COLUMNS, TileSource.IMPORTED)
            content = pixels(tile_id)
            metadata = TileMetadata(
                tile_id=tile_id,
                captured_at=now,
                content_sha256=sha256(content).hexdigest(),
                disk_bytes=len(content),
                ground_sample_distance=0.5,
            )
            yield TileMetadataPersistent.of(metadata, created_at=now)

    source = SealSource(
        rows=rows,
        read=pixels,
        sectors=(),
        rules=SEEDED_RULES,
        datasets=(),
        default_classification=SectorClassification.STABLE_REAR,
        aerotile="0",
    )
    before = _anonymous_bytes()
    started = time.perf_counter()
    manifest = BaseGenerations(folder).seal(source, SealPlan(), progress=_watch)
    facts = {
        "tiles": manifest.tiles,
        "seconds": time.perf_counter() - started,
        "before_bytes": before,
        "peak_bytes": _watch.peak,
    }
    sys.stdout.write(json.dumps(facts) + "\n")


def _anonymous_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


class _Watch:
    """Looks at the memory that no file backs, now and then."""

    def __init__(self) -> None:
        self.peak = 0

    def __call__(self, done: int, total: int) -> None:
        if done % 5_000 == 0 or done == total:
            self.peak = max(self.peak, _anonymous_bytes())


_watch = _Watch()

if __name__ == "__main__":
    main()
