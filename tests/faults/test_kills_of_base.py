"""kill -9 before every system call of a seal, a signing and a switch: always one whole generation in use."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from fault_tally import FaultTally
from nursery import EVERY_CALL, Ending, Nursery, kill_at_every_moment
from recall_trust import KEY, OTHER_KEY, TRUST
from sealed_bases import NOBODY

from aerotile.adapters.sealed_base.check import check_base
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.key_lists import KeyLists
from aerotile.adapters.sealed_base.mapped_base import open_base
from aerotile.adapters.signatures import Trust, public_key_text

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600 if EVERY_CALL else 300)]


def look(root: Path) -> tuple[str | None, list[str], list[str]]:
    """The generation in use, the complete ones, and what died ones left; the newest two are intact."""
    generations = BaseGenerations(root)
    names = generations.names()
    folder = root / "generations"
    left = [entry.name for entry in folder.iterdir() if entry.name not in names] if folder.exists() else []
    left += [entry.name for entry in root.glob(".current*")]
    for name in names[-2:]:
        assert check_base(open_base(generations, name, NOBODY, require_signature=False)) == []
    return generations.current(), names, left


@pytest.mark.parametrize("operation", ["seal", "seal with index", "base switch"])
def test_a_base_that_is_changed_and_killed_before_any_call_is_the_old_or_the_new_one(
    nursery: Nursery, fault_tally: FaultTally, tmp_path: Path, operation: str
) -> None:
    root = tmp_path / "base"
    number = 0
    in_use: set[str | None] = {None}
    kept: list[str] = []

    def live(kill_at: int | None) -> Ending:
        nonlocal number, in_use, kept
        number += 1
        opened = nursery.begin(operation, number, root=str(root))
        current, names, left = look(root)
        fault_tally.add(f"kill at a system call: {operation}", 0, leaked=max(0, len(left) - 1))
        assert len(left) <= 1  # in nobody's way, and the next one removes it
        assert current in in_use
        assert opened["generation"] == current
        assert current is None or opened["findings"] == 0
        assert names[: len(kept)] == kept
        ready = nursery.prepare()
        ending = nursery.kill_at(kill_at)
        current, names, left = look(root)
        kept = names
        if operation == "base switch":
            in_use = {ready["after"]} if ending.done else {ready["after"], *in_use}
        if ending.done:
            assert names[-1] == ready["after"]
            assert left == []
            assert current in in_use
        with (root / ".lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fault_tally.add(f"kill at a system call: {operation}", ending.reached is not None)
        return ending

    kill_at_every_moment(live)


def test_a_signing_that_is_killed_before_any_call_keeps_the_signatures_before(
    nursery: Nursery, fault_tally: FaultTally, tmp_path: Path
) -> None:
    root = tmp_path / "base"
    first, second = public_key_text(OTHER_KEY), public_key_text(KEY)
    trust = Trust((first, second), 1)
    number = 0

    def live(kill_at: int | None) -> Ending:
        nonlocal number
        number += 1
        nursery.begin("base sign", number, root=str(root))
        name = nursery.prepare()["after"]
        ending = nursery.kill_at(kill_at)
        signers = BaseGenerations(root).manifest(name, trust).signers
        assert signers in ([(first, second)] if ending.done else [(first,), (first, second)])
        _, _, left = look(root)
        assert left == []
        fault_tally.add("kill at a system call: base sign", ending.reached is not None)
        return ending

    kill_at_every_moment(live)


def test_a_list_of_keys_that_is_killed_at_its_application_leaves_the_old_one_or_the_new_one(
    nursery: Nursery, fault_tally: FaultTally, tmp_path: Path
) -> None:
    root = tmp_path / "keys"
    number = 0
    newest: int | None = None

    def live(kill_at: int | None) -> Ending:
        nonlocal number, newest
        number += 1
        assert nursery.begin("base keys apply", number, root=str(root))["number"] == newest
        after = nursery.prepare()["after"]
        ending = nursery.kill_at(kill_at)
        found = KeyLists(root, TRUST).in_force()
        in_force = None if found is None else found.keys.number
        assert in_force in ({after} if ending.done else {after, newest})
        newest = in_force
        fault_tally.add("kill at a system call: base keys apply", ending.reached is not None)
        return ending

    kill_at_every_moment(live)
