"""A store in memory that provisions fill, and sources in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import attrs
import numpy as np
from budgeted_cache import NOW, Cache

from aerotile.adapters.memory.dataset_store import MemoryDatasetStore
from aerotile.adapters.memory.imagery_source import MemoryImagerySource
from aerotile.adapters.memory.picture_codec import MemoryPictureCodec
from aerotile.adapters.memory.picture_decoder import MemoryPictureDecoder
from aerotile.adapters.memory.tile_versions import MemoryTileVersions
from aerotile.domain.intake.mosaic import Mosaic
from aerotile.domain.intake.provision import ProvisionReport, provision_tiles
from aerotile.domain.intake.report import IntakeReport
from aerotile.domain.intake.take_in_tiles import TileIntake
from aerotile.domain.intake.terms import CaptureTimes, ProvisionTerms
from aerotile.domain.policies.jpeg import walk_jpeg
from aerotile.domain.ports.imagery_source import ImageryFacts, ImageryTile, TilePlace
from aerotile.domain.values.datasets import Dataset, DigestOf
from aerotile.domain.values.pictures import MaskedPicture

SIDE, ZOOM = 256, 8


CODEC = MemoryPictureCodec(SIDE)


DAY = timedelta(days=1)


DATED = ImageryFacts(kind="memory", captured_at=NOW - timedelta(days=3))


def picture(seed: int, size: int = 300) -> bytes:
    """The structure of a JPEG whose frame is `SIDE` x `SIDE` pixels."""
    frame = b"\xff\xc0\x00\x0b\x08" + SIDE.to_bytes(2, "big") * 2 + b"\x01\x01\x11\x00"
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + seed.to_bytes(4, "big").replace(b"\xff", b"\xfe")
    start = b"\xff\xd8" + frame + scan
    return start + bytes(size - len(start) - 2) + b"\xff\xd9"


def place(x: int, y: int = 0, zoom: int = ZOOM) -> TilePlace:
    return TilePlace(zoom, x, y)


def tile(x: int, seed: int = 0, **facts: Any) -> ImageryTile:
    return ImageryTile(place=place(x), pixels=picture(1000 * seed + x), **facts)


def ground(*columns: int, value: int = 1) -> MaskedPicture:
    """A picture that shows ground of one colour in some of its four quarters, from west to east."""
    valid = np.repeat(np.isin(np.arange(4), columns), SIDE // 4)
    return MaskedPicture(
        np.full((SIDE, SIDE, 3), value, np.uint8) * valid[:, np.newaxis], np.broadcast_to(valid, (SIDE, SIDE))
    )


def source_of(*tiles: ImageryTile, **facts: Any) -> MemoryImagerySource:
    return MemoryImagerySource({one.place: one for one in tiles}, **facts)


@attrs.define
class Site:
    """A store in memory, and what provisions did."""

    budget_bytes: int = 1 << 22
    datasets: Sequence[Dataset] = ()
    progress: list[int] = attrs.field(factory=list)
    warnings: list[tuple[int, int]] = attrs.field(factory=list)
    versions: MemoryTileVersions = attrs.field(factory=MemoryTileVersions)
    cache: Cache = attrs.field(init=False)
    report: ProvisionReport = attrs.field(init=False)

    @cache.default
    def _cache(self) -> Cache:
        return Cache.of(self.budget_bytes)

    @property
    def intake(self) -> TileIntake:
        return TileIntake(
            store=self.cache.store,
            footprint_bytes=lambda: self.cache.rows.disk_usage().footprint_bytes,
            budget_bytes=self.budget_bytes,
            tile_size_pixels=SIDE,
            clock=self.cache.clock,
            datasets=MemoryDatasetStore(self.datasets),
            walk_jpeg=walk_jpeg,
            decoder=MemoryPictureDecoder({}),
            tally_evictions=self.cache.enforcer.tally_evictions,
        )

    def provision(
        self,
        sources: Sequence[MemoryImagerySource],
        *,
        at: datetime | CaptureTimes | None = NOW,
        **terms: Any,
    ) -> ProvisionReport:
        self.report = ProvisionReport(IntakeReport(blank=0))
        provision_tiles(
            Mosaic.of(sources, CODEC),
            self.intake,
            ProvisionTerms(captured_at=at, **terms),
            report=self.report,
            versions=self.versions,
            progress=self.progress.append,
            before_evictions=lambda needed, free: self.warnings.append((needed, free)),
        )
        return self.report

    def stored(self) -> dict[int, bytes]:
        """The bytes by column."""
        rows = self.cache.rows.committed()
        return {row.tile_id.x: self.cache.store.read_tile_bytes(row.tile_id) for row in rows}

    def dates(self) -> dict[int, datetime]:
        return {row.tile_id.x: row.captured_at for row in self.cache.rows.committed()}


def counts(report: ProvisionReport) -> tuple[int, int, int]:
    return report.intake.stored, report.intake.present, report.intake.refused


def dataset(name: str, **facts: Any) -> Dataset:
    given: dict[str, Any] = {
        "licence": "CC0-1.0",
        "attribution": "nobody",
        "may_be_stored_offline": True,
        "source": name,
        "source_sha256": "ab" * 32,
        "digest_of": DigestOf.FILE,
        "captured_from": "by hand",
    }
    return Dataset(name=name, **(given | facts))
