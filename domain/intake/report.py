"""How the tiles of an intake ended."""

from __future__ import annotations

from collections import Counter

import attrs

from ..errors import AerotileError
from ..ports.offered_tile import OfferedTile
from ..ports.tile_store import ReplacedTile
from ..values.coverage import ZoomCoverage, coverage_of, runs_of
from ..values.eviction_tally import EvictionTally
from ..values.tiles import FreshnessLabel, TileId, TileMetadataPersistent, TileSource

_DIGEST_BYTES = 16


@attrs.frozen
class Refusal:
    """One tile that was refused, and why."""

    file: str
    tile: str
    """`source/zoom/x/y`, also of a tile off the grid."""
    error: str
    """The name of the error's class."""
    message: str
    remedy: str | None


class RepeatedTiles:
    """Counts the tiles whose bytes lie at several places, as a server's placeholder does."""

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()
        self._first: dict[bytes, str] = {}

    def add(self, content_sha256: str, name: str) -> None:
        """Add a tile that was read."""
        digest = bytes.fromhex(content_sha256)[:_DIGEST_BYTES]
        self._counts[digest] += 1
        self._first.setdefault(digest, name)

    @property
    def total(self) -> int:
        """How many tiles share their bytes with another one."""
        return sum(count for count in self._counts.values() if count > 1)

    def most(self) -> tuple[int, str] | None:
        """How often the most frequent bytes were met, and the name of their first tile; None without any."""
        if not self.total:
            return None
        digest, count = self._counts.most_common(1)[0]
        return count, self._first[digest]


@attrs.define
class IntakeReport:
    """How the tiles of an intake ended; each is stored, replaced, present or refused."""

    stored: int = 0
    downgraded: int = 0
    """Those among `stored` and `replaced` that the freshness gate labelled as too old."""
    replaced: int = 0
    """Tiles whose stored imagery was replaced by newer imagery."""
    present: int = 0
    """Tiles that the store held already with the same bytes."""
    stored_bytes: int = 0
    blank: int | None = None
    """Tiles of one colour, stored, present or refused; None where no tile was decoded."""
    covered: list[TileId] = attrs.field(factory=list)
    """The tiles that were stored, replaced or present."""
    repeats: RepeatedTiles = attrs.field(factory=lambda: RepeatedTiles())
    refusals: list[Refusal] = attrs.field(factory=list)
    evicted: EvictionTally = attrs.field(factory=EvictionTally)
    """Tiles that went to make room for these; they may be among them."""
    stopped_by: AerotileError | None = None
    """The error that ended the run before all tiles were tried: no room, no database, no disk."""

    @property
    def refused(self) -> int:
        """How many tiles were refused."""
        return len(self.refusals)

    @property
    def done(self) -> int:
        """How many tiles have ended."""
        return self.stored + self.replaced + self.present + self.refused

    def add_stored(self, row: TileMetadataPersistent) -> None:
        """Count a tile that was stored."""
        self.stored += 1
        self._add_written(row)

    def add_replaced(self, tile: ReplacedTile) -> None:
        """Count a tile whose imagery was replaced."""
        self.replaced += 1
        self._add_written(tile.stored)

    def _add_written(self, row: TileMetadataPersistent) -> None:
        self.covered.append(row.tile_id)
        self.stored_bytes += row.disk_bytes
        self.downgraded += row.freshness_label is FreshnessLabel.DOWNGRADED

    def add_present(self, tile_id: TileId) -> None:
        """Count a tile that the store held already."""
        self.present += 1
        self.covered.append(tile_id)

    def coverage(self) -> list[ZoomCoverage]:
        """The ground that the stored and the present tiles cover."""
        return coverage_of(runs_of((one.zoom_level, one.x, one.y) for one in self.covered))

    def add_refused(self, tile: OfferedTile, error: Exception, source: TileSource) -> None:
        """Add a tile that was refused."""
        name = f"{source.value}/{tile.zoom_level}/{tile.x}/{tile.y}"
        remedy = error.remedy if isinstance(error, AerotileError) else None
        self.refusals.append(Refusal(tile.name, name, type(error).__name__, str(error), remedy))
