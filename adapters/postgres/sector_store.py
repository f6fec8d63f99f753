"""Sectors and freshness rules in PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from psycopg.rows import TupleRow

from ...domain.errors import ConfigurationError, StoreUnavailableError
from ...domain.values.sectors import FreshnessRule, SectorBoundary, SectorClassification
from ...domain.values.tile_grid import Bbox
from .connection import Database

_log = logging.getLogger("aerotile.sectors")

# A second replacement waits until the first has committed; readers do not wait.
LOCK_SECTORS = "LOCK TABLE sector_classifications IN SHARE ROW EXCLUSIVE MODE"
DELETE_SECTORS = "DELETE FROM sector_classifications"
INSERT_SECTORS = """
    INSERT INTO sector_classifications (sector_id, classification, min_lat, min_lon, max_lat, max_lon)
    SELECT * FROM unnest(
        %s::text[], %s::text[], %s::double precision[], %s::double precision[], %s::double precision[],
        %s::double precision[]
    )
"""
SELECT_SECTORS = """
    SELECT sector_id, classification, min_lat, min_lon, max_lat, max_lon
    FROM sector_classifications ORDER BY sector_id
"""
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
            [s.classification.value for s in by_id.values()],
            [float(s.bbox.min_lat) for s in by_id.values()],
            [float(s.bbox.min_lon) for s in by_id.values()],
            [float(s.bbox.max_lat) for s in by_id.values()],
            [float(s.bbox.max_lon) for s in by_id.values()],
        )
        doing = f"replacing the sectors by {len(by_id)} others"
        with self._database.session(doing) as connection, connection.transaction():
            connection.execute(LOCK_SECTORS)
            connection.execute(DELETE_SECTORS)
            connection.execute(INSERT_SECTORS, columns)

    def sectors(self) -> tuple[SectorBoundary, ...]:
        """Every sector that has a box, ordered by id.

        A sector of revision 0001 may have no box. Raises `ConfigurationError` when such a sector is in active
        conflict: old tiles would be accepted there. A stable rear is left out, with a warning in the log.
        """
        rows = self._database.fetch_all("reading the sectors", SELECT_SECTORS)
        unbounded = [row for row in rows if row[2] is None]
        without_box = [row[0] for row in unbounded]
        dangerous = [row[0] for row in unbounded if row[1] != SectorClassification.STABLE_REAR.value]
        if dangerous:
            raise ConfigurationError(
                f"{len(dangerous)} sectors in active conflict have no box (first: {dangerous[0]!r}), so the "
                "freshness rule can't be kept there",
                remedy="load the sectors again: aerotile sectors load FILE",
            )
        if without_box:
            _log.warning(
                "%d sectors have no box and are left out (first: %s); load the sectors again",
                len(without_box),
                without_box[0],
            )
        found = (_read_sector(row) for row in rows if row[2] is not None)
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


def _read_sector(row: TupleRow) -> SectorBoundary:
    try:
        return SectorBoundary(row[0], SectorClassification(row[1]), Bbox(*row[2:6]))
    except ValueError as error:
        raise StoreUnavailableError(
            f"the database holds an impossible sector {row[0]!r}: {error}",
            remedy="load the sectors again",
        ) from error
