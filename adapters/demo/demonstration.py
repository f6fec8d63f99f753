"""The whole demo: prepare a base, fly over it, upload the tiles of the flight, report every figure."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import attrs

from ...domain.errors import ConfigurationError
from ...domain.values.counted import counted
from ...domain.values.tiles import TileId
from ..composition import Runtime
from ..config.settings import (
    AerotileConfig,
    BaseConfig,
    BudgetConfig,
    DatabaseConfig,
    DescriptorConfig,
    LruConfig,
)
from ..files.durable_folder import make_folder_durably
from ..files.regular_file import open_regular
from ..recorder.reader import RecordReader
from .base import KEY, NETWORK, ROOT, SETTINGS, Preparation, PreparedBase, ProgressBar, RunCommand
from .flight import Flight, FlightLog
from .imagery import BlueMarble
from .landing import Landing, land
from .materials import AREA, RASTER, ROUTE, SECTORS, write_materials
from .mission import CAPE_TO_BEIJING, Mission, plan_frames
from .picture import FlightPicture, FrameOutcome, draw_flight

_MARKER = ".aerotile-demo"
_PROVIDER, _PICTURE = "provider", "flight.png"
_MADE = (
    *(RASTER, AREA, ROUTE, SECTORS, SETTINGS, NETWORK, "descriptors-1.npz", "descriptors-2.npz"),
    *("coverage.png", "no-go.png", "go.png", _PICTURE),
)
"""Files of an earlier run."""
_ROOM_BYTES = 256 * 1024
"""The onboard tiles' share of the flight's budget, above the base: less than the flight makes."""


@attrs.frozen(kw_only=True)
class Demonstration:
    """The facts of one run; every figure was measured or counted in it."""

    mission: Mission
    base: PreparedBase
    log: FlightLog
    landing: Landing
    evicted: tuple[TileId, ...]
    budget_bytes: int
    used_bytes: int
    record_kinds: Counter[str]
    record_damaged_lines: int
    record_folder: Path
    picture: Path
    flight_s: float
    upload_s: float
    total_s: float

    @property
    def top_1(self) -> float | None:
        """Share of the frames over land whose tile was the first candidate."""
        return self._share(self.log.land_outcomes[FrameOutcome.TOP_1])

    @property
    def top_5(self) -> float | None:
        """Share of the frames over land whose tile was among the five candidates."""
        hits = self.log.land_frames - self.log.land_outcomes[FrameOutcome.MISS]
        return self._share(hits)

    def _share(self, hits: int) -> float | None:
        return hits / self.log.land_frames if self.log.land_frames else None


def demonstrate(
    folder: Path,
    *,
    frames: int,
    seed: int,
    run: RunCommand,
    bar: ProgressBar,
    say: Callable[[str], None],
) -> Demonstration:
    """Run the demo in `folder`, where an earlier run's base is replaced; `run` runs a command of `aerotile`.

    Raises `ConfigurationError` for a folder with other files in it, and the errors of each part.
    """
    started = time.perf_counter()
    root = prepare_folder(folder)
    imagery, mission = BlueMarble.load(), CAPE_TO_BEIJING
    say(f"From a raster to a flight, {mission.name}. All of it lies in {folder}; in there an operator types:")
    write_materials(folder, mission, imagery)
    base = Preparation(folder=folder, mission=mission, run=run, say=say, bar=bar).prepare()
    flight_config = _flight_config(root, base)
    took_off = time.perf_counter()
    with Runtime(flight_config, keep_database_running=False) as runtime:  # the outage is part of the demo
        flight = Flight(runtime=runtime, mission=mission, imagery=imagery, flight_id=uuid4(), say=say)
        plans = plan_frames(mission, frames, seed=seed)
        # Store and network are opened before the first frame, as a flight stack would.
        runtime.part("store_in_use")
        runtime.part("descriptor_model")
        say(f"\n6. The flight: {frames} frames by the signed base of {base.sealed_tiles} tiles.\n")
        with bar("Flying") as advance:
            log = flight.fly(plans, advance)
        evicted = tuple(t for t in base.tile_ids if not runtime.tile_store.tile_exists(t))
        used_bytes = runtime.rows.disk_usage().footprint_bytes + base.sealed_bytes
    landed = time.perf_counter()
    landing = land(flight_config, folder=folder / _PROVIDER, never_taken=log.onboard[0], bar=bar, say=say)
    uploaded = time.perf_counter()
    record = RecordReader(flight_config.record_folder)
    kinds = Counter(line.envelope.kind for line in record.lines())
    return Demonstration(
        mission=mission,
        base=base,
        log=log,
        landing=landing,
        evicted=evicted,
        budget_bytes=flight_config.budget.max_bytes,
        used_bytes=used_bytes,
        record_kinds=kinds,
        record_damaged_lines=record.damaged_lines,
        record_folder=flight_config.record_folder,
        picture=_draw(folder / _PICTURE, mission, imagery, log, evicted),
        flight_s=landed - took_off,
        upload_s=uploaded - landed,
        total_s=time.perf_counter() - started,
    )


def _flight_config(root: Path, base: PreparedBase) -> AerotileConfig:
    store_bytes = base.store_bytes + _ROOM_BYTES
    return AerotileConfig(
        root=root,
        # A short timeout, so that frames without a database are not slow.
        database=DatabaseConfig(connect_timeout_s=0.5),
        budget=BudgetConfig(
            max_bytes=store_bytes + base.sealed_bytes,
            eviction_batch_size=8,
            onboard_share=_ROOM_BYTES / store_bytes,
        ),
        base=BaseConfig(layered=True, public_keys=(base.public_key,)),
        descriptor=DescriptorConfig(model=base.network),
        lru=LruConfig(flush_interval_s=1.0),
    )


def prepare_folder(folder: Path) -> Path:
    """Make the folder of the demo, or remove an earlier run from it; returns the root of the base in it.

    Raises `ConfigurationError` for a folder with other files in it, `OSError`.
    """
    marker = folder / _MARKER
    if folder.exists() and not marker.exists() and any(folder.iterdir()):
        raise ConfigurationError(
            f"{folder} has other things in it", remedy="name an empty or a new folder with --folder"
        )
    make_folder_durably(folder, 0o755)
    os.close(open_regular(marker, os.O_WRONLY | os.O_CREAT, mode=0o644))
    begun = folder.glob("descriptors-*.npz.partial")
    for old in (folder / ROOT, folder / _PROVIDER, *begun):
        if old.exists():
            shutil.rmtree(old)
    for name in (KEY, f"{KEY}.pub", *_MADE):
        (folder / name).unlink(missing_ok=True)
    return folder / ROOT


def _draw(
    path: Path, mission: Mission, imagery: BlueMarble, log: FlightLog, evicted: tuple[TileId, ...]
) -> Path:
    hits = log.land_frames - log.land_outcomes[FrameOutcome.MISS]
    picture = FlightPicture(
        title=f"Aerotile: {mission.name}, by sight",
        facts=(
            f"{len(log.frames)} frames, {hits} of {log.land_frames} over land found among five candidates, "
            f"{counted(len(log.onboard), 'tile')} made on board, {len(evicted)} evicted from the store"
        ),
        area=mission.area,
        grid_zoom=mission.search_zoom,
        route=[(frame.lat, frame.lon) for frame in log.frames],
        frames=log.frames,
        sectors=mission.sectors,
        onboard=log.onboard,
        evicted=evicted,
    )
    return draw_flight(picture, imagery, path)
