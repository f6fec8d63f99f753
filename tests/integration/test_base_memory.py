"""A sealed base that is locked in memory."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sealed_bases import opened, seal, square

from aerotile.adapters.sealed_base import mapped_base

TILES = square(30)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become a user whose locked memory is limited")
def test_a_base_that_may_not_be_locked_is_refused_with_the_limit(tmp_path: Path) -> None:
    root = tmp_path / "base"
    seal(root, TILES)
    program = """
import os, resource, sys
from pathlib import Path
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.mapped_base import open_base
from aerotile.adapters.signatures import Trust
from aerotile.domain.errors import BaseUnavailableError

base = open_base(BaseGenerations(Path(sys.argv[1])), "000001", Trust((), 1), require_signature=False)
base.bring_into_memory(lock=True)
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
os.setuid(65534)
base.bring_into_memory(lock=False)
try:
    base.bring_into_memory(lock=True)
except BaseUnavailableError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(root)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "facts can't be locked: " in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user whose locked memory is not limited")
def test_a_base_is_locked_whole_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked_kib() -> int:
        return int(Path("/proc/self/status").read_text().split("VmLck:")[1].split()[0])

    monkeypatch.setattr(mapped_base, "_BROUGHT_AT_ONCE", 16_384)
    base = opened(tmp_path / "base", TILES)
    before = locked_kib()
    base.bring_into_memory(lock=True)
    pages = sum(-(-each.nbytes // mmap.PAGESIZE) for each in (base.archive, base.facts))
    assert locked_kib() - before == pages * mmap.PAGESIZE // 1024
    base.close()
    assert locked_kib() == before


def test_what_is_in_memory_is_known_to_be_there(tmp_path: Path) -> None:
    base = opened(tmp_path / "base", TILES)
    assert base.residency_is_known
    with base.archive.part(5_000, 20_000) as part:
        part.prefault()
        assert part.is_resident
    with pytest.raises(ValueError, match="closed"):
        _ = part.is_resident
    with pytest.raises(ValueError, match="closed"):
        part.lock()
