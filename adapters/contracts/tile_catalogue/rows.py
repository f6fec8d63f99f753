"""Tiles and rows for the contract of `TileCatalogue`, and the entries that a catalogue must have of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import attrs

from ....domain.ports.tile_catalogue import TileCatalogue
from ....domain.values.catalogue_entries import CatalogueEntry, columns_of
from ....domain.values.tile_key import decode_tile_key
from ....domain.values.tile_rules import may_be_evicted
from ....domain.values.tiles import TileId, TileMetadata, TileMetadataPersistent, TileSource

NOW = datetime(2026, 5, 1, 12, 30, 15, 123_456, tzinfo=timezone.utc)
FLIGHTS = [UUID(int=7), UUID(int=2**100 + 1), UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")]


def imported(x: int, y: int = 0, zoom_level: int = 12) -> TileId:
    return TileId(zoom_level, x, y, TileSource.IMPORTED)


def onboard(x: int, flight: int = 0) -> TileId:
    return TileId(12, x, 0, TileSource.ONBOARD, FLIGHTS[flight])


def row(tile_id: TileId, content: int = 0, **changes: Any) -> TileMetadataPersistent:
    metadata = TileMetadata(
        tile_id=tile_id,
        captured_at=NOW - timedelta(days=content, microseconds=content),
        content_sha256=f"{content:064x}",
        disk_bytes=content + 1,
        ground_sample_distance=1.0,
    )
    return attrs.evolve(TileMetadataPersistent.of(metadata, created_at=NOW), **changes)


def entry(known: TileMetadataPersistent) -> CatalogueEntry:
    """The entry that a catalogue must have of a row."""
    return CatalogueEntry(
        known.tile_id,
        known.captured_at,
        known.accessed_at,
        known.disk_bytes,
        known.content_sha256,
        known.freshness_label,
        known.voting_status,
        known.pinned,
        known.uploaded_at is not None,
        may_be_evicted(known),
    )


def load(catalogue: TileCatalogue, rows: Iterable[TileMetadataPersistent], since: int | None = None) -> None:
    columns, variants = columns_of(rows)
    catalogue.load(columns, variants, since=since)


def add_all(catalogue: TileCatalogue, rows: Iterable[TileMetadataPersistent]) -> None:
    for known in rows:
        catalogue.add(known)


def everything(catalogue: TileCatalogue) -> set[TileId]:
    keys, variants = catalogue.snapshot()
    return {decode_tile_key(key, variants) for key in keys.tolist()}
