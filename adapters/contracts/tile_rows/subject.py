"""The rows under test, and the tiles that the suite writes to them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from uuid import UUID

import attrs
import pytest

from ....domain.ports.tile_metadata import TileMetadataStore
from ....domain.ports.tile_rows import TileRows
from ....domain.values.tiles import TileId, TileMetadata, TileSource

NOW = datetime(2026, 5, 1, 12, 30, 15, 123456, tzinfo=timezone.utc)
FLIGHT = UUID(int=7)
LEGACY = TileId(9, 4, 5, TileSource.ONBOARD, FLIGHT)


def imported(x: int) -> TileId:
    return TileId(12, x, 0, TileSource.IMPORTED)


def onboard(x: int) -> TileId:
    return TileId(12, x, 0, TileSource.ONBOARD, UUID(int=7))


def described(tile_id: TileId, disk_bytes: int = 100) -> TileMetadata:
    return TileMetadata(
        tile_id=tile_id,
        captured_at=NOW - timedelta(days=3, microseconds=7),
        content_sha256=f"{disk_bytes:064x}",
        disk_bytes=disk_bytes,
        ground_sample_distance=1.25,
    )


@attrs.frozen
class TileRowsSubject:
    """Rows under test, the metadata store of the same table, and abilities that no port offers."""

    rows: TileRows
    known: TileMetadataStore
    with_budget: Callable[[int, int | None], TileRows]
    """The same rows under a disk budget in bytes, and a share of the onboard tiles (None: no limit)."""
    insert_legacy: Callable[[TileId], None]
    """Insert a row as databases before revision 0002 hold it: hash and size are unknown."""
    files_missing: Callable[[], dict[TileId, datetime]]
    """The imported tiles whose row is marked as without a file, with the time of the mark."""

    def add_legacy_row(self) -> None:
        self.insert_legacy(LEGACY)

    def store(self, *metadata: TileMetadata) -> None:
        with self.rows.insert_many(metadata, NOW) as rows:
            rows.commit()

    def total(self) -> int:
        return self.known.total_disk_bytes()

    def committed(self) -> set[TileId]:
        return {tile.tile_id for tile in self.rows.committed()}


class OfTileRows:
    """The fixture of every part of the contract."""

    @pytest.fixture
    def subject(self) -> TileRowsSubject:
        """The rows under test. Override it."""
        raise NotImplementedError
