"""What a Jetson says about itself, for figures taken on one: board, power mode, clocks, storage, temperature.

Documented interfaces of JetPack 6 only: `nvpmodel -q`, `jetson_clocks --show`, /etc/nv_tegra_release, the
device tree, and the kernel's thermal, cpufreq and block folders. Parsed from texts, so that the parsing is
tested where there is no Jetson; it is untested on the board.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from .machine import file_system_of, read_text

_COMMAND_LIMIT_S = 20.0
Run = Callable[[list[str]], str]


def run_command(command: list[str]) -> str:
    """What a command prints on standard output; nothing when it is missing, fails or hangs."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_COMMAND_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def parse_power_mode(text: str) -> dict[str, str]:
    """Name and number of the power mode from `nvpmodel -q`; empty for any other text.

    It prints "NV Power Mode: MAXN" and the number on the next line; warnings may stand in front.
    """
    match = re.search(r"NV Power Mode\s*:\s*(\S+)(?:\s+(\d+))?", text)
    if match is None:
        return {}
    return {"name": match[1], "number": match[2] or ""}


def parse_clocks(text: str) -> list[dict[str, str]]:
    """Each clock of `jetson_clocks --show` with its least, greatest and current frequency.

    Lines look like "cpu0: Online=1 Governor=schedutil MinFreq=729600 MaxFreq=2201600 CurrentFreq=2201600 ..."
    and "EMC MinFreq=204000000 MaxFreq=3199000000 CurrentFreq=3199000000 FreqOverride=1".
    """
    clocks = []
    for line in text.splitlines():
        frequencies = dict(re.findall(r"(MinFreq|MaxFreq|CurrentFreq)=(\d+)", line))
        if len(frequencies) < 3:
            continue
        name = line.split("MinFreq", 1)[0].split(":", 1)[0].split()[0]
        clock = {"name": name, **frequencies}
        override = re.search(r"FreqOverride=(\d+)", line)
        if override is not None:
            clock["FreqOverride"] = override[1]
        clocks.append(clock)
    return clocks


def is_fixed(clock: dict[str, str]) -> bool:
    """Whether a clock can't move: least and greatest frequency are one, or it is overridden (memory)."""
    return clock["MinFreq"] == clock["MaxFreq"] or clock.get("FreqOverride") == "1"


def cpu_frequencies(root: Path) -> dict[str, dict[str, str]]:
    """Governor and frequencies in kHz of each processor below `root`, usually /sys/devices/system/cpu."""
    names = ("scaling_governor", "scaling_min_freq", "scaling_max_freq", "scaling_cur_freq")
    found = {}
    for folder in sorted(root.glob("cpu[0-9]*/cpufreq")):
        found[folder.parent.name] = {name: read_text(folder / name) for name in names}
    return found


def temperatures(root: Path) -> dict[str, float]:
    """Degrees Celsius of each thermal zone below `root`, usually /sys/class/thermal.

    Zones that are switched off don't give a number and are left out.
    """
    degrees = {}
    for zone in sorted(root.glob("thermal_zone*")):
        value = read_text(zone / "temp")
        if re.fullmatch(r"-?\d+", value):
            degrees[read_text(zone / "type") or zone.name] = int(value) / 1000
    return degrees


def storage(folder: Path, root: Path) -> dict[str, str]:
    """The file system of `folder` and the model of its device; `root` is usually /sys/class/block."""
    facts = file_system_of(folder)
    name = Path(facts.get("device", "")).name
    for place in (root / name, (root / name).resolve().parent):  # a partition's model is its disk's
        model = read_text(place / "device" / "model")
        if name and model:
            return {**facts, "model": model}
    return facts


def jetson_facts(folder: Path, *, run: Run = run_command, system: Path = Path("/")) -> dict[str, object]:
    """Everything above, as of now. `folder` says whose storage matters."""
    return {
        "board": read_text(system / "proc/device-tree/model"),
        "release": read_text(system / "etc/nv_tegra_release").partition("\n")[0],
        "power_mode": parse_power_mode(run(["nvpmodel", "-q"])),
        "clocks": parse_clocks(run(["jetson_clocks", "--show"])),
        "cpu_frequencies": cpu_frequencies(system / "sys/devices/system/cpu"),
        "storage": storage(folder, system / "sys/class/block"),
        "temperatures": temperatures(system / "sys/class/thermal"),
    }


def warnings(facts: dict[str, object]) -> list[str]:
    """Why the figures may not be those of the board at its best; nothing when they are."""
    found = []
    if not facts["board"]:
        found.append("this machine does not say which board it is: is it a Jetson?")
    mode = facts["power_mode"]
    assert isinstance(mode, dict)
    name = mode.get("name")
    if name is None:
        found.append("the power mode is not known: nvpmodel -q says nothing (it may need root)")
    elif not re.fullmatch(r"MAXN(_SUPER)?", name):
        found.append(f"the power mode is {name}, not MAXN: sudo nvpmodel -m 0, or as the board's manual says")
    clocks = facts["clocks"]
    assert isinstance(clocks, list)
    moving = [clock["name"] for clock in clocks if not is_fixed(clock)]
    if not clocks:
        found.append("the clocks are not known: jetson_clocks --show says nothing (it needs root)")
    elif moving:
        found.append(f"clocks are not fixed ({', '.join(moving)}): sudo jetson_clocks")
    return found
