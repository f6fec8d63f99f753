"""kill -9 before every system call of a write, a batch, a delete, a replacement, an eviction and an opening.

Only the program dies; the database server goes on and rolls back. After each kill the store is opened anew,
sometimes while the server still works for the dead one, and its files and rows are read by other code.

A write, a delete and a replacement are killed before every call. TEST_KILLS sets how often the others are
(default 10); `all`: once before every call.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from killed_store import KilledStore
from nursery import EVERY_CALL, Nursery, every_moment, moments

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600 if EVERY_CALL else 300)]

BUDGET_BYTES = 100_000  # of the eviction in killed_lives.py


def test_a_call_before_which_a_process_is_killed_is_not_made(nursery: Nursery, tmp_path: Path) -> None:
    nursery.begin("folders", 0, root=str(tmp_path))
    calls = nursery.kill_at(None).calls
    folders = [number for number, name in enumerate(calls, start=1) if name.startswith("mkdir")]
    assert len(folders) == len(list(tmp_path.iterdir()))
    for made, number in enumerate(folders):
        root = tmp_path / f"killed {number}"
        root.mkdir()
        nursery.begin("folders", 0, root=str(root))
        ending = nursery.kill_at(number)
        assert (ending.reached, ending.done) == (calls[number - 1], False)
        assert {entry.name for entry in root.iterdir()} == {str(name) for name in range(made)}


@pytest.mark.parametrize("operation", ["write", "batch", "delete", "replace"])
def test_a_change_that_is_killed_before_any_call_is_whole_or_did_not_happen(
    make_killed_store: Callable[..., KilledStore], operation: str
) -> None:
    store = make_killed_store(f"kill at a system call: {operation}")
    calls = store.longest_calls(operation)
    for number in moments(calls, store.chance) if operation == "batch" else every_moment(calls):
        store.live(operation, number)
    store.finish()
    assert store.kills > 0


def test_an_eviction_that_is_killed_before_any_call_loses_nothing_else_and_keeps_the_budget(
    make_killed_store: Callable[..., KilledStore],
) -> None:
    store = make_killed_store("kill at a system call: eviction")
    for number in moments(store.longest_calls("eviction"), store.chance):
        store.live("eviction", number)
        row = store.connection.execute(
            "SELECT sum((disk_bytes + 4095) / 4096 * 4096 + 4608) FROM tiles"
        ).fetchone()
        assert row is not None
        assert row[0] <= BUDGET_BYTES
    store.finish()
    assert store.kills > 0


FORGET_A_HASH = """
    WITH chosen AS (
        SELECT id, disk_bytes, source FROM tiles WHERE content_sha256 IS NOT NULL ORDER BY id LIMIT 1
    ),
    forgotten AS (
        UPDATE tiles SET content_sha256 = NULL, disk_bytes = NULL FROM chosen WHERE tiles.id = chosen.id
    )
    UPDATE disk_usage SET
        total_bytes = total_bytes - (SELECT disk_bytes FROM chosen),
        footprint_bytes = footprint_bytes - (SELECT (disk_bytes + 4095) / 4096 * 4096 + 4608 FROM chosen),
        onboard_footprint_bytes = onboard_footprint_bytes - (
            SELECT COALESCE(sum((disk_bytes + 4095) / 4096 * 4096 + 4608), 0)
            FROM chosen WHERE source = 'onboard'
        )
"""


def leave_what_dead_writers_leave(store: KilledStore) -> None:
    """An orphan, a temporary, a tile without its sidecar, a row without a hash as from revision 0001."""
    folder = store.tiles / "imported" / "20" / "999999"
    folder.mkdir(exist_ok=True)
    for name in ("7.jpg", "7.jpg.sha256", f".8.jpg.4711-0badcafe-{store.number}.tmp"):
        (folder / name).write_bytes(b"\xff\xd8\xff")
    min(store.tiles.rglob("*.jpg.sha256")).unlink()
    store.connection.execute(FORGET_A_HASH)


def test_an_opening_that_is_killed_before_any_call_is_made_up_for_by_the_next(
    make_killed_store: Callable[..., KilledStore],
) -> None:
    store = make_killed_store("kill at a system call: opening")
    store.live("batch", None)
    store.finish()
    leave_what_dead_writers_leave(store)
    for number in moments(store.longest_calls("opening"), store.chance):
        store.finish()
        leave_what_dead_writers_leave(store)
        store.live("opening", number)
    store.finish()
    assert store.kills > 0
