"""How much memory a process can still take."""

from __future__ import annotations

from pathlib import Path


def available_memory_bytes(
    meminfo: Path = Path("/proc/meminfo"), control_group: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Bytes that a process can still take without pushing others out; None where the kernel does not say.

    The smaller of what the machine has left and what the control group has left (version 2 or 1), as a
    container mounts it.
    """
    known = [_machine_bytes(meminfo)]
    known += [
        _group_bytes(control_group / folder, limit, used, inactive)
        for folder, limit, used, inactive in (
            (".", "memory.max", "memory.current", "inactive_file"),
            ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        )
    ]
    return min((size for size in known if size is not None), default=None)


def _machine_bytes(meminfo: Path) -> int | None:
    kibibytes = _table(meminfo).get("MemAvailable:")
    return None if kibibytes is None else kibibytes << 10


def _group_bytes(folder: Path, limit: str, used: str, inactive: str) -> int | None:
    """Bytes below the group's limit; file pages that the kernel would drop count as free."""
    try:
        most = int((folder / limit).read_text("ascii"))
        now = int((folder / used).read_text("ascii"))
    except (OSError, ValueError):  # no such group, or "max"
        return None
    return max(0, most - now + _table(folder / "memory.stat").get(inactive, 0))


def _table(path: Path) -> dict[str, int]:
    """The number of each line, by the name in front of it."""
    try:
        lines = [line.split() for line in path.read_text("ascii").splitlines()]
    except (OSError, ValueError):
        return {}
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}
