"""What a tile store is made of."""

from __future__ import annotations

import attrs

from ..ports.clock import Clock
from ..ports.flight_recorder import FlightRecorder
from ..ports.headroom import Headroom, NoBudget
from ..ports.tile_files import TileFiles
from ..ports.tile_rows import TileRows
from .catalogue_sync import CatalogueSync
from .clock_guard import ClockGuard
from .freshness_gate import FreshnessGate
from .recall_guard import RecallGuard, no_recalls


@attrs.frozen(kw_only=True)
class TileStoreParts:
    """The parts of a store of rows and files, for its writes and its other changes."""

    rows: TileRows
    files: TileFiles
    sync: CatalogueSync
    gate: FreshnessGate
    clock: Clock
    """Read once per write: the freshness gate judges by it."""
    recorder: FlightRecorder
    headroom: Headroom = attrs.field(factory=NoBudget)
    """The disk budget; without one all is stored."""
    clock_guard: ClockGuard = attrs.Factory(
        lambda self: ClockGuard(self.clock, self.sync.catalogue, self.recorder), takes_self=True
    )
    """Turns a reading of the clock into the time of storage, which follows no jump of the clock."""
    recalls: RecallGuard = attrs.field(factory=no_recalls)
    """Refuses the tiles of a recall list; without one no tile is refused."""
