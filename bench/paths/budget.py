"""P-10 and P-11: what a write pays for its room and a read for being remembered.

Neither may ask the database on the caller's thread. That is counted, not timed: a round trip makes the thread
wait, and the kernel counts how often a thread waited.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

import psycopg
from harness.bare_rows import TABLE, bare_connection, copy_rows, row_values
from harness.dataset import Cycle, make_tile, tile_id
from harness.operations import Calls, Operation
from harness.subjects import Effort, MeasuredPath, Role, Subject
from harness.threads import waits_per_call
from harness.workshop import Workshop

from aerotile import TileMetadata

from .read_store import kept_numbers, reading_store

_NEEDED_BYTES = 30_000
_COUNTED_CALLS = 2_000


@contextmanager
def _reserve(workshop: Workshop) -> Iterator[Operation]:
    store: Any = workshop.shared(reading_store).store
    # The enforcer is the store's own: no other would know what the store's writers hold.
    reserve_headroom = store._parts.headroom.reserve_headroom

    def reserve() -> None:
        with reserve_headroom(_NEEDED_BYTES):
            pass

    yield Calls(
        call=reserve,
        facts=lambda: {"waits_per_call": waits_per_call(reserve, lambda: (), _COUNTED_CALLS)},
    )


@contextmanager
def _connection(workshop: Workshop) -> Iterator[psycopg.Connection[Any]]:
    dsn = workshop.shared(reading_store).config.database.dsn
    assert dsn is not None
    with psycopg.connect(dsn.reveal(), autocommit=True, prepare_threshold=0) as connection:
        yield connection


@contextmanager
def _sum(workshop: Workshop) -> Iterator[Operation]:
    with _connection(workshop) as connection:
        yield Calls(call=lambda: connection.execute("SELECT sum(disk_bytes) FROM tiles").fetchone())


@contextmanager
def _one_number(workshop: Workshop) -> Iterator[Operation]:
    with _connection(workshop) as connection:
        yield Calls(call=lambda: connection.execute("SELECT total_bytes FROM disk_usage").fetchone())


@contextmanager
def _note(workshop: Workshop) -> Iterator[Operation]:
    note = workshop.shared(reading_store).runtime.part("mapping_cache").note
    asked = Cycle([tile_id(number) for number in kept_numbers(workshop)])
    yield Calls(
        call=note,
        arguments=asked.arguments,
        facts=lambda: {"waits_per_call": waits_per_call(note, asked.arguments, _COUNTED_CALLS)},
    )


@contextmanager
def _noted_read(workshop: Workshop) -> Iterator[Operation]:
    read = workshop.shared(reading_store).store.read_tile_pixels
    tiles = [tile_id(number) for number in kept_numbers(workshop)]
    for tile in tiles:
        read(tile)
    asked = Cycle(tiles)
    yield Calls(
        call=read,
        arguments=asked.arguments,
        facts=lambda: {"waits_per_call": waits_per_call(read, asked.arguments, _COUNTED_CALLS)},
    )


_UPDATE = f"UPDATE {TABLE} SET accessed_at = %s WHERE tile_uuid = %s"
_UPDATE_MANY = f"""
    UPDATE {TABLE} SET accessed_at = %s FROM unnest(%s::uuid[]) AS given (tile_uuid)
    WHERE {TABLE}.tile_uuid = given.tile_uuid
"""
_AT_ONCE = 1_000


@contextmanager
def _kept_tiles(workshop: Workshop) -> Iterator[list[TileMetadata]]:
    yield [make_tile(number)[1] for number in kept_numbers(workshop)]


@contextmanager
def _updatable(workshop: Workshop, name: str) -> Iterator[tuple[psycopg.Connection[Any], list[UUID]]]:
    """The rows that P-1 reads in a table of their own, which our own flushes leave alone."""
    tiles = workshop.shared(_kept_tiles)
    now = datetime.now(timezone.utc)
    with bare_connection(workshop.database(name)) as connection:
        copy_rows(connection, (row_values(tile, now) for tile in tiles))
        connection.execute(f"ANALYZE {TABLE}")
        yield connection, [tile.tile_id.tile_uuid for tile in tiles]


@contextmanager
def _update(workshop: Workshop) -> Iterator[Operation]:
    with _updatable(workshop, "update") as (connection, uuids):
        yield Calls(
            call=lambda uuid: connection.execute(_UPDATE, (datetime.now(timezone.utc), uuid)),
            arguments=Cycle(uuids).arguments,
        )


@contextmanager
def _update_many(workshop: Workshop) -> Iterator[Operation]:
    with _updatable(workshop, "update many") as (connection, uuids):
        batch = uuids[:_AT_ONCE]
        yield Calls(call=lambda: connection.execute(_UPDATE_MANY, (datetime.now(timezone.utc), batch)))


HEADROOM = MeasuredPath(
    id="P-10",
    subjects=(
        Subject(name="Aerotile", role=Role.OURS, open=_reserve),
        Subject(name="SUM per write", role=Role.PEER, open=_sum, note="bare psycopg, prepared"),
        Subject(
            name="one number per write",
            role=Role.REFERENCE,
            open=_one_number,
            note="bare psycopg, prepared: what any round trip costs",
        ),
    ),
    full=Effort(blocks=10, rounds=250),
    quick=Effort(blocks=5, rounds=100),
)

LRU = MeasuredPath(
    id="P-11",
    subjects=(
        Subject(name="Aerotile", role=Role.OURS, open=_note),
        Subject(
            name="Aerotile, the whole read",
            role=Role.REFERENCE,
            open=_noted_read,
            note="a kept tile, which is noted on the way",
        ),
        Subject(
            name="UPDATE per read", role=Role.PEER, open=_update, note="bare psycopg, prepared, commit synced"
        ),
        Subject(
            name="UPDATE of 1,000",
            role=Role.REFERENCE,
            open=_update_many,
            note="bare psycopg, in one statement; the time is of all 1,000",
            at_most=Effort(blocks=10, rounds=10),
        ),
    ),
    full=Effort(blocks=10, rounds=250),
    quick=Effort(blocks=5, rounds=50),
)
