"""Power cuts of a whole store: tiles, index and the embedded database on one file system, under load.

`TEST_POWER_CUTS` says how many cuts each file system suffers.
"""

from __future__ import annotations

import os
import random
import shutil
import time
from contextlib import AbstractContextManager
from pathlib import Path

import attrs
import pytest
from block_devices import Device, DeviceMaker
from fault_tally import FaultTally
from random_seed import random_of
from store_lives import HANG_S, Damage, Life, Promised

CUTS = int(os.environ.get("TEST_POWER_CUTS", "3"))
CUTS_OF_A_STORE = 20
CUTS_WHILE_OPENING = 0.25
LONGEST_LOAD_S = 0.5
LONGEST_OPENING_S = 2.5

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount file systems and cut their power"),
    pytest.mark.timeout(300 + 20 * CUTS),
]


@attrs.define
class PowerCuts:
    """One store after the other on a device, each living through many cuts."""

    device: Device
    folder: Path
    fsync: str = "on"
    chance: random.Random = attrs.field(factory=lambda: random_of("power cuts of stores"))
    lives: int = 0
    stores: int = 0
    promised: Promised = attrs.field(factory=Promised)

    @property
    def root(self) -> Path:
        return self.device.mount / f"store{self.stores}"

    def start_over(self) -> None:
        """A new store, in another folder: what is removed may be back after a cut."""
        shutil.rmtree(self.root)
        self.stores += 1
        self.promised = Promised()

    def begin(self) -> AbstractContextManager[Life]:
        self.lives += 1
        return Life.begin(self.root, self.lives, self.folder / "complaints", self.fsync)

    def suffer(self) -> Damage:
        """One cut, while the store is opened or under load; what was found damaged before the load."""
        with self.begin() as life:
            if self.chance.random() < CUTS_WHILE_OPENING:
                time.sleep(self.chance.uniform(0.0, LONGEST_OPENING_S))
            else:
                damage = life.damage(self.root, self.promised)
                if damage:
                    return damage
                life.tell("go")
                self.promised.hear(life.heard(HANG_S))
                time.sleep(self.chance.uniform(0.0, LONGEST_LOAD_S))
            life.cut(self.device, self.promised)
        return Damage()

    def finish(self) -> Damage:
        """Open the store and close it in order."""
        with self.begin() as life:
            damage = life.damage(self.root, self.promised)
            if not damage:
                life.end()
        return damage


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_nothing_that_was_confirmed_is_lost_when_the_power_is_cut(
    make_device: DeviceMaker, tmp_path: Path, fault_tally: FaultTally, kind: str
) -> None:
    cuts = PowerCuts(make_device(kind), tmp_path)
    for number in range(1, CUTS + 1):
        damage = cuts.suffer()
        if not damage and (number == CUTS or number % CUTS_OF_A_STORE == 0):
            damage = cuts.finish()
            cuts.start_over()
        fault_tally.add(
            f"power cut, tiles and database on {kind}",
            1,
            lost=len(damage.lost),
            torn=len(damage.torn),
            leaked=len(damage.leaked),
        )
        assert not damage


def test_a_database_that_does_not_sync_is_found_out(make_device: DeviceMaker, tmp_path: Path) -> None:
    cuts = PowerCuts(make_device("ext4"), tmp_path, fsync="off")
    assert any(cuts.suffer() for _ in range(10))
