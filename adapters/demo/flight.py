"""The demo's flight: frames off the tile grid, searched and read, with faults on purpose."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import attrs
import numpy as np
import numpy.typing as npt

from ...domain.errors import FreshnessRejectionError, OnboardRoomExhaustedError, StoreUnavailableError
from ...domain.find_tiles import find_tiles
from ...domain.policies.freshness import FreshnessVerdict
from ...domain.values.descriptors import SearchHit
from ...domain.values.pixels import TilePixelHandle
from ...domain.values.sectors import SectorClassification
from ...domain.values.tiles import FreshnessLabel, TileId, TileMetadata, TileSource, VotingStatus
from ..composition import Runtime
from .base import cut_tile
from .camera import FramePlan, take_frame, tile_ground_span
from .figures import Samples
from .imagery import BlueMarble, decode_tile
from .mission import Mission
from .picture import FrameMark, FrameOutcome
from .prior import Phase, PhaseLog, phase_at, prior_of

CANDIDATES = 5
_FRAMES_PER_ONBOARD_TILE = 6
_OUTAGE = (0.55, 0.65)
"""Shares of the flight at which the database is killed and at which it is started again."""
_STALE_AGE = {
    SectorClassification.ACTIVE_CONFLICT: timedelta(days=200),
    SectorClassification.STABLE_REAR: timedelta(days=400),
}


@attrs.define(kw_only=True)
class FlightLog:
    """The counts and durations of a flight."""

    frames: list[FrameMark] = attrs.field(factory=list)
    land_frames: int = 0
    land_outcomes: Counter[FrameOutcome] = attrs.field(factory=Counter)
    onboard: list[TileId] = attrs.field(factory=list)
    stale_refused: list[TileId] = attrs.field(factory=list)
    stale_downgraded: list[TileId] = attrs.field(factory=list)
    writes_refused: int = 0
    """Writes refused without a database; their tiles are written later."""
    onboard_without_room: int = 0
    """Onboard tiles refused because their share of the budget was full; the map stays."""
    reads_in_outage: int = 0
    writes_after_outage: int = 0
    describe: Samples = attrs.field(factory=Samples)
    search: Samples = attrs.field(factory=Samples)
    read: Samples = attrs.field(factory=Samples)
    lookup: Samples = attrs.field(factory=Samples)
    decode: Samples = attrs.field(factory=Samples)
    write: Samples = attrs.field(factory=Samples)
    phases: dict[Phase, PhaseLog] = attrs.field(factory=lambda: {phase: PhaseLog() for phase in Phase})


@attrs.frozen
class _TimedSearch:
    runtime: Runtime
    samples: Samples

    def search(self, descriptor: npt.NDArray[np.float32], k: int) -> list[SearchHit]:
        with self.samples.timed():
            return self.runtime.index_in_use.search(descriptor, k)


@attrs.frozen
class _TimedReads:
    runtime: Runtime
    samples: Samples

    def read_tile_pixels(self, tile_id: TileId) -> TilePixelHandle:
        with self.samples.timed():
            return self.runtime.store_in_use.read_tile_pixels(tile_id)

    def verdict(self, tile_id: TileId) -> FreshnessVerdict | None:
        return self.runtime.store_in_use.verdict(tile_id)


@attrs.frozen(kw_only=True)
class Flight:
    """One flight over a prepared base."""

    runtime: Runtime
    mission: Mission
    imagery: BlueMarble
    flight_id: UUID
    say: Callable[[str], None]
    log: FlightLog = attrs.field(factory=FlightLog)
    _waiting: list[TileId] = attrs.field(factory=list, init=False)
    """Onboard tiles whose write was refused."""
    _sectors_met: set[str] = attrs.field(factory=set, init=False)
    """Sectors in which a stale tile was handed over."""

    def fly(self, plans: list[FramePlan], advance: Callable[[int, int], None]) -> FlightLog:
        """Fly all frames; the database is killed and started again during the flight."""
        dies, returns = (round(share * len(plans)) for share in _OUTAGE)
        for number, plan in enumerate(plans):
            if number == dies:
                self._kill_database()
            if number == returns:
                self.runtime.embedded_server.start()
                self.say(f"frame {number}: the database is back, writing goes on")
            in_outage = dies <= number < returns
            self._look(plan, in_outage, number / len(plans))
            self._meet_stale_tile(plan)
            if number % _FRAMES_PER_ONBOARD_TILE == 0:
                self._make_onboard_tile(plan)
            if self._waiting and not in_outage:
                self._store_waiting_tiles()
            advance(number + 1, len(plans))
        while self._waiting:
            self.runtime.clock.sleep(0.2)
            self._store_waiting_tiles()
        return self.log

    def _kill_database(self) -> None:
        pid = self.runtime.embedded_server.server_pid
        if pid is None:
            raise StoreUnavailableError("the demo's database can't be seen from here, so it can't be killed")
        os.kill(pid, signal.SIGKILL)
        self.say(f"frame {len(self.log.frames)}: the database was killed (kill -9 {pid}), reading goes on")

    def _look(self, plan: FramePlan, in_outage: bool, share: float) -> None:
        """One turn of the navigation loop: frame, descriptor, candidates, pixels.

        While the aircraft knows roughly where it is, the same descriptor is searched within that area too.
        """
        zoom = self.mission.search_zoom
        frame = take_frame(self.imagery, plan, ground_span_m=tile_ground_span(plan.lat, zoom))
        log = self.log
        with log.describe.timed():
            descriptor = self.runtime.descriptor_model.describe(frame[np.newaxis])[0]
        with log.lookup.timed():
            found = find_tiles(
                descriptor,
                CANDIDATES,
                index=_TimedSearch(self.runtime, log.search),
                store=_TimedReads(self.runtime, log.read),
            )
        for candidate in found:
            with log.decode.timed(), candidate.pixels as handle:
                decode_tile(bytes(memoryview(handle)))
        log.reads_in_outage += len(found) if in_outage else 0
        below = TileId.covering(plan.lat, plan.lon, zoom, TileSource.IMPORTED)
        outcome = _judge([candidate.tile_id for candidate in found], below)
        log.frames.append(FrameMark(plan.lat, plan.lon, outcome))
        over_land = self.imagery.is_land(plan.lat, plan.lon)
        phase = log.phases[phase_at(share)]
        phase.search_whole.microseconds.append(log.search.microseconds[-1])
        if over_land:
            log.land_frames += 1
            log.land_outcomes[outcome] += 1
            phase.land_frames += 1
            phase.whole[outcome] += 1
        near = prior_of(plan, share, zoom)
        if near is not None:
            with phase.search_within.timed():
                hits = self.runtime.index_in_use.search_within(descriptor, CANDIDATES, near)
            if over_land:
                phase.within[_judge([hit.tile_id for hit in hits], below)] += 1

    def _meet_stale_tile(self, plan: FramePlan) -> None:
        """Once in each kind of sector, write a tile that is too old for the sector."""
        for sector in self.mission.sectors:
            if sector.sector_id in self._sectors_met or not sector.bbox.contains(plan.lat, plan.lon):
                continue
            zoom = self.mission.search_zoom
            tile_id = TileId.covering(plan.lat, plan.lon, zoom, TileSource.SATELLITE_PROVIDER)
            captured_at = self.runtime.clock.now() - _STALE_AGE[sector.classification]
            try:
                stored = self.runtime.store_in_use.write_tile(*cut_tile(self.imagery, tile_id, captured_at))
            except FreshnessRejectionError:
                self.log.stale_refused.append(tile_id)
            except StoreUnavailableError:
                continue  # no database: the next frame in this sector tries again
            else:
                if stored.freshness_label is FreshnessLabel.DOWNGRADED:
                    self.log.stale_downgraded.append(tile_id)
            self._sectors_met.add(sector.sector_id)

    def _make_onboard_tile(self, plan: FramePlan) -> None:
        """Make a tile of the ground below, one zoom finer than the base, and store it."""
        zoom = self.mission.search_zoom + 1
        tile_id = TileId.covering(plan.lat, plan.lon, zoom, TileSource.ONBOARD, self.flight_id)
        if tile_id not in self.log.onboard and not self._store_onboard_tile(tile_id):
            self._waiting.append(tile_id)

    def _store_waiting_tiles(self) -> None:
        while self._waiting and self._store_onboard_tile(self._waiting[0]):
            self._waiting.pop(0)
            self.log.writes_after_outage += 1

    def _store_onboard_tile(self, tile_id: TileId) -> bool:
        pixels, metadata = cut_tile(self.imagery, tile_id, self.runtime.clock.now())
        try:
            self._write(pixels, attrs.evolve(metadata, voting_status=VotingStatus.PENDING))
        except OnboardRoomExhaustedError:
            self.log.onboard_without_room += 1
            return True
        except StoreUnavailableError:
            self.log.writes_refused += 1
            return False
        self.log.onboard.append(tile_id)
        return True

    def _write(self, pixels: bytes, metadata: TileMetadata) -> None:
        with self.log.write.timed():
            self.runtime.store_in_use.write_tile(pixels, metadata)


def _judge(candidates: list[TileId], below: TileId) -> FrameOutcome:
    if below not in candidates:
        return FrameOutcome.MISS
    return FrameOutcome.TOP_1 if candidates[0] == below else FrameOutcome.TOP_5
