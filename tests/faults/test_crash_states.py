"""Every state that a power cut could leave during a write, batch, delete, replacement or index rebuild.

Tiles, index and database are on one file system, on a disk that logs each write and flush. Replayed are

- every prefix of the log;
- at each step that the store announced or confirmed, the loss of all that was not flushed by then;
- every loss of one write while others arrived that were not flushed either;
- a random sample, anywhere in the log: of what was not flushed by then any part arrived, in any order, one
  write of it perhaps only up to some sector.

In each state the file system is mounted, and tiles and index are checked and opened. The database is started
in some of them. `TEST_CRASH_STATES` is the size of the random sample; a twentieth of it is the number of
states in which the database is started. From 100 on prefixes end at every sector, not only after each write,
and the database is started in every state. Below that, of XFS, which takes longer to mount, the losses and a
sample are replayed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from uuid import UUID

import attrs
import pytest
from block_devices import (
    MISSING_FOR_A_SERVED_DISK,
    SMALLEST_BYTES,
    Device,
    ServedDisk,
    make_file_system,
    served_disk,
)
from disk_log import Log, State
from fault_tally import FaultTally
from random_seed import random_of
from store_facts import Files
from store_lives import Damage, Life, Promised, Tile, damage_of_index

from aerotile.adapters.faiss.index import FaissDescriptorIndex
from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.memory.tile_catalogue import MemoryTileCatalogue
from aerotile.adapters.memory.tile_rows import MemoryTileRows
from aerotile.domain.store.recovery import reconcile
from aerotile.domain.store.verify import verify_store
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource

SAMPLE = int(os.environ.get("TEST_CRASH_STATES", "20"))
EVERYTHING = SAMPLE >= 100
SECTOR_BYTES = {"ext4": 4096, "xfs": 512}
"""What a disk has to write whole for each; ext4 can't be mounted with half of its superblock."""
E2FSCK_FAILED = 4
"""Its exit codes below this say that all is well, or was mended."""
WORKER = Path(__file__).with_name("crash_state_worker.py")
STRACE = shutil.which("strace")
needs_strace = pytest.mark.skipif(STRACE is None, reason="needs strace to keep system calls from being made")
NOW = datetime.now(timezone.utc)
REPLACEMENT = re.compile(r"(?P<folder>.+)/\.(?P<y>\d+)\.jpg\.(?P<sha256>[0-9a-f]{64})\.new")

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a file system"),
    pytest.mark.skipif(
        bool(MISSING_FOR_A_SERVED_DISK), reason=f"needs {', '.join(MISSING_FOR_A_SERVED_DISK)}"
    ),
    pytest.mark.timeout(300 + 20 * SAMPLE),
]


@attrs.frozen
class Recording:
    """What was done to a store on a disk, which can be made to hold each state of it."""

    disk: ServedDisk
    device: Device
    log: Log
    base: list[str]
    """What the store had said when recording began."""
    has_journal: bool

    @property
    def root(self) -> Path:
        return root_on(self.device)

    def promised(self, state: State) -> tuple[Promised, set[Tile]]:
        """What was promised by then, and the tiles whose files were placed."""
        promised = Promised()
        placed: set[Tile] = set()
        for line in [*self.base, *state.said]:
            if line == "f":
                placed = set(promised.begun)
            elif " " in line:
                promised.hear([line])
        return promised, placed - promised.doubtful

    @contextmanager
    def showing(self, state: State) -> Iterator[None]:
        """Mount the disk as it is in a state."""
        self.disk.tell(f"show {json.dumps(state.parts)}")
        if not self.has_journal:  # what a journal's replay would have done is left to the checker
            checked = subprocess.run(["e2fsck", "-fy", self.device.node], capture_output=True, check=False)
            assert checked.returncode < E2FSCK_FAILED, checked.stdout
        self.device.plug_in()
        yield
        self.device.kill_residents()
        self.device.unplug()

    def damage_of_files(self, state: State) -> Damage:
        """Check tiles and index."""
        with self.showing(state):
            return damage_of_files(self.root, *self.promised(state))

    def damage_of_store(self, state: State, complaints: Path, fsync: str = "on") -> Damage:
        """Start the database, open the store, and check everything; nothing is closed in order."""
        with (
            self.showing(state),
            Life.begin(self.root, 0, complaints, fsync) as life,
        ):
            return life.damage(self.root, self.promised(state)[0])


def root_on(device: Device) -> Path:
    return device.mount / "store"


@contextmanager
def recorded(
    kind: str, folder: Path, *under: str, fsync: str = "on", journal: bool = True
) -> Iterator[Recording]:
    """Let the worker do its steps on a new file system, and log what reaches the disk from the first on."""
    with served_disk(Path(__file__).with_name("logging_disk.py"), folder, str(SMALLEST_BYTES)) as disk:
        how = ["-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0"] if kind == "ext4" else []
        how += [] if journal else ["-O", "^has_journal"]
        make_file_system(kind, disk.node, *how)
        device = Device(disk.node, folder / "mount")
        with device.inserted():
            base = do_steps([*under, sys.executable, str(WORKER), str(root_on(device)), fsync], disk)
            device.kill_residents()
            device.unplug()
            log = Log(json.loads(disk.tell("stop")), SECTOR_BYTES[kind])
            yield Recording(disk, device, log, base, journal)


def do_steps(command: list[str], disk: ServedDisk) -> list[str]:
    """Let a worker do its steps, and mark each in the disk's log; what it said before the first."""
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")
    base: list[str] = []
    try:
        for line in worker.stdout:
            said = line.removesuffix("\n")
            if said == "done":
                return base
            if base[-1:] == ["ready"]:
                disk.tell(f"mark {said}")
            else:
                base.append(said)
            if said == "ready":
                disk.tell("record")
            worker.stdin.write("\n")
            worker.stdin.flush()
        pytest.fail("the worker stopped early")
    finally:
        worker.kill()
        worker.communicate()


class RowsOfATest(MemoryTileRows):
    """Rows in memory, of the store that the files belong to."""

    def __init__(self, tiles: set[Tile], folder: Path) -> None:
        super().__init__()
        self._owner = UUID((folder / ".aerotile-store").read_text().strip())
        for name, sha256 in tiles:
            source, *flight, zoom, x, y = name.split("/")
            tile_id = TileId(int(zoom), int(x), int(y), TileSource(source), *map(UUID, flight))
            self.insert_metadata(
                TileMetadata(
                    tile_id=tile_id,
                    captured_at=NOW,
                    content_sha256=sha256,
                    disk_bytes=1,
                    ground_sample_distance=1.0,
                )
            )

    def store_id(self) -> UUID:
        return self._owner


def found_in(folder: Path) -> set[Tile]:
    """The tiles that lie there, each under its name or, as a replacement, under its second name."""
    files = Files.read(folder)
    return {
        *files.tiles.items(),
        *(
            (f"{match['folder']}/{match['y']}", match["sha256"])
            for match in map(REPLACEMENT.fullmatch, files.names)
            if match and hashlib.sha256((folder / match[0]).read_bytes()).hexdigest() == match["sha256"]
        ),
    }


def damage_of_files(root: Path, promised: Promised, placed: set[Tile]) -> Damage:
    """Check tiles and index as they are found, and again once the store has put them in order.

    A sidecar may lag behind the cut: the open restores what is missing, and the check what is wrong.
    """
    folder = root / "tiles"
    found = found_in(folder)
    certain = promised.certain
    rows = RowsOfATest(certain, folder)
    with FilesystemTileFiles(folder) as opened:
        report = reconcile(rows, opened, MemoryTileCatalogue(), now=NOW, lock_timeout_s=5.0)
        findings = list(verify_store(rows, opened))
    after = Files.read(folder)
    return Damage(
        lost=[
            *(f"{tile} was stored" for tile in certain - found),
            *(f"{tile} was placed" for tile in placed - found),
            *(f"{tile} was stored before the open" for tile in certain - set(after.tiles.items())),
            *(f"{count} files are missing" for count in [report.files_missing] if count),
            *damage_of_index(root, opened_model(root / "index"), promised),
        ],
        torn=[
            *(f"{tile}" for tile in found - promised.begun),
            *(f"{finding.kind.value} {finding.tile_id}" for finding in findings if not finding.mended),
            *after.torn,
        ],
        leaked=[*after.leaked, *(after.tiles.keys() - {name for name, _ in certain})],
    )


def opened_model(folder: Path) -> str:
    """The model of the index as the product opens it."""
    index = FaissDescriptorIndex(folder)
    model = index.metadata().descriptor_model
    index.close()
    return model


def lying_about(sync: str) -> tuple[str, ...]:
    """Keeps such calls from being made: those of the thread that writes, not of the database's processes."""
    assert STRACE is not None
    return (STRACE, "-o", "/dev/null", "-e", f"trace={sync}", "-e", f"inject={sync}:retval=0")


def note(fault_tally: FaultTally, kind: str, damage: Damage) -> None:
    fault_tally.add(kind, 1, lost=len(damage.lost), torn=len(damage.torn), leaked=len(damage.leaked))


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_every_state_that_a_cut_could_leave_keeps_what_was_promised(
    tmp_path: Path, fault_tally: FaultTally, kind: str
) -> None:
    chance = random_of(f"crash states on {kind}")
    with recorded(kind, tmp_path) as recording:
        log = recording.log
        states = [
            *log.prefixes(sectors=EVERYTHING),
            *log.losses(),
            *log.single_losses(),
            *log.shuffles(chance, SAMPLE),
        ]
        if kind == "xfs" and not EVERYTHING:
            states = [*log.losses(), *chance.sample(states, SAMPLE)]
        for state in states:
            damage = recording.damage_of_files(state)
            note(fault_tally, f"crash state of tiles and index on {kind}", damage)
            assert not damage, f"{state.name}, after {state.said[-1:]}"
        for state in (
            states if EVERYTHING else [log.before_the_last_commit(), *chance.sample(states, SAMPLE // 20)]
        ):
            damage = recording.damage_of_store(state, tmp_path / "complaints")
            note(fault_tally, f"crash state of the whole store on {kind}", damage)
            assert not damage, f"{state.name}, after {state.said[-1:]}"


def lost_without_a_journal(recording: Recording, state: State) -> Damage:
    """Which confirmed tiles are gone; the checker may leave more behind than the store would have."""
    promised, placed = recording.promised(state)
    with recording.showing(state):
        found = found_in(recording.root / "tiles")
    return Damage(lost=[f"{tile} was stored" for tile in (promised.certain | placed) - found])


def test_on_an_ext4_without_a_journal_no_tile_that_was_confirmed_is_lost(
    tmp_path: Path, fault_tally: FaultTally
) -> None:
    with recorded("ext4", tmp_path, journal=False) as recording:
        log = recording.log
        for state in (
            *log.prefixes(sectors=False),
            *log.losses(),
            *log.single_losses(),
            *log.shuffles(random_of("crash states without a journal"), SAMPLE),
        ):
            damage = lost_without_a_journal(recording, state)
            note(fault_tally, "crash state of tiles on ext4 without a journal", damage)
            assert not damage, f"{state.name}, after {state.said[-1:]}"


@needs_strace
def test_on_an_ext4_without_a_journal_a_sync_that_does_nothing_is_found_out(tmp_path: Path) -> None:
    with recorded("ext4", tmp_path, *lying_about("fsync"), journal=False) as recording:
        assert any(lost_without_a_journal(recording, state) for state in recording.log.losses())


@needs_strace
@pytest.mark.parametrize("sync", ["fsync", "syncfs"])
def test_a_sync_that_does_nothing_is_found_out(tmp_path: Path, sync: str) -> None:
    with recorded("ext4", tmp_path, *lying_about(sync)) as recording:
        assert any(recording.damage_of_files(state) for state in recording.log.losses())


def test_a_database_that_does_not_sync_is_found_out(tmp_path: Path) -> None:
    with recorded("ext4", tmp_path, fsync="off") as recording:
        *_, last = recording.log.losses()
        assert recording.damage_of_store(last, tmp_path / "complaints", fsync="off")
