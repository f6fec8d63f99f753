"""P-19: sealing the tiles of a store; one sample is one base of all its tiles, durable at its end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from harness.dataset import MEAN_BYTES
from harness.floors import running
from harness.operations import Calls, Facts, Operation, Samples
from harness.page_cache import touch_free_memory
from harness.subjects import Effort, MeasuredPath, Role, Subject
from harness.workshop import Workshop
from peers import mbtiles, pmtiles_archive

from aerotile import TileId
from aerotile.adapters.sealed_base.seal_plan import SealPlan

from .read_store import every_file, reading_store

_PROBE = Path(__file__).resolve().parent.parent / "probes" / "seal_base.py"
_FEW, _MORE, _MORE_AT_SCALE = 250_000, 750_000, 2_000_000
"""Tiles of the two bases by which the memory of one of ten million is judged: more than the sort keeps, and
so far apart that what the allocator happens to keep, some megabytes, comes to little at ten million."""

_MANY = 10_000_000


@contextmanager
def _ours(workshop: Workshop) -> Iterator[Operation]:
    runtime = workshop.shared(reading_store).runtime
    generations = runtime.base_generations
    sealed: list[str] = []

    def seal() -> None:
        sealed.append(runtime.seal_base(SealPlan(), with_index=False).name)

    def remove() -> None:
        with generations.locked():
            generations.remove(sealed.pop())

    yield Calls(call=seal, afterwards=remove, facts=lambda: _memory(workshop))


def _with_room(workshop: Workshop) -> None:
    """Memory for the archive and the pages of a seal, whoever wrote or removed a file before."""
    touch_free_memory(2 * workshop.sizes.tiles * MEAN_BYTES)


def _memory(workshop: Workshop) -> Facts:
    """The peak of memory while ten million tiles are sealed, by that of two smaller numbers.

    In a quick run that of a number too small to tell of ten million.
    """

    def peak(count: int) -> tuple[int, int]:
        folder = workshop.path(f"seal-{count}")
        command = [sys.executable, str(_PROBE), str(folder), str(count)]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        shutil.rmtree(folder)
        facts = json.loads(printed)
        return facts["peak_bytes"], facts["before_bytes"]

    if workshop.sizes.quick:
        return {"peak_mb": peak(_FEW // 8)[0] / 1e6}
    larger = _MORE_AT_SCALE if workshop.sizes.largest else _MORE
    with ThreadPoolExecutor(2) as both:  # memory is looked at, not time
        (less, _), (more, before) = both.map(peak, (_FEW, larger))
    each = max(0.0, (more - less) / (larger - _FEW))
    return {
        "peak_mb": (more + each * (_MANY - larger)) / 1e6,
        "measured_peak_mb": more / 1e6,
        "bytes_per_tile": each,
        "interpreter_mb": before / 1e6,
    }


@contextmanager
def _floor(workshop: Workshop) -> Iterator[Samples]:
    listed = workshop.path("seal-paths")
    listed.write_text("".join(f"{path}\n" for _, path in every_file(workshop)), "ascii")
    program = workshop.floors.program("seal_copy")
    with running(program, listed, workshop.path("seal-copy")) as floor:
        yield floor


Copy = Callable[[Path, list[tuple[TileId, Path]]], None]


def _copying(name: str, copy: Copy) -> Callable[[Workshop], AbstractContextManager[Operation]]:
    """A peer that puts all files into one, durable at the end."""

    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        paths, target = list(every_file(workshop)), workshop.path(name)

        def copied() -> None:
            copy(target, paths)
            descriptor = os.open(target, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

        yield Calls(call=copied, afterwards=lambda: _remove(target))

    return opened


def _remove(target: Path) -> None:
    for path in target.parent.glob(f"{target.name}*"):
        path.unlink()


def _into_sqlite(target: Path, paths: list[tuple[TileId, Path]]) -> None:
    connection = mbtiles.connect(target)
    for start in range(0, len(paths), 1024):
        mbtiles.put_all(connection, ((tile, path.read_bytes()) for tile, path in paths[start : start + 1024]))
    connection.close()


SEAL = MeasuredPath(
    id="P-19",
    subjects=(
        Subject(name="Aerotile", role=Role.OURS, open=_ours, before_block=_with_room),
        Subject(
            name="C read, hash, write",
            role=Role.FLOOR,
            open=_floor,
            before_block=_with_room,
            note="one thread, one file, one sync; no look for equal tiles, no facts, no digests of the file",
        ),
        Subject(
            name="pmtiles Writer",
            role=Role.PEER,
            open=_copying("seal.pmtiles", pmtiles_archive.write),
            before_block=_with_room,
            needs=("pmtiles",),
            note="nothing hashed against a row, no facts; equal tiles by a short hash; one sync by us",
        ),
        Subject(
            name="SQLite MBTiles",
            role=Role.PEER,
            open=_copying("seal.mbtiles", _into_sqlite),
            before_block=_with_room,
            note="as mb-util copies: nothing hashed, equal tiles many times; 1,024 per commit, WAL FULL",
        ),
    ),
    full=Effort(blocks=3, rounds=1),
    quick=Effort(blocks=2, rounds=1),
    warm_up=False,
)
