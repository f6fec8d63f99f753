"""The paths of the target table: what is measured on each, beside which floor and which peers."""

from __future__ import annotations

from harness.subjects import GrowthCurve, MeasuredPath

from . import budget, bulk, catalogue, freshness, index, opening, reads, upload, writes

PATHS: tuple[MeasuredPath, ...] = (
    reads.KEPT,
    reads.FIRST_TIME,
    reads.BYTES,
    writes.ONE_TILE,
    bulk.BULK,
    catalogue.BBOX,
    freshness.VERDICT,
    index.SEARCH,
    index.OPEN,
    index.FIND,
    budget.HEADROOM,
    budget.LRU,
    opening.FACTORIES,
    opening.OPEN,
    upload.UPLOAD,
)

GROWTH: tuple[GrowthCurve, ...] = (
    *reads.GROWTH,
    catalogue.GROWTH,
    freshness.GROWTH,
    index.GROWTH,
    opening.FACTORIES_GROWTH,
)
