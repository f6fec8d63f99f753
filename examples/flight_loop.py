"""A flight loop at 10 Hz: python examples/flight_loop.py FRAMES

FRAMES is a folder of JPEG pictures of 256 x 256 pixels, north up, which stand for the camera. The network of
[descriptor] describes each, the index names the tiles that look like it, and a matcher compares their pixels.
A lookup never waits for the database, and for the disk only as long as its frame lasts. A write does wait, so
it has a thread of its own.
"""

import hashlib
import io
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from PIL import Image

import aerotile

PERIOD_S = 0.1
CANDIDATES = 5
DRIFT_M = 3_000.0  # how far the aircraft may be from its last fix when the next frame comes
SIMILAR = 0.5
FRAMES_A_WRITE = 10
HOLD_WRITES = {aerotile.DegradedState.DATABASE_GONE, aerotile.DegradedState.CLOCK_UNTRUSTED}


class MachineClock:
    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class FrameStore:
    """The store, whose reads end with the frame that they are for."""

    def __init__(self, store: aerotile.SupportsLocalReads, clock: aerotile.Clock) -> None:
        self.store, self.clock, self.deadline = store, clock, 0.0
        self.verdict = store.verdict

    def read_tile_pixels(self, tile_id: aerotile.TileId) -> aerotile.TilePixelHandle:
        left_s = max(self.deadline - self.clock.monotonic(), 0.001)
        return self.store.read_tile_pixels_within(tile_id, left_s)

    def record_unknown_candidates(self, tile_ids: list[aerotile.TileId]) -> None:
        if isinstance(self.store, aerotile.RecordsLookups):
            self.store.record_unknown_candidates(tile_ids)


def decoded(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


def grey(picture: np.ndarray) -> np.ndarray:
    cells = picture.reshape(32, picture.shape[0] // 32, 32, picture.shape[1] // 32, 3).mean(axis=(1, 3, 4))
    centred: np.ndarray = cells - cells.mean()
    return centred / max(float(np.linalg.norm(centred)), 1e-9)


def match(frame: np.ndarray, candidates: aerotile.FoundTiles) -> aerotile.FoundTile | None:
    """Here a matcher of features belongs; this one correlates the pictures."""
    seen = grey(frame)
    for found in candidates:  # nearest first
        if found.verdict is None or found.verdict.decision is aerotile.FreshnessDecision.REJECT:
            continue  # deleted meanwhile, or too old for its sector
        if float((seen * grey(decoded(bytes(memoryview(found.pixels))))).sum()) > SIMILAR:
            return found
    return None


def own_tile(below: aerotile.TileId, flight: uuid.UUID, jpeg: bytes, at: datetime) -> aerotile.TileMetadata:
    return aerotile.TileMetadata(
        tile_id=aerotile.TileId(below.zoom_level, below.x, below.y, aerotile.TileSource.ONBOARD, flight),
        captured_at=at,
        content_sha256=hashlib.sha256(jpeg).hexdigest(),
        disk_bytes=len(jpeg),
        ground_sample_distance=aerotile.ground_sample_distance(below.centre[0], below.zoom_level),
        voting_status=aerotile.VotingStatus.PENDING,
    )


def fly(camera: Iterable[bytes], config: aerotile.AerotileConfig, clock: aerotile.Clock) -> Counter[str]:
    model = aerotile.build_descriptor_model(config)
    store = aerotile.build_tile_store(config)
    index = aerotile.build_descriptor_index(config)  # refused when another network described the tiles
    recorder = aerotile.build_flight_recorder(config)
    monitor = aerotile.build_health_monitor(config)
    frame_store, flight = FrameStore(store, clock), uuid.uuid4()
    tally: Counter[str] = Counter()
    writes: dict[aerotile.TileId, Future[aerotile.TileMetadataPersistent]] = {}
    near: aerotile.Area | None = None  # nothing is known before the first fix
    states: frozenset[aerotile.DegradedState] = frozenset()
    start = clock.monotonic()
    with ThreadPoolExecutor(1) as writer:
        for number, jpeg in enumerate(camera):
            tally["frames"] += 1
            begin, end = start + number * PERIOD_S, start + (number + 1) * PERIOD_S
            if clock.monotonic() >= end:
                tally["skipped"] += 1  # its time is over: the newest frame counts
                continue
            clock.sleep(max(begin - clock.monotonic(), 0.0))
            taken_at, frame_store.deadline = clock.now(), end
            health = monitor.health()
            if health.states != states:
                states = health.states
                for each in health.degradations:
                    print(f"frame {number}: {each.state.value}: {each.what}", file=sys.stderr)
            # A slow disk costs a frame less when fewer tiles are asked of it.
            k = 2 if aerotile.DegradedState.DISK_SLOW in states else CANDIDATES
            try:
                frame = decoded(jpeg)
                descriptor = model.describe(frame[np.newaxis])[0]
            except (OSError, ValueError, aerotile.DescriptorModelError) as error:
                print(f"frame {number}: no picture: {error}", file=sys.stderr)
                tally["no picture"] += 1
            else:
                try:
                    with aerotile.find_tiles(
                        descriptor, k, index=index, store=frame_store, near=near
                    ) as tiles:
                        found = match(frame, tiles)
                except aerotile.AerotileError as error:  # such as an index that can't be read any more
                    print(f"frame {number}: no lookup: {error}", file=sys.stderr)
                    tally["no lookup"] += 1
                    found = None
                if found is None:
                    near = None  # lost: search the whole base
                    tally["no fix"] += 1
                else:
                    lat, lon = found.tile_id.centre  # a real matcher knows better where in the tile
                    near = aerotile.Area.around(lat, lon, DRIFT_M)
                    fix = aerotile.PositionFix(
                        tile_id=found.tile_id, lat=lat, lon=lon, fixed_at=taken_at, error_m=600.0,
                        lookup=tiles.lookup,
                    )  # fmt: skip
                    recorder.record_fix(fix)  # on the flight record, with the name of the lookup
                    tally["fixes"] += 1
                    idle = all(write.done() for write in writes.values())
                    if tally["fixes"] % FRAMES_A_WRITE == 0 and idle and not states & HOLD_WRITES:
                        own = own_tile(found.tile_id, flight, jpeg, taken_at)
                        if own.tile_id not in writes:
                            writes[own.tile_id] = writer.submit(store.write_tile, jpeg, own)
            tally["late"] += clock.monotonic() > end
            monitor.beat()  # also without a fix: the loop goes on
    for tile_id, write in writes.items():
        if (failed := write.exception()) is not None:
            print(f"{tile_id} was not stored: {failed}", file=sys.stderr)
        tally["stored"] += failed is None
    return tally


def main(frames: Path) -> int:
    camera = (path.read_bytes() for path in sorted(frames.glob("*.jpg")))
    tally = fly(camera, aerotile.load_config(), MachineClock())
    aerotile.close_runtimes()  # writes what is queued, takes the health file away
    print(
        f"{tally['frames']} frames: {tally['fixes']} fixes, {tally['no fix']} without, "
        f"{tally['skipped']} skipped, {tally['late']} late; {tally['stored']} own tiles stored"
    )
    return 0 if tally["fixes"] else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
