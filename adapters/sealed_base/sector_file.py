"""`sectors.json`: the sectors and rules that a base's tiles are judged by without a database."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta

from ...domain.values.sectors import FreshnessRule, SectorBoundary, SectorClassification
from ...domain.values.timestamps import MICROSECOND
from ..geojson_shapes import geometry_of, shape_of_geometry


def encode_sectors(sectors: Iterable[SectorBoundary], rules: Iterable[FreshnessRule]) -> bytes:
    """The file's bytes; the same sectors and rules, in any order, give the same bytes."""
    facts = {
        "sectors": [
            {
                "sector_id": sector.sector_id,
                "classification": sector.classification.value,
                "shape": geometry_of(sector.shape),
            }
            for sector in sorted(sectors, key=lambda each: each.sector_id)
        ],
        "max_age_us": {rule.classification.value: rule.max_age // MICROSECOND for rule in rules},
    }
    return json.dumps(facts, indent=1, sort_keys=True).encode("ascii") + b"\n"


def decode_sectors(content: bytes) -> tuple[tuple[SectorBoundary, ...], tuple[FreshnessRule, ...]]:
    """The sectors and the rules. Raises `ValueError`."""
    try:
        facts = json.loads(content)
        # All shapes before the first sector, so that the sectors lie in few pages of memory.
        shapes = [shape_of_geometry(sector["shape"]) for sector in facts["sectors"]]
        sectors = [
            SectorBoundary(sector["sector_id"], SectorClassification(sector["classification"]), shape)
            for sector, shape in zip(facts["sectors"], shapes, strict=True)
        ]
        rules = [
            FreshnessRule(SectorClassification(name), timedelta(microseconds=max_age))
            for name, max_age in facts["max_age_us"].items()
        ]
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"it holds no sectors of ours ({error!r})") from error
    return tuple(sectors), tuple(rules)
