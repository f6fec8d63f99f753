"""An intake into a store in memory, and the tiles that tests offer to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import attrs
from budgeted_cache import NOW, Cache

from aerotile.adapters.memory.dataset_store import MemoryDatasetStore
from aerotile.adapters.memory.picture_decoder import MemoryPictureDecoder
from aerotile.domain.intake.report import IntakeReport
from aerotile.domain.intake.take_in_tiles import TileIntake
from aerotile.domain.intake.terms import IntakeTerms
from aerotile.domain.policies.jpeg import walk_jpeg
from aerotile.domain.ports.picture_decoder import DecodedPicture
from aerotile.domain.values.datasets import Dataset
from aerotile.domain.values.sectors import SectorClassification
from aerotile.domain.values.tiles import TileId, TileSource

SIDE = 256


def picture(seed: int, side: int = SIDE, size: int = 200) -> bytes:
    """The structure of a JPEG whose frame is `side` x `side` pixels."""
    frame = b"\xff\xc0\x00\x0b\x08" + side.to_bytes(2, "big") * 2 + b"\x01\x01\x11\x00"
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    content = seed.to_bytes(4, "big").replace(b"\xff", b"\xfe")
    start = b"\xff\xd8" + frame + scan + content
    return start + bytes(size - len(start) - 2) + b"\xff\xd9"


@attrs.frozen
class Offered:
    """An `OfferedTile` in memory."""

    x: int
    pixels: bytes
    claim: str | None = None
    zoom_level: int = 8
    y: int = 0
    broken: bool = False

    @property
    def name(self) -> str:
        return f"{self.zoom_level}/{self.x}/{self.y}.jpg"

    @property
    def size(self) -> int:
        return len(self.pixels)

    def read_pixels(self, most_bytes: int) -> bytes:
        if self.broken:
            raise OSError(5, "Input/output error")
        return self.pixels[:most_bytes]

    def claimed_sha256(self) -> str | None:
        return self.claim


def offered(*columns: int) -> list[Offered]:
    return [Offered(x, picture(x)) for x in columns]


def tile_id(x: int) -> TileId:
    return TileId(8, x, 0, TileSource.IMPORTED)


@attrs.define
class Site:
    cache: Cache
    intake: TileIntake
    progress: list[tuple[int, int]] = attrs.field(factory=list)
    shortages: list[tuple[int, int]] = attrs.field(factory=list)

    @classmethod
    def of(
        cls,
        budget_bytes: int = 1 << 20,
        classification: SectorClassification = SectorClassification.STABLE_REAR,
        found: dict[bytes, DecodedPicture] | None = None,
        datasets: Sequence[Dataset] = (),
    ) -> Site:
        cache = Cache.of(budget_bytes, classification=classification)
        intake = TileIntake(
            store=cache.store,
            footprint_bytes=lambda: cache.rows.disk_usage().footprint_bytes,
            budget_bytes=budget_bytes,
            tile_size_pixels=SIDE,
            clock=cache.clock,
            datasets=MemoryDatasetStore(datasets),
            walk_jpeg=walk_jpeg,
            decoder=MemoryPictureDecoder(found or {}),
            tally_evictions=cache.enforcer.tally_evictions,
        )
        return cls(cache, intake)

    def take_in(self, tiles: list[Offered], *, age: timedelta = timedelta(0), batch: int = 2) -> IntakeReport:
        return self.intake.take_in(
            tiles,
            IntakeTerms(captured_at=NOW - age),
            batch_size=batch,
            progress=lambda done, total: self.progress.append((done, total)),
            before_evictions=lambda needed, free: self.shortages.append((needed, free)),
        )

    def stored(self) -> set[int]:
        return {row.tile_id.x for row in self.cache.rows.committed()}


def ended(report: IntakeReport) -> tuple[int, int, int]:
    return report.stored, report.present, report.refused
