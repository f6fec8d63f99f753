"""Sectors: shapes with a threat classification, and how old a tile may be in each kind."""

from __future__ import annotations

from datetime import timedelta
from enum import Enum

import attrs

from .shapes import MultiPolygon, Polygon
from .tile_grid import Bbox
from .validators import is_a

MAX_SECTOR_ID_LENGTH = 200


class SectorClassification(str, Enum):
    """How dangerous it is to trust an old map there. Declared from the strictest to the most lenient."""

    ACTIVE_CONFLICT = "active_conflict"
    """A tile that is too old is refused."""
    STABLE_REAR = "stable_rear"
    """A tile that is too old is stored with the label `downgraded`."""


@attrs.frozen
class SectorBoundary:
    """Ground with its classification. Raises `ValueError` for an id that is no text, and for other shapes."""

    sector_id: str = attrs.field()
    """Non-empty, at most 200 characters."""
    classification: SectorClassification = attrs.field(validator=is_a(SectorClassification))
    """Which freshness rule holds in it."""
    shape: Bbox | Polygon | MultiPolygon = attrs.field()
    """The ground that it covers, holes left out; across the antimeridian it is a `MultiPolygon` of two."""

    @sector_id.validator
    def _named(self, _: attrs.Attribute[str], value: str) -> None:
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"sector_id must be a non-empty text, got {value!r}")
        if len(value) > MAX_SECTOR_ID_LENGTH:
            raise ValueError(f"sector_id is longer than {MAX_SECTOR_ID_LENGTH} characters")

    @shape.validator
    def _of_straight_lines(self, _: attrs.Attribute[object], value: object) -> None:
        if not isinstance(value, (Bbox, Polygon, MultiPolygon)):
            raise ValueError(f"shape must be a Bbox, a Polygon or a MultiPolygon, got {value!r}")

    @property
    def bbox(self) -> Bbox:
        """The smallest box around the shape. It may cover ground that is not the sector's."""
        return self.shape if isinstance(self.shape, Bbox) else self.shape.bbox


@attrs.frozen
class FreshnessRule:
    """The greatest age, counted from the capture time, that counts as fresh in one classification."""

    classification: SectorClassification = attrs.field(validator=is_a(SectorClassification))
    """Where the rule holds."""
    max_age: timedelta = attrs.field()
    """Greater than zero; an age equal to it is fresh."""

    @max_age.validator
    def _positive(self, _: attrs.Attribute[timedelta], value: timedelta) -> None:
        if not isinstance(value, timedelta) or value <= timedelta(0):
            raise ValueError(f"max_age must be a positive duration, got {value!r}")


SEEDED_RULES = (
    FreshnessRule(SectorClassification.ACTIVE_CONFLICT, timedelta(days=180)),
    FreshnessRule(SectorClassification.STABLE_REAR, timedelta(days=365)),
)
"""What migration 0002 writes into `tile_freshness_rules`."""
