"""Sectors and freshness rules in PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from ...domain.errors import ConfigurationError, StoreUnavailableError
from ...domain.values.counted import counted
from ...domain.values.sectors import FreshnessRule, SectorBoundary, SectorClassification
from ..geojson_shapes import geometry_of, shape_of_geometry
from .connection import Database

_log = logging.getLogger("aerotile.sectors")

# A second replacement waits until the first has committed; readers do not wait.
LOCK_SECTORS = "LOCK TABLE sector_classifications IN SHARE ROW EXCLUSIVE MODE"
DELETE_SECTORS = "DELETE FROM sector_classifications"
INSERT_SECTORS = """
    INSERT INTO sector_classifications (sector_id, classification, shape)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::jsonb[])
"""
SELECT_SECTORS = "SELECT sector_id, classification, shape FROM sector_classifications ORDER BY sector_id"
SELECT_RULES = "SELECT classification, max_age FROM tile_freshness_rules"


class PostgresSectorStore:
    """Load and read sectors and rules. Every method raises `StoreUnavailableError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def replace_sectors(self, sectors: Iterable[SectorBoundary]) -> None:
        """Replace all sectors, in one transaction. Durable when it returns.

        Raises `ValueError` when two sectors have the same id; then nothing changes.
        """
        by_id: dict[str, SectorBoundary] = {}
        for sector in sectors:
            if sector.sector_id in by_id:
                raise ValueError(f"sector_id {sector.sector_id!r} occurs twice")
            by_id[sector.sector_id] = sector
        columns = (
            list(by_id),
            [sector.classification.value for sector in by_id.values()],
            [Jsonb(geometry_of(sector.shape)) for sector in by_id.values()],
        )
        doing = f"replacing the sectors by {len(by_id)} others"
        with self._database.session(doing) as connection, connection.transaction():
            connection.execute(LOCK_SECTORS)
            connection.execute(DELETE_SECTORS)
            connection.execute(INSERT_SECTORS, columns)

    def sectors(self) -> tuple[SectorBoundary, ...]:
        """Every sector that has a shape, ordered by id.

        A sector of revision 0001 may have none. Raises `ConfigurationError` when such a sector is in active
        conflict: old tiles would be accepted there. A stable rear is left out, with a warning in the log.
        """
        rows = self._database.fetch_all("reading the sectors", SELECT_SECTORS)
        shapeless = [row for row in rows if row[2] is None]
        without_shape = [row[0] for row in shapeless]
        dangerous = [row[0] for row in shapeless if row[1] != SectorClassification.STABLE_REAR.value]
        if dangerous:
            raise ConfigurationError(
                f"{counted(len(dangerous), 'sector')} in active conflict without a shape (first: "
                f"{dangerous[0]!r}): the freshness rule can't be kept there",
                remedy="load the sectors again: aerotile sectors load FILE",
            )
        if without_shape:
            _log.warning(
                "%s left out, without a shape (first: %s); load the sectors again",
                counted(len(without_shape), "sector"),
                without_shape[0],
            )
        found = _read_sectors([row for row in rows if row[2] is not None])
        return tuple(sorted(found, key=lambda sector: sector.sector_id))

    def rules(self) -> tuple[FreshnessRule, ...]:
        """Every freshness rule, the strictest classification first."""
        rows = self._database.fetch_all("reading the freshness rules", SELECT_RULES)
        try:
            rules = {SectorClassification(name): max_age for name, max_age in rows}
            return tuple(FreshnessRule(c, rules[c]) for c in SectorClassification if c in rules)
        except ValueError as error:
            raise StoreUnavailableError(
                f"the database holds an impossible freshness rule: {error}"
            ) from error


def _read_sectors(rows: Sequence[TupleRow]) -> list[SectorBoundary]:
    # All shapes before the first sector: then the sectors, of which each verdict refers to one, lie in few
    # pages of memory, and the points of their polygons elsewhere.
    shapes = []
    for row in rows:
        with _named(row):
            shapes.append(shape_of_geometry(row[2]))
    sectors = []
    for row, shape in zip(rows, shapes, strict=True):
        with _named(row):
            sectors.append(SectorBoundary(row[0], SectorClassification(row[1]), shape))
    return sectors


@contextmanager
def _named(row: TupleRow) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise StoreUnavailableError(
            f"the database holds an impossible sector {row[0]!r}: {error}",
            remedy="load the sectors again",
        ) from error
