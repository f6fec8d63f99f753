"""What this process has in memory, as the kernel counts it."""

from __future__ import annotations

from pathlib import Path


def memory_bytes() -> dict[str, int]:
    """Resident memory, and the part of it that no file backs."""
    found = {}
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines():
        name, _, amount = line.partition(":")
        if name in ("Rss", "Anonymous"):
            found[f"{name.lower()}_bytes"] = int(amount.split()[0]) * 1024
    return found


def growth(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """How much more there is of each."""
    return {name: after[name] - before[name] for name in before}
