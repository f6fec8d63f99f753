"""What a machine says of itself, from sample texts; the Jetson's are as its manual and users show them."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness.jetson import (
    cpu_frequencies,
    is_fixed,
    jetson_facts,
    parse_clocks,
    parse_power_mode,
    storage,
    temperatures,
    warnings,
)
from harness.machine import file_system_of

CLOCKS_FIXED = """\
SOC family:tegra234  Machine:NVIDIA Jetson AGX Orin Developer Kit
Online CPUs: 0-1
cpu0: Online=1 Governor=schedutil MinFreq=2201600 MaxFreq=2201600 CurrentFreq=2201600 IdleStates: WFI=0 c7=0
cpu1: Online=1 Governor=schedutil MinFreq=2201600 MaxFreq=2201600 CurrentFreq=2201600 IdleStates: WFI=0 c7=0
GPU MinFreq=1300500000 MaxFreq=1300500000 CurrentFreq=1300500000
EMC MinFreq=204000000 MaxFreq=3199000000 CurrentFreq=3199000000 FreqOverride=1
FAN Dynamic Speed control=active hwmon0_pwm1=255
NV Power Mode: MAXN
"""
CLOCKS_MOVING = CLOCKS_FIXED.replace(
    "cpu1: Online=1 Governor=schedutil MinFreq=2201600", "cpu1: MinFreq=729600"
)
POWER_MAXN = "NV Power Mode: MAXN\n0\n"
POWER_30W = "NVPM WARN: fan mode is not set!\nNV Power Mode: MODE_30W\n2\n"


def make_file(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="ascii")


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A Jetson's root folder, as far as anybody looks."""
    make_file(tmp_path / "proc/device-tree/model", "NVIDIA Jetson AGX Orin Developer Kit\0")
    make_file(tmp_path / "etc/nv_tegra_release", "# R36 (release), REVISION: 4.3\n# more\n")
    make_file(tmp_path / "sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
    make_file(tmp_path / "sys/class/thermal/thermal_zone0/temp", "48281\n")
    make_file(tmp_path / "sys/class/thermal/thermal_zone1/type", "cv0-thermal\n")  # switched off: no number
    make_file(tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "schedutil\n")
    make_file(tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_min_freq", "2201600\n")
    return tmp_path


def says(power: str, clocks: str) -> dict[str, str]:
    return {"nvpmodel": power, "jetson_clocks": clocks}


def facts_of(board: Path, answers: dict[str, str]) -> dict[str, object]:
    return jetson_facts(board, run=lambda command: answers[command[0]], system=board)


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        (POWER_MAXN, {"name": "MAXN", "number": "0"}),
        (POWER_30W, {"name": "MODE_30W", "number": "2"}),
        ("NV Power Mode: 15W", {"name": "15W", "number": ""}),
        ("", {}),
        ("nvpmodel: command not found", {}),
    ],
)
def test_the_power_mode_is_read(text: str, mode: dict[str, str]) -> None:
    assert parse_power_mode(text) == mode


def test_clocks_are_read_and_nothing_else() -> None:
    clocks = parse_clocks(CLOCKS_FIXED)
    assert [clock["name"] for clock in clocks] == ["cpu0", "cpu1", "GPU", "EMC"]
    assert clocks[0]["CurrentFreq"] == "2201600"
    assert all(is_fixed(clock) for clock in clocks)
    assert parse_clocks("Error: Unable to find EMC\n") == []


def test_a_clock_between_two_frequencies_is_not_fixed() -> None:
    assert [clock["name"] for clock in parse_clocks(CLOCKS_MOVING) if not is_fixed(clock)] == ["cpu1"]


def test_a_board_at_its_best_warns_of_nothing(board: Path) -> None:
    facts = facts_of(board, says(POWER_MAXN, CLOCKS_FIXED))
    assert warnings(facts) == []
    assert facts["board"] == "NVIDIA Jetson AGX Orin Developer Kit"
    assert facts["release"] == "# R36 (release), REVISION: 4.3"


def test_a_saving_power_mode_and_moving_clocks_are_warned_of(board: Path) -> None:
    mode, clocks = warnings(facts_of(board, says(POWER_30W, CLOCKS_MOVING)))
    assert "MODE_30W" in mode
    assert "cpu1" in clocks


def test_a_machine_that_says_nothing_is_warned_of(tmp_path: Path) -> None:
    assert len(warnings(facts_of(tmp_path, says("", "")))) == 3


def test_super_mode_is_a_greatest_mode(board: Path) -> None:
    super_mode = says("NV Power Mode: MAXN_SUPER\n2\n", CLOCKS_FIXED)
    assert warnings(facts_of(board, super_mode)) == []


def test_temperatures_are_in_degrees_and_dark_zones_left_out(board: Path) -> None:
    assert temperatures(board / "sys/class/thermal") == {"cpu-thermal": 48.281}


def test_processor_frequencies_are_read(board: Path) -> None:
    (cpu,) = cpu_frequencies(board / "sys/devices/system/cpu").values()
    assert cpu["scaling_governor"] == "schedutil"
    assert cpu["scaling_max_freq"] == ""


def test_a_partition_has_its_disks_model(tmp_path: Path) -> None:
    here = file_system_of(tmp_path)
    name = Path(here["device"]).name
    disk = tmp_path / "devices/disk"
    make_file(disk / "device/model", "Samsung SSD 990\n")
    (disk / name).mkdir()
    (tmp_path / "block").mkdir()
    (tmp_path / "block" / name).symlink_to(disk / name)
    assert storage(tmp_path, tmp_path / "block")["model"] == "Samsung SSD 990"


def test_the_file_system_of_a_folder_is_the_innermost(tmp_path: Path) -> None:
    mounts = (
        f"/dev/a / ext4 rw 0 0\n/dev/b {tmp_path} xfs rw,noatime 0 0\n/dev/c {tmp_path}-other btrfs rw 0 0\n"
    )
    found = file_system_of(tmp_path / "deep", mounts)
    assert found == {
        "device": "/dev/b",
        "mounted_on": str(tmp_path),
        "type": "xfs",
        "options": "rw,noatime",
    }
