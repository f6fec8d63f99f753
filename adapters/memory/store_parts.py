"""The parts of a small tile store, for tests and contract suites."""

from __future__ import annotations

from collections.abc import Sequence

from ...domain.policies.freshness import FreshnessGrounds
from ...domain.ports.clock import Clock
from ...domain.ports.flight_recorder import FlightRecorder
from ...domain.ports.tile_files import TileFiles
from ...domain.ports.tile_rows import TileRows
from ...domain.store.catalogue_sync import CatalogueSync
from ...domain.store.freshness_gate import FreshnessGate
from ...domain.store.tile_store_parts import TileStoreParts
from ...domain.values.sectors import SEEDED_RULES, SectorBoundary, SectorClassification
from .mapping_cache import MemoryMappingCache
from .sector_index import MemorySectorIndex
from .tile_catalogue import MemoryTileCatalogue


def small_store_parts(
    rows: TileRows,
    files: TileFiles,
    *,
    clock: Clock,
    recorder: FlightRecorder,
    sync: CatalogueSync | None = None,
    sectors: Sequence[SectorBoundary] = (),
    classification: SectorClassification = SectorClassification.STABLE_REAR,
) -> TileStoreParts:
    """A store over `rows` and `files` with the seeded rules, without a budget and without recalls.

    `classification` is that of the ground outside all `sectors`. Without `sync` the catalogue and the mapping
    cache are in memory.
    """
    grounds = FreshnessGrounds(tuple(sectors), SEEDED_RULES, classification)
    return TileStoreParts(
        rows=rows,
        files=files,
        sync=sync or CatalogueSync(rows, files, MemoryTileCatalogue(), MemoryMappingCache()),
        gate=FreshnessGate([grounds], MemorySectorIndex, clock=clock, recorder=recorder),
        clock=clock,
        recorder=recorder,
    )
