"""P-1 and P-2: reading tiles that are in the page cache.

All subjects read the same tiles, each in an order of its own. P-1 ends with a touch of every page by one
compiled function, for everybody; P-2 ends when the mapping or the bytes are there.

A first read is system calls, and what those take depends on the process: on its mappings, its threads, its
open files, and on what else it does between two of them. So P-2's floor is a loop within our process, and
everybody else is timed in one loop too, without the work that pytest-benchmark does between two calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np
from harness.dataset import Cycle, Supply, shuffled, tile_id
from harness.floors import in_process, running
from harness.linked_store import linked_store
from harness.operations import Calls, Operation, Samples, Seconds, Unavailable
from harness.subjects import Effort, GrowthCurve, MeasuredPath, Role, Subject
from harness.workshop import Workshop

from aerotile import TileId

from .read_peers import LMDB_BYTES, LMDB_ZERO_COPY, OTHERS, Reader, ReadingPeer
from .read_store import filling_page_cache, first_time_numbers, kept_numbers, reading_store, relative_path

Numbers = Callable[[Workshop, str], list[int]]


def touching(peer: ReadingPeer) -> Callable[[Workshop], AbstractContextManager[Operation]]:
    """Read a tile of P-1, not for the first time, and touch every page of it."""

    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        touch = workshop.floors.module("pagetouch").touch
        keys = Cycle([peer.key(tile_id(number)) for number in kept_numbers(workshop, peer.name)])
        with peer.open(workshop) as read:
            for _ in kept_numbers(workshop, peer.name):
                touch(read(*keys.arguments()))
            yield Calls(call=lambda key: touch(read(key)), arguments=keys.arguments)

    return opened


def touching_alone(
    read_from: Callable[[Workshop], AbstractContextManager[Reader]],
) -> Callable[[Workshop], AbstractContextManager[Operation]]:
    """Touch every page of a tile of P-1 whose handle is there."""

    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        touch = workshop.floors.module("pagetouch").touch
        with read_from(workshop) as read:
            handles = [read(tile_id(number)) for number in kept_numbers(workshop, "touch alone")]
        for handle in handles:
            touch(handle)
        yield Calls(call=lambda handle: touch(handle), arguments=Cycle(handles).arguments)

    return opened


def _timed(read: Reader, arguments: Callable[[], tuple[Any]], keep: Callable[[Any], object]) -> Samples:
    """Reads of P-2, one by one. A result lives until the next one is there; `keep` is given it, untimed."""

    def sample(rounds: int) -> Seconds:
        taken = []
        for _ in range(rounds):
            (key,) = arguments()
            before = perf_counter_ns()
            result = read(key)
            taken.append(perf_counter_ns() - before)
            keep(result)
        return np.array(taken, np.float64) / 1e9

    return Samples(sample=sample)


def _forget(result: Any) -> None:
    """Keep nothing."""


def _first_time_keys(workshop: Workshop, peer: ReadingPeer) -> Cycle:
    return Cycle([peer.key(tile_id(number)) for number in first_time_numbers(workshop, peer.name)])


def keeping(peer: ReadingPeer) -> Callable[[Workshop], AbstractContextManager[Operation]]:
    """Read a tile of P-2 and keep what was read."""

    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        workshop.shared(reading_store)
        keys = _first_time_keys(workshop, peer)
        kept: list[Any] = []
        with peer.open(workshop) as read:
            yield _timed(read, keys.arguments, kept.append)
            kept.clear()

    return opened


def reading(peer: ReadingPeer) -> Callable[[Workshop], AbstractContextManager[Operation]]:
    """Read a tile of P-2 and forget it."""

    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Operation]:
        workshop.shared(reading_store)
        keys = _first_time_keys(workshop, peer)
        with peer.open(workshop) as read:
            yield _timed(read, keys.arguments, _forget)

    return opened


@contextmanager
def _read_tile_pixels(workshop: Workshop) -> Iterator[Reader]:
    yield workshop.shared(reading_store).store.read_tile_pixels


@contextmanager
def _dictionary(workshop: Workshop) -> Iterator[Reader]:
    read = workshop.shared(reading_store).store.read_tile_pixels
    tiles = [tile_id(number) for number in kept_numbers(workshop)]
    yield {tile: read(tile) for tile in tiles}.__getitem__


@contextmanager
def _ours_first_time(workshop: Workshop) -> Iterator[Operation]:
    read = workshop.shared(reading_store).store.read_tile_pixels
    tiles = Supply([tile_id(number) for number in first_time_numbers(workshop, "ours")], "tiles")
    handles: list[Any] = []
    yield _timed(read, tiles.arguments, handles.append)
    handles.clear()


@contextmanager
def _ours_bytes(workshop: Workshop) -> Iterator[Operation]:
    store: Any = workshop.shared(reading_store).store
    if not hasattr(store, "read_tile_bytes"):
        raise Unavailable("this version has no read_tile_bytes")
    # The last first: those of the blocks before are kept as mappings by now.
    tiles = Cycle([tile_id(number) for number in reversed(first_time_numbers(workshop, "ours"))])
    yield _timed(store.read_tile_bytes, tiles.arguments, _forget)


def _listed(workshop: Workshop, program: str, numbers: Numbers) -> tuple[Path, Path]:
    """The arguments of a floor that reads: the folder of the tiles, and a file with the paths in it."""
    folder = workshop.shared(reading_store).config.tiles_folder
    listed = workshop.path(f"{program}.paths")
    listed.write_text(
        "".join(f"{relative_path(tile_id(number))}\n" for number in numbers(workshop, program)),
        encoding="ascii",
    )
    return folder, listed


@contextmanager
def _mapped_floor(workshop: Workshop) -> Iterator[Samples]:
    program = "mapped_touch"
    with running(workshop.floors.program(program), *_listed(workshop, program, kept_numbers)) as floor:
        yield floor


def _first_time_floor(program: str) -> Callable[[Workshop], AbstractContextManager[Samples]]:
    @contextmanager
    def opened(workshop: Workshop) -> Iterator[Samples]:
        yield in_process(workshop.floors.load(program), *_listed(workshop, program, first_time_numbers))

    return opened


def _subject(
    peer: ReadingPeer,
    how: Callable[[ReadingPeer], Callable[[Workshop], AbstractContextManager[Operation]]],
    role: Role = Role.PEER,
) -> Subject:
    return Subject(
        name=peer.name,
        role=role,
        open=how(peer),
        needs=peer.needs,
        note=peer.note,
        before_block=filling_page_cache(peer.stored_in),
    )


KEPT = MeasuredPath(
    id="P-1",
    subjects=(
        Subject(
            name="Aerotile",
            role=Role.OURS,
            open=touching(ReadingPeer(name="Aerotile", open=_read_tile_pixels)),
            before_block=filling_page_cache(),
        ),
        Subject(
            name="C touch of mapped memory",
            role=Role.FLOOR,
            open=_mapped_floor,
            note="no look-up: the mappings stand in an array",
            before_block=filling_page_cache(),
        ),
        *(_subject(peer, touching) for peer in (LMDB_ZERO_COPY, LMDB_BYTES, *OTHERS)),
        Subject(
            name="dictionary of handles",
            role=Role.REFERENCE,
            open=touching(ReadingPeer(name="dictionary of handles", open=_dictionary)),
            note="Python's own dictionary by tile id: no bound, no access time, no safe delete",
            before_block=filling_page_cache(),
        ),
        Subject(
            name="touch alone",
            role=Role.REFERENCE,
            open=touching_alone(_read_tile_pixels),
            note="no look-up: what it costs to call the touch from Python and to take the time there",
            before_block=filling_page_cache(),
        ),
    ),
    full=Effort(blocks=8, rounds=300),
    quick=Effort(blocks=5, rounds=200),
)

FIRST_TIME = MeasuredPath(
    id="P-2 kept",
    subjects=(
        Subject(name="Aerotile", role=Role.OURS, open=_ours_first_time, before_block=filling_page_cache()),
        Subject(
            name="C open+fstat+mmap",
            role=Role.FLOOR,
            open=_first_time_floor("map_file"),
            note="open, fstat, mmap, close; no look-up, links are followed",
            before_block=filling_page_cache(),
        ),
        *(_subject(peer, keeping) for peer in OTHERS),
        _subject(LMDB_ZERO_COPY, keeping, Role.REFERENCE),
    ),
    full=Effort(blocks=10, rounds=250),
    quick=Effort(blocks=5, rounds=100),
)

BYTES = MeasuredPath(
    id="P-2 bytes",
    subjects=(
        Subject(name="Aerotile", role=Role.OURS, open=_ours_bytes, before_block=filling_page_cache()),
        Subject(
            name="C open+fstat+pread+close",
            role=Role.FLOOR,
            open=_first_time_floor("read_file"),
            note="no look-up, links are followed",
            before_block=filling_page_cache(),
        ),
        *(_subject(peer, reading) for peer in OTHERS if not peer.maps),
        _subject(LMDB_BYTES, reading, Role.REFERENCE),
    ),
    full=Effort(blocks=10, rounds=250),
    quick=Effort(blocks=5, rounds=100),
)

_READ_WHILE_GROWING = 1_000
"""Tiles that are read of each store, spread all over it; their mappings are kept."""


def _spread_over(size: int) -> list[TileId]:
    return [tile_id(number * size // _READ_WHILE_GROWING) for number in shuffled(range(_READ_WHILE_GROWING))]


@contextmanager
def _grown(workshop: Workshop, size: int) -> Iterator[Operation]:
    touch = workshop.floors.module("pagetouch").touch
    with linked_store(workshop, size) as store:
        read = store.store.read_tile_pixels
        tiles = _spread_over(size)
        for tile in tiles:
            touch(read(tile))
        yield Calls(call=lambda tile: touch(read(tile)), arguments=Cycle(tiles).arguments)


@contextmanager
def _grown_untouched(workshop: Workshop, size: int) -> Iterator[Operation]:
    with linked_store(workshop, size) as store:
        tiles = _spread_over(size)
        for tile in tiles:
            store.store.read_tile_pixels(tile)
        yield Calls(call=store.store.read_tile_pixels, arguments=Cycle(tiles).arguments)


GROWTH = (
    GrowthCurve(
        id="P-1",
        of="tiles",
        sizes=(1_000, 10_000, 100_000, 1_000_000),
        open=_grown,
    ),
    GrowthCurve(
        id="P-11",
        of="tiles",
        sizes=(1_000, 10_000, 100_000, 1_000_000),
        open=_grown_untouched,
    ),
)
