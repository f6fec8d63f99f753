"""Parts of fault tests: disks, stores to be killed, and a site with a provider that does what it is told."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest
from block_devices import DeviceMaker
from fault_tally import FaultTally
from killed_store import KilledStore
from mounting import run
from nursery import Nursery
from provider_acts import TILES
from scripted_provider import ScriptedProvider
from small_store import SmallStore

TOKEN = "t0ps3cr3t-t0k3n"


@pytest.fixture
def make_device(tmp_path: Path) -> Iterator[DeviceMaker]:
    """Make a device with a file system on it, and mount it."""
    with ExitStack() as undo:
        yield DeviceMaker(tmp_path, undo)


@pytest.fixture
def scripted_provider() -> Iterator[Callable[..., ScriptedProvider]]:
    """Start a provider that does what it is told."""
    started: list[ScriptedProvider] = []

    def start(certificate: Path | None = None) -> ScriptedProvider:
        started.append(ScriptedProvider(certificate))
        return started[-1]

    yield start
    for provider in started:
        provider.close()


@attrs.frozen
class CommandResult:
    """What a person sees of a call."""

    code: int
    out: str
    err: str


@attrs.frozen
class Site:
    """A ground station with a real store of onboard tiles, as an operator has it before them."""

    root: Path
    dsn: str = attrs.field(repr=False)
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch

    def fly(self, tiles: list[tuple[bytes, Any]]) -> None:
        """Put tiles into the store, as the aircraft does."""
        from aerotile.adapters.composition import Runtime
        from aerotile.adapters.config.secret import Secret
        from aerotile.adapters.config.settings import AerotileConfig, DatabaseConfig

        config = AerotileConfig(root=self.root, database=DatabaseConfig(dsn=Secret(self.dsn)))
        with Runtime(config) as runtime:
            for outcome in runtime.tile_store.write_tiles(tiles):
                assert outcome.error is None

    def call(self, *arguments: str, **settings: object) -> CommandResult:
        """Call `aerotile`; `upload_url=...` sets that setting."""
        from aerotile.adapters.cli import main

        defaults = {
            "root": self.root,
            "database_dsn": self.dsn,
            "upload_token": TOKEN,
            "upload_max_batch_tiles": 4,
            "upload_parallel_requests": 1,
            "upload_max_in_call_retries": 0,
            "upload_backoff_cap_s": 0.01,
        }
        with self.patch.context() as patch:
            for name in [name for name in os.environ if name.startswith("AEROTILE_")]:
                patch.delenv(name)
            for name, value in (defaults | settings).items():
                patch.setenv(f"AEROTILE_{name.upper()}", str(value))
            self.capture.readouterr()
            code = main([*arguments])
            return CommandResult(code, *self.capture.readouterr())

    def uploads(self) -> list[dict[str, Any]]:
        """What `aerotile uploads --json` lists."""
        return [json.loads(line) for line in self.call("uploads", "--json").out.splitlines()]

    def states(self) -> Counter[str]:
        return Counter(entry["state"] for entry in self.uploads())


@pytest.fixture
def site(
    tmp_path: Path,
    migrated_database: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    """A ground station; logging is as before afterwards."""
    import logging

    root_logger = logging.getLogger()
    level, handlers = root_logger.level, root_logger.handlers[:]
    levels = {name: logging.getLogger(name).level for name in logging.root.manager.loggerDict}
    yield Site(tmp_path / "site", migrated_database, capfd, monkeypatch)
    root_logger.setLevel(level)
    root_logger.handlers[:] = handlers
    for name, value in levels.items():
        logging.getLogger(name).setLevel(value)


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """A process that forks others, to be killed or held before any of their system calls."""
    started = Nursery(tmp_path_factory.mktemp("nursery") / "complaints")
    try:
        if started.refusal is not None:
            pytest.skip(started.refusal)
        yield started
    finally:
        started.close()


@pytest.fixture
def make_killed_store(
    nursery: Nursery, fault_tally: FaultTally, migrated_database: str, tmp_path: Path
) -> Iterator[Callable[..., KilledStore]]:
    """Make a store for one kind of fault, whose programs are killed; their orders may say more."""
    import psycopg

    with psycopg.connect(migrated_database, autocommit=True) as connection:

        def make(kind: str, **order: str) -> KilledStore:
            order = {"root": str(tmp_path), "dsn": migrated_database} | order
            return KilledStore(nursery, fault_tally, kind, order, connection, random.Random(kind))

        yield make


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mount a small file system in memory."""
    mounted: list[Path] = []

    def make(options: str) -> Path:
        place = tmp_path / f"mount{len(mounted)}"
        place.mkdir()
        run("mount", "-t", "tmpfs", "-o", options, "aerotile-test", place)
        mounted.append(place)
        return place

    yield make
    for place in mounted:
        run("umount", "--lazy", place)


@pytest.fixture
def opened() -> Iterator[Callable[[Path], SmallStore]]:
    """Open a store, and close it afterwards."""
    caches: list[SmallStore] = []

    def make(root: Path) -> SmallStore:
        caches.append(SmallStore(root))
        return caches[-1]

    yield make
    for cache in caches:
        cache.files.close()


@pytest.fixture
def flown(site: Any, onboard_tile: Callable[..., Any]) -> Any:
    """A site with `TILES` pending tiles."""
    site.fly([onboard_tile(x) for x in range(TILES)])
    return site
