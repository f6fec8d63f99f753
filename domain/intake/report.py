"""How the tiles of an intake ended."""

from __future__ import annotations

from array import array

import attrs
import numpy as np
import numpy.typing as npt

from ..errors import AerotileError, ContestedPlaceError
from ..ports.offered_tile import OfferedTile
from ..ports.tile_store import ReplacedTile
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


@attrs.frozen
class Contest:
    """One tile that was not stored, because its place is held by a tile of another dataset."""

    file: str
    tile: str
    """`source/zoom/x/y`."""
    held_by: str | None
    """The name of that dataset; None for a tile without one."""


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
    """How the tiles of an intake ended; each is stored, replaced, present or refused."""

    stored: int = 0
    downgraded: int = 0
    """Those among `stored` and `replaced` that the freshness gate labelled as too old."""
    replaced: int = 0
    """Tiles whose stored imagery was replaced by newer imagery."""
    present: int = 0
    """Tiles that the store held already with the same bytes."""
    present_without_dataset: int = 0
    """Those among `present` that are stored without a dataset, where the intake names one."""
    undated: int = 0
    """Tiles that were left out unread, because no capture date is known for them."""
    first_undated: str | None = None
    """The name of the first of them."""
    contests: list[Contest] = attrs.field(factory=list)
    """Tiles whose places are held by another dataset; the stored tiles stay as they are."""
    kept: int = 0
    """Such tiles that the intake was asked to leave as they are."""
    stored_bytes: int = 0
    blank: int | None = None
    """Tiles of one colour, stored, present or refused; None where no tile was decoded."""
    covered: PlaceList = attrs.field(factory=PlaceList)
    """The tiles that were stored, replaced or present."""
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
        ended = self.stored + self.replaced + self.present + self.refused
        return ended + self.undated + len(self.contests) + self.kept

    def add_stored(self, row: TileMetadataPersistent) -> None:
        """Count a tile that was stored."""
        self.stored += 1
        self._add_written(row)

    def add_replaced(self, tile: ReplacedTile) -> None:
        """Count a tile whose imagery was replaced."""
        self.replaced += 1
        self._add_written(tile.stored)

    def _add_written(self, row: TileMetadataPersistent) -> None:
        self._cover(row.tile_id)
        self.stored_bytes += row.disk_bytes
        self.downgraded += row.freshness_label is FreshnessLabel.DOWNGRADED

    def add_present(self, tile_id: TileId) -> None:
        """Count a tile that the store held already."""
        self.present += 1
        self._cover(tile_id)

    def _cover(self, tile_id: TileId) -> None:
        self.covered.add(tile_id.zoom_level, tile_id.x, tile_id.y)

    def add_undated(self, tile: OfferedTile) -> None:
        """Count a tile without a capture date."""
        self.undated += 1
        self.first_undated = self.first_undated or tile.name

    def add_contested(self, tile: OfferedTile, error: ContestedPlaceError) -> None:
        """Add a tile whose place is held by another dataset."""
        self.contests.append(Contest(tile.name, str(error.tile_id), error.held_by))

    def coverage(self) -> list[ZoomCoverage]:
        """The ground that the stored and the present tiles cover."""
        return coverage_of(self.covered.runs())

    def add_refused(self, tile: OfferedTile, error: Exception, source: TileSource) -> None:
        """Add a tile that was refused."""
        name = f"{source.value}/{tile.zoom_level}/{tile.x}/{tile.y}"
        remedy = error.remedy if isinstance(error, AerotileError) else None
        self.refusals.append(Refusal(tile.name, name, type(error).__name__, str(error), remedy))
