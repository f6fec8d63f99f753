"""How the tiles of an intake ended."""

from __future__ import annotations

from array import array

import attrs
import numpy as np
import numpy.typing as npt

from ..errors import AerotileError
from ..ports.offered_tile import OfferedTile
from ..values.coverage import PlaceList, ZoomCoverage, coverage_of
from ..values.eviction_tally import EvictionTally
from ..values.tiles import FreshnessLabel, TileId, TileMetadataPersistent, TileSource

_DIGITS = 16
"""Hexadecimal, of the SHA-256: 64 bits tell the tiles of one intake apart."""


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
    """Counts the tiles whose bytes lie at several places, as a server's placeholder does; 16 bytes a tile."""

    def __init__(self) -> None:
        self._digests = array("Q")
        self._places = PlaceList()

    def add(self, content_sha256: str, tile: OfferedTile) -> None:
        """Add a tile that was read."""
        self._digests.append(int(content_sha256[:_DIGITS], 16))
        self._places.add(tile.zoom_level, tile.x, tile.y)

    @property
    def total(self) -> int:
        """How many tiles share their bytes with another one."""
        _, counts = self._counted()
        return int(counts[counts > 1].sum())

    def most(self) -> tuple[int, str] | None:
        """How often the most frequent bytes were met, and `zoom/x/y` of their first tile; None: never."""
        firsts, counts = self._counted()
        if not len(counts) or counts.max() == 1:
            return None
        zoom, x, y = self._places[int(firsts[counts == counts.max()].min())]
        return int(counts.max()), f"{zoom}/{x}/{y}"

    def _counted(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """For each content the position of its first tile, and how many tiles have it."""
        _, firsts, counts = np.unique(
            np.array(self._digests, np.uint64), return_index=True, return_counts=True
        )
        return firsts, counts


@attrs.define
class IntakeReport:
    """How the tiles of an intake ended; each is stored, present or refused."""

    stored: int = 0
    downgraded: int = 0
    """Those among `stored` that the freshness gate labelled as too old."""
    present: int = 0
    """Tiles that the store held already with the same bytes."""
    stored_bytes: int = 0
    blank: int | None = None
    """Tiles of one colour, stored, present or refused; None where no tile was decoded."""
    covered: PlaceList = attrs.field(factory=PlaceList)
    """The tiles that were stored or present."""
    repeats: RepeatedTiles = attrs.field(factory=RepeatedTiles)
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
        return self.stored + self.present + self.refused

    def add_stored(self, row: TileMetadataPersistent) -> None:
        """Count a tile that was stored."""
        self.stored += 1
        self._cover(row.tile_id)
        self.stored_bytes += row.disk_bytes
        self.downgraded += row.freshness_label is FreshnessLabel.DOWNGRADED

    def add_present(self, tile_id: TileId) -> None:
        """Count a tile that the store held already."""
        self.present += 1
        self._cover(tile_id)

    def _cover(self, tile_id: TileId) -> None:
        self.covered.add(tile_id.zoom_level, tile_id.x, tile_id.y)

    def coverage(self) -> list[ZoomCoverage]:
        """The ground that the stored and the present tiles cover."""
        return coverage_of(self.covered.runs())

    def add_refused(self, tile: OfferedTile, error: Exception, source: TileSource) -> None:
        """Add a tile that was refused."""
        name = f"{source.value}/{tile.zoom_level}/{tile.x}/{tile.y}"
        remedy = error.remedy if isinstance(error, AerotileError) else None
        self.refusals.append(Refusal(tile.name, name, type(error).__name__, str(error), remedy))
