"""Bases that tests seal: tiles with bytes of their own, in lists instead of a store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs

from aerotile.adapters.memory.example_jpeg import example_jpeg, example_metadata
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.manifest import BaseManifest, SealedIndex
from aerotile.adapters.sealed_base.mapped_base import MappedBase, open_base
from aerotile.adapters.sealed_base.read_ahead import one_by_one
from aerotile.adapters.sealed_base.seal import SealSource
from aerotile.adapters.sealed_base.seal_plan import SealPlan
from aerotile.adapters.signatures import Trust
from aerotile.domain.values.catalogue_entries import Keys
from aerotile.domain.values.datasets import Dataset, DigestOf
from aerotile.domain.values.sectors import SEEDED_RULES, SectorBoundary, SectorClassification
from aerotile.domain.values.shapes import Polygon
from aerotile.domain.values.tile_grid import Bbox
from aerotile.domain.values.tile_key import VariantTable
from aerotile.domain.values.tiles import (
    TileId,
    TileMetadataPersistent,
    TileQualityMetadata,
    TileSource,
    VotingStatus,
)

CAPTURED_AT = datetime(2025, 6, 1, tzinfo=timezone.utc)
FLIGHTS = (UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2"), UUID("11111111-1111-1111-1111-111111111111"))
SECTORS = (
    SectorBoundary("front", SectorClassification.ACTIVE_CONFLICT, Bbox(40.0, 10.0, 50.0, 20.0)),
    SectorBoundary(
        "rear", SectorClassification.STABLE_REAR, Polygon([[(-10.0, -10.0), (0.0, -10.0), (-10.0, 0.1)]])
    ),
)
NOBODY = Trust((), 1)

Tile = tuple[TileMetadataPersistent, bytes]


def pixels_of(number: int, size: int = 300) -> bytes:
    """Bytes with the structure of a JPEG, for each number and size their own."""
    return example_jpeg(hashlib.shake_128(f"{number}/{size}".encode()).digest(size), size)


def tile(
    tile_id: TileId, pixels: bytes | None = None, *, vote: VotingStatus | None = None, days: int = 0
) -> Tile:
    """A tile of the store: its row and its bytes."""
    pixels = pixels_of(tile_id.x << 22 | tile_id.y) if pixels is None else pixels
    onboard = tile_id.source is TileSource.ONBOARD
    metadata = example_metadata(
        tile_id,
        pixels,
        captured_at=CAPTURED_AT - timedelta(days=days),
        ground_sample_distance=0.5,
        voting_status=vote,
        quality=TileQualityMetadata(2.5, 41, 0.75, 123.5) if onboard else None,
    )
    return TileMetadataPersistent.of(metadata, created_at=CAPTURED_AT), pixels


def imported(zoom: int, x: int, y: int, pixels: bytes | None = None) -> Tile:
    """A tile that an operator brought in."""
    return tile(TileId(zoom, x, y, TileSource.IMPORTED), pixels)


def dataset(name: str, **changes: Any) -> Dataset:
    """A dataset that may be stored offline."""
    facts = {
        "name": name,
        "licence": "CC-BY-4.0",
        "attribution": f"© {name}",
        "may_be_stored_offline": True,
        "source": f"{name}.tif",
        "source_sha256": hashlib.sha256(name.encode()).hexdigest(),
        "digest_of": DigestOf.FILE,
        "captured_at": CAPTURED_AT,
        "captured_from": "by hand",
    }
    return Dataset(**facts | changes)


def of_dataset(tile: Tile, name: str) -> Tile:
    """The tile, of a dataset."""
    return attrs.evolve(tile[0], dataset=name), tile[1]


def square(width: int, zoom: int = 12) -> list[Tile]:
    """So many by so many tiles, each with bytes of its own."""
    return [
        imported(zoom, 2000 + x, 1500 + y, pixels_of(x * width + y, 200 + (x * 7 + y * 13) % 500))
        for x in range(width)
        for y in range(width)
    ]


def source_of(
    tiles: Sequence[Tile], order: Iterable[int] | None = None, datasets: tuple[Dataset, ...] = ()
) -> SealSource:
    """A store of these tiles, whose rows come in an order."""
    pixels = {row.tile_id: content for row, content in tiles}
    rows = [tiles[position][0] for position in (range(len(tiles)) if order is None else order)]
    return SealSource(
        rows=lambda: rows,
        read=one_by_one(pixels.__getitem__),
        sectors=SECTORS,
        rules=SEEDED_RULES,
        datasets=datasets,
        default_classification=SectorClassification.STABLE_REAR,
        aerotile="0.0.0",
    )


def writer_of(index: Any) -> Callable[[Path, Keys, VariantTable], SealedIndex]:
    """What a source writes of a FAISS index into a base."""

    def write(folder: Path, keys: Keys, variants: VariantTable) -> SealedIndex:
        written = index.seal_into(folder, keys, variants, lambda done, total: None)
        return SealedIndex(
            descriptor_model=written.metadata.descriptor_model,
            descriptors=written.metadata.count,
            tiles=written.tiles,
            dropped=written.dropped,
            built_by=written.built_by,
            metadata_sha256=written.metadata_sha256,
        )

    return write


def seal(
    root: Path,
    tiles: Sequence[Tile],
    plan: SealPlan | None = None,
    number: int | None = None,
    datasets: tuple[Dataset, ...] = (),
) -> BaseManifest:
    """Seal a generation of these tiles below `root`."""
    source = source_of(tiles, datasets=datasets)
    return BaseGenerations(root).seal(source, SealPlan() if plan is None else plan, number=number)


def opened(
    root: Path,
    tiles: Sequence[Tile],
    plan: SealPlan | None = None,
    datasets: tuple[Dataset, ...] = (),
) -> MappedBase:
    """Seal a generation of these tiles below `root`, and open it."""
    name = seal(root, tiles, plan, datasets=datasets).name
    return open_base(BaseGenerations(root), name, NOBODY, require_signature=False)
