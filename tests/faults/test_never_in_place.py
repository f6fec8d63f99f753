"""Files that readers map are never changed in place: a mapping that is cut short kills its reader (SIGBUS).

Every system call of a run that does all that there is to do with tiles and indexes is looked at.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from damages import obeying_file_modes

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]
STRACE = shutil.which("strace")
MAPPED = re.compile(r'"[^"]*(?:\.jpg|\.sha256|tiles\.index|tiles\.meta\.json)"')
CALLS = "open,openat,openat2,creat,truncate,ftruncate,fallocate,copy_file_range,rename,renameat,renameat2"

WORK = """
import hashlib, sys
from datetime import datetime, timezone
from pathlib import Path
import numpy as np
from aerotile.adapters.faiss import FaissDescriptorIndex
from aerotile.adapters.filesystem import FilesystemTileFiles
from aerotile.adapters.memory.example_jpeg import example_jpeg
from aerotile.domain.values.tiles import TileId, TileMetadata, TileSource

root = Path(sys.argv[1])
now = datetime.now(timezone.utc)

def staged(files, x, salt):
    pixels = example_jpeg(bytes([x, salt]) * 50)
    tile_id = TileId(10, x, 7, TileSource.IMPORTED)
    return files.stage(
        pixels,
        TileMetadata(
            tile_id=tile_id,
            captured_at=now,
            content_sha256=hashlib.sha256(pixels).hexdigest(),
            disk_bytes=len(pixels),
            ground_sample_distance=1.0,
        ),
    )

tiles = [TileId(10, x, 7, TileSource.IMPORTED) for x in range(12)]
with FilesystemTileFiles(root / "tiles") as files:
    for x in range(4):
        files.place(staged(files, x, 0))
    assert files.place_many([staged(files, x, 0) for x in range(4, 12)]) == [None] * 8
    opened = [files.open(tile) for tile in tiles]
    for tile in tiles[:3]:
        files.remove(tile)
    files.quarantine(tiles[3])
    for x in range(4):
        files.place(staged(files, x, 1))
    assert files.place_many([staged(files, x, 1) for x in range(4, 8)]) == [None] * 4
    for tile in tiles:
        files.content_sha256(tile)
        files.restore_sidecar(tile, "0" * 64)
    files.place(staged(files, 0, 2))
    newer = staged(files, 1, 3)
    files.place_beside(newer)
    (beside,) = files.inventory().replacements
    assert files.take_place(tiles[1], beside.content_sha256)
    for found in list(files.inventory()):
        files.content_sha256(found.tile_id)
    assert [bytes(memoryview(handle))[25:27] for handle in opened] == [bytes([x, 0]) for x in range(12)]
vectors = np.random.default_rng(1).normal(size=(12, 4)).astype(np.float32)
index = FaissDescriptorIndex(root / "index", keep_generations=1)
for day in range(4):
    index.rebuild(tiles, vectors, descriptor_model="a-network", built_at=now)
    assert index.search(vectors[3], 1)[0].tile_id == tiles[3]
index.rollback()
"""


@pytest.mark.skipif(STRACE is None, reason="needs strace (Debian package strace)")
def test_no_file_that_is_mapped_is_ever_opened_for_writing_under_its_name(tmp_path: Path) -> None:
    log = tmp_path / "calls"
    # The real interpreter: a shim would be what strace counts.
    command = ["strace", "-f", "-qq", "-e", f"trace={CALLS}", "-o", str(log), sys.executable, "-c", WORK]
    subprocess.run([*command, str(tmp_path / "site")], check=True, capture_output=True)
    calls = [line for line in log.read_text(errors="replace").splitlines() if MAPPED.search(line)]
    renames = [line for line in calls if "rename" in line]
    opens = [line for line in calls if "open" in line and "rename" not in line]
    assert len(renames) > 30
    assert len(opens) > 50
    for line in opens:
        made_new = "O_CREAT" in line and "O_EXCL" in line
        assert "O_TRUNC" not in line, line
        assert made_new or not re.search(r"O_WRONLY|O_RDWR", line), line
        # Only the files of a generation that nobody has been shown yet are made under their own names.
        assert not made_new or ".partial/" in line, line
    assert [line for line in calls if re.search(r" (?:f?truncate|creat|fallocate)\(", line)] == []


def test_files_that_are_mapped_may_not_even_be_written_by_their_owner(tmp_path: Path) -> None:
    root = tmp_path / "site"
    subprocess.run([sys.executable, "-c", WORK, str(root)], check=True)
    files = [path for path in root.rglob("*") if MAPPED.search(f'"{path}"')]
    assert len(files) > 20
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o440}
    try_to_cut = """
import os, sys
for path in sys.argv[1:]:
    try:
        os.truncate(path, 1)
    except PermissionError:
        print("refused")
"""
    cutting = subprocess.run(
        obeying_file_modes([sys.executable, "-c", try_to_cut, *map(str, files)]),
        check=True,
        capture_output=True,
        text=True,
    )
    assert cutting.stdout.split() == ["refused"] * len(files)
    assert all(path.stat().st_size > 1 for path in files)
    assert os.geteuid() == files[0].stat().st_uid
