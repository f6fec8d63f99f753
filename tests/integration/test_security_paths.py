"""Nothing below the tiles' root leads out of it: links at every place of a path, and links that come while
work is under way.

What lies outside is compared byte for byte, with its inode and modes, after each operation.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import UUID

import pytest

from aerotile.adapters.contracts.tile_files.subject import metadata
from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.filesystem.identity_file import IDENTITY_NAME
from aerotile.adapters.memory.example_jpeg import example_jpeg
from aerotile.domain.errors import TileCacheError
from aerotile.domain.values.inventory import FoundFile, FoundKind
from aerotile.domain.values.tiles import TileId, TileSource

FLIGHT = UUID("7d444840-9dc0-11d1-b245-5ffdce74fad2")
TILE = TileId(3, 1, 5, TileSource.ONBOARD, FLIGHT)
NEIGHBOUR = TileId(3, 1, 6, TileSource.ONBOARD, FLIGHT)
OURS = example_jpeg(b"the ground")
THEIRS = example_jpeg(b"somebody else's")
FOLDERS = ["onboard", f"onboard/{FLIGHT}", f"onboard/{FLIGHT}/3", f"onboard/{FLIGHT}/3/1"]
FILES = [f"onboard/{FLIGHT}/3/1/5.jpg", f"onboard/{FLIGHT}/3/1/5.jpg.sha256"]
ROUNDS = int(os.environ.get("TEST_LINK_RACES", "150"))

Operation = Callable[[FilesystemTileFiles], object]


def place(files: FilesystemTileFiles, tile_id: TileId = TILE, pixels: bytes = OURS) -> None:
    files.place(files.stage(pixels, metadata(pixels, tile_id)))


def place_many(files: FilesystemTileFiles) -> None:
    staged = [files.stage(OURS, metadata(OURS, tile_id)) for tile_id in (TILE, NEIGHBOUR)]
    for failure in files.place_many(staged):
        if failure is not None:
            raise failure


def place_and_withdraw(files: FilesystemTileFiles) -> None:
    staged = files.stage(OURS, metadata(OURS, TILE))
    files.place(staged)
    files.withdraw(staged)


def read_mapped(files: FilesystemTileFiles) -> bytes:
    with files.open(TILE) as handle:
        return bytes(memoryview(handle))


def list_all(files: FilesystemTileFiles) -> list[FoundFile]:
    return list(files.inventory())


READING: dict[str, Operation] = {
    "open": read_mapped,
    "read": lambda files: files.read(TILE),
    "hash": lambda files: files.content_sha256(TILE),
    "sidecar": lambda files: files.sidecar_sha256(TILE),
    "exists": lambda files: files.exists(TILE),
    "list": list_all,
}
CHANGING: dict[str, Operation] = {
    "place": place,
    "place many": place_many,
    "withdraw": place_and_withdraw,
    "remove": lambda files: files.remove(TILE),
    "discard": lambda files: files.discard(FoundFile(FoundKind.TILE, TILE)),
    "quarantine": lambda files: files.quarantine(TILE),
    "restore sidecar": lambda files: files.restore_sidecar(TILE, hashlib.sha256(OURS).hexdigest()),
}
FOREIGN_ANSWERS = (THEIRS, hashlib.sha256(THEIRS).hexdigest())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "tiles"


@pytest.fixture
def files(root: Path) -> Iterator[FilesystemTileFiles]:
    with FilesystemTileFiles(root) as files:
        yield files


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of somebody else's that looks like the store's at every level."""
    with FilesystemTileFiles(tmp_path / "outside") as theirs:
        for tile_id in (TILE, NEIGHBOUR):
            place(theirs, tile_id, THEIRS)
    return tmp_path / "outside"


def snapshot(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Every entry below a folder: inode, mode, time of its last change, content."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        facts = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(facts.st_mode) else b""
        found[str(path)] = (facts.st_ino, facts.st_mode, facts.st_mtime_ns, content)
    return found


@pytest.mark.parametrize("linked", FOLDERS + FILES)
@pytest.mark.parametrize("name", [*READING, *CHANGING])
def test_a_link_anywhere_in_a_tiles_path_leads_nobody_out(
    files: FilesystemTileFiles, root: Path, outside: Path, linked: str, name: str
) -> None:
    place(files)
    aside = root.parent / "aside"
    (root / linked).rename(aside)
    (root / linked).symlink_to(outside / linked)
    before = snapshot(outside)
    answer = None
    with suppress(TileCacheError):
        answer = (READING | CHANGING)[name](files)
    assert snapshot(outside) == before
    assert answer not in FOREIGN_ANSWERS
    if name == "exists":
        assert answer is (linked == FILES[1])
    if name == "list":
        assert all(found.kind is not FoundKind.TILE for found in list_all(files)) or linked == FILES[1]


@pytest.mark.parametrize("linked", [".quarantine", f".quarantine/onboard/{FLIGHT}/3"])
def test_a_link_in_the_quarantines_path_leads_nobody_out(
    files: FilesystemTileFiles, root: Path, outside: Path, linked: str
) -> None:
    place(files)
    (root / linked).parent.mkdir(parents=True, exist_ok=True)
    (root / linked).symlink_to(outside)
    before = snapshot(outside)
    with pytest.raises(TileCacheError, match=r"cannot quarantine tile file .*/5\.jpg"):
        files.quarantine(TILE)
    assert snapshot(outside) == before
    assert read_mapped(files) == OURS


def test_a_link_in_the_place_of_the_stores_identity_is_neither_read_nor_followed(
    files: FilesystemTileFiles, root: Path, outside: Path
) -> None:
    theirs = outside / "identity"
    theirs.write_text(f"{FLIGHT}\n")
    (root / IDENTITY_NAME).symlink_to(theirs)
    before = snapshot(outside)
    for call in (files.store_id, lambda: files.claim(FLIGHT)):
        with pytest.raises(TileCacheError, match=IDENTITY_NAME):
            call()
    (root / IDENTITY_NAME).unlink()
    (root / f"{IDENTITY_NAME}.tmp").symlink_to(theirs)
    assert files.claim(UUID(int=7)) == UUID(int=7)
    assert snapshot(outside) == before


def test_a_link_in_the_place_of_a_temporary_name_is_not_written_through(
    files: FilesystemTileFiles, root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(files, NEIGHBOUR)
    folder = root / FOLDERS[-1]
    for name in (".5.jpg.1.tmp", ".5.jpg.sha256.1.tmp"):
        (folder / name).symlink_to(outside / FILES[0])
    before = snapshot(outside)
    for module in ("staged_file", "replacement"):
        monkeypatch.setattr(
            f"aerotile.adapters.filesystem.{module}.temporary_name", lambda name: f".{name}.1.tmp"
        )
    for name in ("place", "place many", "restore sidecar"):
        with pytest.raises((TileCacheError, FileExistsError)):
            CHANGING[name](files)
    assert snapshot(outside) == before


# Puts the entry argv[2] in the place of argv[1] and back until its input ends; prints how often.
# RENAME_EXCHANGE: at every instant there is the one or the other, and no gap to notice. Pauses let some work
# be done on either side; they grow, so that they are long enough on a busy machine in the end.
SWAPPER = """
import ctypes, os, random, select, sys, time
libc = ctypes.CDLL(None, use_errno=True)
here, there = map(os.fsencode, sys.argv[1:])
turns = 0
print("ready", flush=True)
while not select.select([0], [], [], random.choice((0, 0, 0.0005, 0.002 + turns / 1e6)))[0]:
    if libc.renameat2(-100, here, -100, there, 2) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    turns += 1
print(turns)
"""


@contextmanager
def swapping(folder: Path, target: Path) -> Iterator[list[int]]:
    """A process that puts a link in a folder's place and the folder back; in the end, how often."""
    link = folder.with_name("link")
    link.symlink_to(target)
    turns: list[int] = []
    with subprocess.Popen(
        [sys.executable, "-c", SWAPPER, str(folder), str(link)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield turns
            turns.append(int(process.communicate("\n", timeout=30)[0]))
        finally:
            process.kill()


@pytest.mark.parametrize("swapped", FOLDERS)
def test_a_link_swapped_in_while_work_is_under_way_leads_nobody_out(
    files: FilesystemTileFiles, root: Path, outside: Path, swapped: str
) -> None:
    place(files)
    folder = root / swapped
    before = snapshot(outside)
    done: dict[str, int] = dict.fromkeys([*READING, *CHANGING], 0)
    with swapping(folder, outside / swapped) as turns:
        # On a busy machine few operations are over before the next swap: until each was once.
        for round_ in itertools.takewhile(lambda n: n < ROUNDS or not all(done.values()), itertools.count()):
            for name, operation in (READING | CHANGING).items():
                with suppress(TileCacheError):
                    place(files)  # what the last operation took away
                with suppress(TileCacheError):
                    answer = operation(files)
                    assert answer not in FOREIGN_ANSWERS, name
                    done[name] += 1
            if round_ % 100 == 0:
                assert snapshot(outside) == before
    assert snapshot(outside) == before
    assert turns[0] > 100


def test_paths_come_from_whole_numbers_words_of_ours_and_uuids_alone() -> None:
    for numbers in [("3/../..", 1, 5), (3, "../1", 5), (3, 1, "5/../../../etc"), (3, -1, 5), (3, 1, 8)]:
        with pytest.raises((TypeError, ValueError)):
            TileId(*numbers, TileSource.IMPORTED)  # type: ignore[arg-type]  # what a careless caller passes
    for source in ("imported/../..", "../onboard", ""):
        with pytest.raises((TypeError, ValueError)):
            TileId(3, 1, 5, source)  # type: ignore[arg-type]  # likewise
    for flight in ("../../etc", "7d444840-9dc0-11d1-b245-5ffdce74fad2/.."):
        with pytest.raises((TypeError, ValueError)):
            TileId(3, 1, 5, TileSource.ONBOARD, flight)  # type: ignore[arg-type]  # likewise
