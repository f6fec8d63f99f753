"""The demo's pre-flight: a base of real imagery, through every gate, described, indexed and sealed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path

import attrs
import numpy as np

from ...domain.values.tile_grid import GridRange, ground_sample_distance
from ...domain.values.tiles import TileId, TileMetadata, TileSource
from ..composition import Runtime
from ..descriptor_models.gradient_vlad import GradientVlad
from ..sealed_base.manifest import SealedIndex
from ..sealed_base.seal_plan import SealPlan
from ..signatures import Trust, read_private_key, write_new_key
from .imagery import BlueMarble, Pixels, decode_tile, encode_tile
from .mission import Mission

BASE_AGE = timedelta(days=30)
_BATCH = 128
_NETWORK = "descriptor.npz"

ProgressBar = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
"""`with bar("label") as advance: advance(done, total)`."""


@attrs.frozen(kw_only=True)
class PreparedBase:
    """The base that is ready for the flight, and how long each part took."""

    network: Path
    """The file of the descriptor that was learned."""
    tile_ids: tuple[TileId, ...]
    total_bytes: int
    indexed: int
    ingest_s: float
    describe_s: float
    index_s: float


def prepare_base(runtime: Runtime, mission: Mission, imagery: BlueMarble, bar: ProgressBar) -> PreparedBase:
    """Fill the database, the tile store and the descriptor index of `runtime` for the mission."""
    runtime.apply_migrations()
    runtime.sector_store.replace_sectors(mission.sectors)
    started = time.perf_counter()
    tile_ids = _ingest(runtime, mission, imagery, bar)
    ingested = time.perf_counter()
    searchable = [tile_id for tile_id in tile_ids if tile_id.zoom_level == mission.search_zoom]
    images = [_read_back(runtime, tile_id) for tile_id in searchable]
    with bar("Learning the descriptor") as advance:
        model = GradientVlad.fit(images, progress=advance)
    network = runtime.config.root / _NETWORK
    model.save(network)
    with bar("Describing tiles") as advance:
        rows = [model.describe(image[np.newaxis]) for image in _counted(images, advance)]
    descriptors = np.concatenate(rows)
    described = time.perf_counter()
    with bar("Building the index") as advance:
        runtime.descriptor_index.rebuild(
            searchable,
            descriptors,
            descriptor_model=model.name,
            built_at=runtime.clock.now(),
            progress=advance,
        )
    return PreparedBase(
        network=network,
        tile_ids=tuple(tile_ids),
        total_bytes=runtime.rows.disk_usage().footprint_bytes,
        indexed=len(searchable),
        ingest_s=ingested - started,
        describe_s=described - ingested,
        index_s=time.perf_counter() - described,
    )


@attrs.frozen(kw_only=True)
class Release:
    """The sealed base that the flight takes along, in use and signed."""

    public_key: str
    index: SealedIndex | None
    tiles: int
    disk_bytes: int
    seal_s: float


def release_base(runtime: Runtime, key: Path, bar: ProgressBar) -> Release:
    """Seal what is prepared, sign it with a new key in the file `key`, and switch to it."""
    started = time.perf_counter()
    public_key = write_new_key(key)
    with bar("Sealing the base") as advance:
        sealed = runtime.seal_base(SealPlan(), with_index=True, progress=advance)
    generations = runtime.base_generations
    generations.sign(sealed.name, read_private_key(key))
    generations.switch_to(sealed.name, Trust((public_key,), threshold=1), require_signature=True)
    return Release(
        public_key=public_key,
        index=sealed.index,
        tiles=sealed.tiles,
        disk_bytes=generations.total_bytes(),
        seal_s=time.perf_counter() - started,
    )


def _ingest(runtime: Runtime, mission: Mission, imagery: BlueMarble, bar: ProgressBar) -> list[TileId]:
    zooms = (*mission.overview_zooms, mission.search_zoom)
    wanted = [
        TileId(zoom, x, y, TileSource.SATELLITE_PROVIDER)
        for zoom in zooms
        for x, y in GridRange.covering(mission.area, zoom)
    ]
    captured_at = runtime.clock.now() - BASE_AGE
    with bar("Bringing in tiles") as advance:
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            tiles = [cut_tile(imagery, tile_id, captured_at) for tile_id in batch]
            for outcome in runtime.tile_store.write_tiles(tiles):
                if outcome.error is not None:
                    raise outcome.error
            advance(start + len(batch), len(wanted))
    return wanted


def cut_tile(imagery: BlueMarble, tile_id: TileId, captured_at: datetime) -> tuple[bytes, TileMetadata]:
    """A tile of the source raster as JPEG, with its metadata."""
    pixels = encode_tile(imagery.cut_tile(tile_id.zoom_level, tile_id.x, tile_id.y))
    return pixels, describe_tile(tile_id, pixels, captured_at)


def describe_tile(tile_id: TileId, pixels: bytes, captured_at: datetime) -> TileMetadata:
    """The metadata of a tile's bytes."""
    return TileMetadata(
        tile_id=tile_id,
        captured_at=captured_at,
        content_sha256=hashlib.sha256(pixels).hexdigest(),
        disk_bytes=len(pixels),
        ground_sample_distance=ground_sample_distance(tile_id.centre[0], tile_id.zoom_level),
    )


def _read_back(runtime: Runtime, tile_id: TileId) -> Pixels:
    with runtime.tile_store.read_tile_pixels(tile_id) as handle:
        return decode_tile(bytes(memoryview(handle)))


def _counted(images: Sequence[Pixels], advance: Callable[[int, int], None]) -> Iterator[Pixels]:
    for done, image in enumerate(images, start=1):
        yield image
        advance(done, len(images))
