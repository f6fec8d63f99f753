"""Power cuts while bases are sealed and switched to: always one whole generation in use.

`TEST_POWER_CUTS` says how many cuts each file system suffers.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from block_devices import Device, DeviceMaker
from fault_tally import FaultTally
from random_seed import random_of
from sealed_bases import NOBODY

from aerotile.adapters.sealed_base.check import check_base
from aerotile.adapters.sealed_base.generations import BaseGenerations
from aerotile.adapters.sealed_base.mapped_base import open_base, open_current_base

CUTS = int(os.environ.get("TEST_POWER_CUTS", "4"))
LONGEST_LIFE_S = 0.4

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount file systems and cut their power"),
    pytest.mark.timeout(300 + 20 * CUTS),
]


def live_until_a_cut(
    device: Device, folder: Path, seed: int, chance: random.Random, *, after_a_switch: bool
) -> dict[str, str]:
    """Let a process seal and switch, cut the power; the newest generations that it reported.

    `after_a_switch`: not before it reported one, however busy the machine is.
    """
    program = Path(__file__).with_name("base_sealer.py")
    command = [sys.executable, str(program), str(device.mount / "base"), str(seed), str(folder / f"i{seed}")]
    paths = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout as said, process.stderr as complaints:
        begun = said.readline()
        assert begun == b"ready\n", complaints.read()
        heard = b""
        while after_a_switch and b"switched" not in heard:
            line = said.readline()
            assert line, complaints.read()
            heard += line
        time.sleep(chance.uniform(0.0, LONGEST_LIFE_S))
        os.set_blocking(said.fileno(), False)
        lines = (heard + (said.read() or b"")).decode().splitlines(keepends=True)
        device.cut_power()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    device.unplug()
    device.plug_in()
    return {verb: name for line in lines if line.endswith("\n") for verb, name in [line.split()]}


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_one_whole_generation_is_in_use_after_any_power_cut(
    make_device: DeviceMaker, fault_tally: FaultTally, tmp_path: Path, kind: str
) -> None:
    device = make_device(kind)
    chance = random_of(f"power cuts of bases on {kind}")
    root = device.mount / "base"
    generations = BaseGenerations(root)
    in_use = 0
    for cut in range(CUTS):
        last_without_any = cut == CUTS - 1 and not in_use
        said = live_until_a_cut(device, tmp_path, cut, chance, after_a_switch=last_without_any)
        names = generations.names()
        current = generations.current()
        if current is not None:
            opened = open_current_base(root, NOBODY, require_signature=False)
            assert check_base(opened) == []
            opened.close()
        for name in names:
            base = open_base(generations, name, NOBODY, require_signature=False)
            assert check_base(base) == []
            base.close()
        if "sealed" in said:
            assert said["sealed"] in names
        if "switched" in said:
            assert current is not None
            assert int(current) >= int(said["switched"])
        assert int(current or 0) >= in_use
        in_use = int(current or 0)
        fault_tally.add(f"power cut: seal and switch on {kind}", 1)
    assert in_use > 0
