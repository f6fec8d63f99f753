"""kill -9 before every system call of an application of a recall list: always one whole list in force."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from fault_tally import FaultTally
from nursery import EVERY_CALL, Ending, Nursery, kill_at_every_moment
from recall_trust import TRUST, recalling

from aerotile.adapters.recall_lists.lists import RecallLists

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600 if EVERY_CALL else 300)]


def number_in_force(root: Path) -> int | None:
    """As a process that is started now sees it; the list is whole."""
    found = RecallLists(root, TRUST).read()
    assert found is None or found.recalls == recalling(found.recalls.number)
    return None if found is None else found.recalls.number


def test_an_application_that_is_killed_before_any_call_leaves_the_old_list_or_the_new_one(
    nursery: Nursery, fault_tally: FaultTally, tmp_path: Path
) -> None:
    root = tmp_path / "recall"
    number = 0
    newest: int | None = None

    def live(kill_at: int | None) -> Ending:
        nonlocal number, newest
        number += 1
        opened = nursery.begin("recall apply", number, root=str(root))
        assert opened["number"] == newest == number_in_force(root)
        ready = nursery.prepare()
        ending = nursery.kill_at(kill_at)
        in_force = number_in_force(root)
        assert in_force in ({ready["after"]} if ending.done else {ready["after"], newest})
        newest = in_force
        folder = root / "generations"
        left = [entry.name for entry in folder.iterdir()] if folder.exists() else []
        if ending.done:
            assert left == [f"{number:06d}"]
            assert [entry.name for entry in root.glob(".current*")] == []
        if (root / ".lock").exists():
            with (root / ".lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fault_tally.add("kill at a system call: recall apply", ending.reached is not None)
        return ending

    kill_at_every_moment(live)
