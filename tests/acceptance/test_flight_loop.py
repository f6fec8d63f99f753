"""examples/flight_loop.py, flown by a clock of the test's own: what comes out, not how long it takes."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import numpy as np
import pytest
from PIL import Image
from waiting import until

import aerotile
from aerotile.adapters.composition import runtime_of
from aerotile.adapters.descriptor_models.gradient_vlad import GradientVlad
from aerotile.adapters.memory.example_jpeg import example_metadata
from aerotile.adapters.recorder import read_record
from aerotile.testing import ManualClock

pytestmark = pytest.mark.xdist_group("flight_loop")  # one network for all of them
PROGRAM = Path(__file__).parents[2] / "examples" / "flight_loop.py"
ZOOM, SIDE, PIXELS = 15, 8, 256
NORTH_WEST = aerotile.TileId.covering(48.14, 11.55, ZOOM, aerotile.TileSource.IMPORTED)
FRAMES = 20
PERIOD_S = 60.0
"""Of the clock of the tests, which waits for nobody: a read has a minute of the machine's time."""


def jpeg_of(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).convert("RGB").save(stream, "JPEG", quality=90)
    return stream.getvalue()


def window(ground: np.ndarray, row: int, column: int, offset: int = 0) -> np.ndarray:
    top, left = row * PIXELS + offset, column * PIXELS + offset
    return ground[top : top + PIXELS, left : left + PIXELS]


@attrs.frozen
class Terrain:
    """A square of ground, the network that was learned from it, and a camera over its diagonal."""

    tiles: dict[aerotile.TileId, bytes]
    network: Path
    descriptors: np.ndarray
    model: str
    frames: list[bytes]
    below: list[aerotile.TileId]


@pytest.fixture(scope="module")
def terrain(tmp_path_factory: pytest.TempPathFactory) -> Terrain:
    random = np.random.default_rng(1)
    ground = sum(
        share
        * np.kron(random.integers(0, 255, (count * SIDE, count * SIDE)), np.ones((PIXELS // count,) * 2))
        for count, share in ((8, 0.7), (32, 0.3))
    )
    places = [(row, column) for row in range(SIDE) for column in range(SIDE)]
    ids = {place: tile_at(*place) for place in places}
    pictures = {place: jpeg_of(window(ground, *place)) for place in places}
    decoded = np.stack([np.asarray(Image.open(io.BytesIO(pictures[place]))) for place in places])
    network = GradientVlad.fit(list(decoded))
    path = tmp_path_factory.mktemp("network") / "learned.npz"
    network.save(path)
    steps = [number * (SIDE - 1) // FRAMES for number in range(FRAMES)]
    frames = [window(ground, step, step, 4) for step in steps]
    noisy = [np.clip(frame + random.normal(0, 10, frame.shape), 0, 255) for frame in frames]
    return Terrain(
        {ids[place]: pictures[place] for place in places},
        path,
        network.describe(decoded),
        network.name,
        [jpeg_of(frame) for frame in noisy],
        [tile_at(step, step) for step in steps],
    )


def tile_at(row: int, column: int) -> aerotile.TileId:
    x, y = NORTH_WEST.x + column, NORTH_WEST.y + row
    return aerotile.TileId(ZOOM, x, y, aerotile.TileSource.IMPORTED)


@pytest.fixture
def config(tmp_path: Path, migrated_database: str, terrain: Terrain) -> Iterator[aerotile.AerotileConfig]:
    """A store that holds the ground, its index, and the network that described it."""
    config = aerotile.AerotileConfig(
        root=tmp_path / "data",
        database=aerotile.DatabaseConfig(dsn=aerotile.Secret(migrated_database), connect_timeout_s=3.0),
        descriptor=aerotile.DescriptorConfig(model=terrain.network),
        health=aerotile.HealthConfig(period_s=0.05),
    )
    today = datetime.now(timezone.utc)
    batch = [
        (
            pixels,
            example_metadata(
                tile_id,
                pixels,
                captured_at=today,
                ground_sample_distance=aerotile.ground_sample_distance(tile_id.centre[0], ZOOM),
            ),
        )
        for tile_id, pixels in terrain.tiles.items()
    ]
    assert all(outcome.error is None for outcome in aerotile.build_tile_store(config).write_tiles(batch))
    runtime_of(config).index_builder.rebuild(
        list(terrain.tiles), terrain.descriptors, descriptor_model=terrain.model, built_at=today
    )
    aerotile.close_runtimes()
    yield config
    aerotile.close_runtimes()


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    specification = importlib.util.spec_from_file_location("flight_loop", PROGRAM)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "PERIOD_S", PERIOD_S)
    return module


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(timezone.utc) - FRAMES * timedelta(seconds=PERIOD_S))


def recorded(config: aerotile.AerotileConfig, kind: str) -> list[dict[str, Any]]:
    aerotile.close_runtimes()
    return [dict(each.payload) for each in read_record(config.record_folder) if each.kind == kind]


def test_every_frame_finds_its_tile_within_its_time_and_leaves_its_fix_on_the_record(
    config: aerotile.AerotileConfig, program: ModuleType, terrain: Terrain, clock: ManualClock
) -> None:
    tally = program.fly(terrain.frames, config, clock)
    assert tally.pop("stored") in (1, 2)  # a write waits while another one is under way
    assert dict(tally) == {"frames": FRAMES, "fixes": FRAMES, "late": 0}
    assert clock.monotonic() == (FRAMES - 1) * PERIOD_S
    assert runtime_of(config).part("health_monitor").health().beats == FRAMES
    fixes = recorded(config, "c6.fix")
    assert [fix["tile"] for fix in fixes] == [str(tile_id) for tile_id in terrain.below]
    lookups = recorded(config, "c6.lookup")
    assert [fix["lookup"] for fix in fixes] == [lookup["lookup"] for lookup in lookups]
    assert [lookup["near"] is None for lookup in lookups] == [True] + [False] * (FRAMES - 1)


def test_a_frame_that_takes_too_long_is_late_and_those_whose_time_is_over_are_skipped(
    config: aerotile.AerotileConfig,
    program: ModuleType,
    terrain: Terrain,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    described, decoded = [], program.decoded

    def slow(jpeg: bytes) -> np.ndarray:
        described.append(jpeg)
        if jpeg == terrain.frames[5]:
            clock.advance(timedelta(seconds=3.5 * PERIOD_S))
        picture: np.ndarray = decoded(jpeg)
        return picture

    monkeypatch.setattr(program, "decoded", slow)
    tally = program.fly(terrain.frames, config, clock)
    assert (tally["late"], tally["skipped"], tally["fixes"]) == (1, 2, FRAMES - 2)
    skipped = [number for number, frame in enumerate(terrain.frames) if frame not in described]
    assert skipped == [6, 7]


def test_a_frame_that_is_no_picture_and_one_of_other_ground_cost_themselves_alone(
    config: aerotile.AerotileConfig,
    program: ModuleType,
    terrain: Terrain,
    clock: ManualClock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    elsewhere = jpeg_of(np.random.default_rng(2).integers(0, 255, (PIXELS, PIXELS)))
    camera = [terrain.frames[0], terrain.frames[1][:100], elsewhere, terrain.frames[3]]
    tally = program.fly(camera, config, clock)
    assert (tally["fixes"], tally["no picture"], tally["no fix"]) == (2, 1, 1)
    assert "frame 1: no picture: " in capsys.readouterr().err
    assert [lookup["near"] is None for lookup in recorded(config, "c6.lookup")] == [True, False, True]


def test_a_flight_goes_on_without_its_database_and_writes_nothing_meanwhile(
    config: aerotile.AerotileConfig,
    program: ModuleType,
    terrain: Terrain,
    clock: ManualClock,
    postgres_server: Any,
    migrated_database: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def is_gone() -> bool:
        monitor = runtime_of(config).part("health_monitor")
        return aerotile.DegradedState.DATABASE_GONE in monitor.health().states

    def camera() -> Iterator[bytes]:
        for number, frame in enumerate(terrain.frames):
            if number == 5:
                postgres_server.drop_database(migrated_database.rpartition("dbname=")[2].split()[0])
                until(is_gone)
            yield frame

    tally = program.fly(camera(), config, clock)
    assert (tally["fixes"], tally["stored"]) == (FRAMES, 0)
    assert "frame 5: database_gone: " in capsys.readouterr().err


def test_the_program_flies_a_folder_of_frames(
    config: aerotile.AerotileConfig, terrain: Terrain, tmp_path: Path, migrated_database: str
) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number, frame in enumerate(terrain.frames):
        (frames / f"{number:03d}.jpg").write_bytes(frame)
    settings = {
        "AEROTILE_ROOT": str(config.root),
        "AEROTILE_DATABASE_DSN": migrated_database,
        "AEROTILE_DESCRIPTOR_MODEL": str(terrain.network),
    }
    finished = subprocess.run(
        [sys.executable, str(PROGRAM), str(frames)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=120,
    )
    # How many are late, skipped or have no time for a fix is a matter of the machine.
    counted = re.fullmatch(
        r"20 frames: (\d+) fixes, (\d+) without, (\d+) skipped, \d+ late; \d+ own tiles stored\n",
        finished.stdout,
    )
    assert counted, finished.stderr
    assert sum(map(int, counted.groups())) == FRAMES
    assert finished.returncode == (0 if int(counted[1]) else 1)
