"""The paths of the target table: what is measured on each, beside which floor and which peers."""

from __future__ import annotations

from harness.subjects import GrowthCurve, MeasuredPath

from . import (
    area_search,
    base_opening,
    base_sealing,
    budget,
    build,
    bulk,
    busy_writes,
    catalogue,
    freshness,
    index_find,
    index_opening,
    index_search,
    intake,
    opening,
    rasters,
    readiness,
    reads,
    sealed_base,
    sector_shapes,
    upload,
    writes,
)

PATHS: tuple[MeasuredPath, ...] = (
    reads.KEPT,
    reads.FIRST_TIME,
    reads.BYTES,
    writes.ONE_TILE,
    bulk.BULK,
    intake.INTAKE,
    catalogue.BBOX,
    freshness.VERDICT,
    sector_shapes.CLEAR,
    sector_shapes.CROSSED,
    index_search.SEARCH,
    index_opening.OPEN,
    index_find.FIND,
    budget.HEADROOM,
    budget.LRU,
    opening.FACTORIES,
    opening.OPEN,
    upload.UPLOAD,
    area_search.SMALL_AREA,
    area_search.LARGE_AREA,
    sealed_base.READ,
    base_opening.OPEN,
    base_sealing.SEAL,
    build.CUT,
    busy_writes.BESIDE_PYTHON,
    rasters.CUT,
    readiness.READY,
)

GROWTH: tuple[GrowthCurve, ...] = (
    *reads.GROWTH,
    catalogue.GROWTH,
    freshness.GROWTH,
    index_search.GROWTH,
    opening.FACTORIES_GROWTH,
    area_search.GROWTH,
    base_opening.GROWTH,
)
